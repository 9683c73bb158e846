"""Workers that are killed, overloaded or stopped: F01, F15, F24."""

import asyncio
import random
import signal
import time
from typing import Any
from uuid import UUID

from scripts._lib.faults.scenarios.harness import Harness, ensure, figures, percentile

TAKEOVERS = "select seconds from chaos.takeovers"
ALARM_SECONDS = 30.0
HERD_SIZE, SMALL_SIZE = 2000, 20
COUNT_SENT = "select count(*) from effects where account_id = $1 and status = 'sent'"
COUNT_WAITING = """
select count(*) from effects where account_id = $1 and status in ('pending', 'claimed', 'retry')
"""
# Contacts with their audit entries and `contact.created` events, written in one statement.
INSERT_HERD = """
with made as (insert into contacts (account_id, id, email, first_name, state)
              select $1, gen_random_uuid(), 'c' || n || '@a0.example', 'Ann', 'CA'
                from generate_series(1000001, 1000000 + $2) n
              returning id, email),
     said as (insert into audit_logs (account_id, id, occurred_at, actor_kind, actor_id, actor_name, action,
                                      subject_kind, subject_id)
              select $1, gen_random_uuid(), clock_timestamp(), 'system', '', 'Faults', 'contact.created',
                     'contact', id::text from made)
insert into events (account_id, id, kind, subject_id, source, root_event_id, occurred_at)
select $1, id, 'contact.created', id, 'api', id, clock_timestamp() from made
"""


async def f01_worker_is_killed() -> dict[str, Any]:
    """SIGKILL a worker fifteen times while it works.

    Another worker takes over at most two seconds after the end of the lease, nothing is lost, and a step that
    holds in doubt isn't repeated.
    """
    chance = random.Random(1)  # noqa: S311 -- repeatable on purpose
    async with Harness.start(workers=2, answer_seconds=(0.2, 0.6)) as harness:
        async with harness.load(8.0):
            for _ in range(15):
                await asyncio.sleep(chance.uniform(0.5, 1.5))
                chance.choice(harness.workers).kill_and_start()
        verdict = await harness.judge()
        late = [row["seconds"] for row in await harness.deployment.sql(TAKEOVERS)]
        ensure(bool(late), "no claim of a dead worker was taken over: the scenario tested nothing")
        ensure(max(late) <= 2.0, f"a takeover came {max(late):.1f} s after the end of the lease")
        return figures(
            kills=15, takeovers=len(late), latest=max(late), repeats=verdict.repeats, held=verdict.held
        )


async def f15_herd() -> dict[str, Any]:
    """Create 2,000 contacts of one account in one second, next to 20 of another account.

    The other account waits at most five seconds, and the web server keeps answering.
    """
    async with Harness.start(workers=2, accounts=2, answer_seconds=(0.0, 0.01)) as harness:
        herd, small = (UUID(account.id) for account in harness.accounts)
        await harness.deployment.sql(INSERT_HERD, herd, HERD_SIZE)
        answers = []
        for _ in range(SMALL_SIZE):
            answers.append((await harness.offer_contact(1, required=True)).seconds)
            await asyncio.sleep(0.3)

        async def is_all_sent() -> bool:
            return bool(await harness.deployment.value(COUNT_SENT, small) == SMALL_SIZE * 4)

        took = await harness.wait_for(is_all_sent, 90, "the last send of the small account")
        waiting = await harness.deployment.value(COUNT_WAITING, herd)
        ensure(waiting > 0, "the herd was done before the small account: the scenario tested nothing")
        late = await harness.check_lateness(5.0, small)
        return figures(herd=HERD_SIZE, waiting=waiting, took=took, **late, web_p99=percentile(answers, 0.99))


async def f24_all_workers_hang() -> dict[str, Any]:
    """SIGSTOP two of three workers, then the third.

    The last one does all the work. Without it, /health/workers, /metrics and the Jobs page say so within
    thirty seconds; when the workers continue, health recovers.
    """
    async with Harness.start(workers=3) as harness:
        await harness.add_contacts(3)
        await harness.wait_until_settled()

        async def health_is(status: int) -> bool:
            answer, _ = await harness.get("/health/workers")
            return answer.status_code == status

        await harness.wait_for(lambda: health_is(200), 10, "health with workers")
        *others, last = harness.workers
        for worker in others:
            worker.signal(signal.SIGSTOP)
        before = harness.count_deliveries()
        await harness.add_contacts(3)
        alone = await harness.wait_for(
            lambda: harness.count_deliveries() >= before + 12, 20, "the work of the last worker"
        )
        ensure(await health_is(200), "health does not count the last worker")
        last.signal(signal.SIGSTOP)
        await harness.add_contacts(3)
        started = time.monotonic()
        alarm = await harness.wait_for(lambda: health_is(503), ALARM_SECONDS, "the alarm")
        await check_alarm(harness, time.monotonic() - started)
        for worker in harness.workers:
            worker.signal(signal.SIGCONT)
        back = await harness.wait_for(lambda: health_is(200), 15, "health after the workers continue")
        await harness.judge()
        return figures(alone=alone, alarm=alarm, back=back)


async def check_alarm(harness: Harness, seconds: float) -> None:
    """The Jobs page and the metrics show that no worker is alive."""
    page, _ = await harness.get("/jobs")
    tiles = {tile["key"]: tile for tile in page.json()["tiles"]}
    ensure(
        "bad" in {tiles["ready"]["tone"], tiles["late"]["tone"]},
        f"the Jobs page shows nothing after {seconds:.0f} s: {tiles['ready']}",
    )
    metrics, _ = await harness.get("/metrics", authorization="Bearer faults")
    ensure("switchyard_workers_alive 0.0" in metrics.text, "the metrics count workers that hang")
