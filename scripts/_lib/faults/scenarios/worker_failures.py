"""Rows of workers that die, hang or stand still: F01, F15, F24."""

import asyncio
import random
import signal
import time
from typing import Any
from uuid import UUID

from scripts._lib.faults.scenarios.scenario import LEASE, Scene, ensure, figures, percentile

TAKEOVERS = "select seconds from chaos.takeovers"
ALARM = 30.0
HERD, SMALL = 2000, 20
SENT = "select count(*) from effects where account_id = $1 and status = 'sent'"
WAITING = """
select count(*) from effects where account_id = $1 and status in ('pending', 'claimed', 'retry')
"""
# People and the events that say that they were created, as one bulk edit of another program would leave them.
CROWD = """
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


async def f01_worker_is_killed(scenes: type[Scene]) -> dict[str, Any]:
    """SIGKILL in the middle of what it does, fifteen times: another takes over two seconds after the lease's
    end at the latest, nothing is lost, and a step that holds is not repeated."""
    chance = random.Random(1)  # noqa: S311 -- repeatable on purpose
    async with scenes.of(workers=2, slow=(0.2, 0.6)) as scene:
        async with scene.fed(8.0):
            for _ in range(15):
                await asyncio.sleep(chance.uniform(0.5, 1.5))
                chance.choice(scene.workers).kill_and_start()
        verdict = await scene.judged()
        late = [row["seconds"] for row in await scene.site.sql(TAKEOVERS)]
        ensure(bool(late), "no claim of a dead worker was taken over: the row has not tested anything")
        ensure(max(late) <= 2.0, f"a takeover came {max(late):.1f} s after the end of the lease")
        return figures(
            kills=15, takeovers=len(late), latest=max(late), repeats=verdict.repeats, held=verdict.held
        )


async def f15_herd(scenes: type[Scene]) -> dict[str, Any]:
    """Thousands of one account in the same second, in small: the other account's people wait five seconds at
    the most, and the web answers."""
    async with scenes.of(workers=2, accounts=2, slow=(0.0, 0.01)) as scene:
        await scene.site.sql(CROWD, UUID(scene.tenants[0].id), HERD)
        answers = []
        for _ in range(SMALL):
            answers.append((await scene.offer(1, must=True)).seconds)
            await asyncio.sleep(0.3)
        small = UUID(scene.tenants[1].id)

        async def all_out() -> bool:
            return bool(await scene.site.value(SENT, small) == SMALL * 4)

        took = await scene.until(all_out, 90, "the last send of the small account")
        waiting = await scene.site.value(WAITING, UUID(scene.tenants[0].id))
        ensure(waiting > 0, "the herd was over before the small account: the row has not tested anything")
        late = await scene.late(5.0, small)
        return figures(herd=HERD, waiting=waiting, took=took, **late, web_p99=percentile(answers, 0.99))


async def f24_every_worker_stands_still(scenes: type[Scene]) -> dict[str, Any]:
    """All but one alive and silent: the one does the work. All of them: /health/workers, /metrics and the
    Jobs page say so within thirty seconds, and say that all is well when they go on."""
    async with scenes.of(workers=3) as scene:
        await scene.add(3)
        await scene.settled()

        async def said(status: int) -> bool:
            answer, _ = await scene.get("/health/workers")
            return answer.status_code == status

        await scene.until(lambda: said(200), 10, "health with workers")
        *others, last = scene.workers
        for worker in others:
            worker.signal(signal.SIGSTOP)
        before = scene.taken()
        await scene.add(3)
        alone = await scene.until(
            lambda: scene.taken() >= before + 12, 20, "the work of the one that is left"
        )
        ensure(await said(200), "health does not count the one that is left")
        last.signal(signal.SIGSTOP)
        await scene.add(3)
        begun = time.monotonic()
        alarm = await scene.until(lambda: said(503), ALARM, "the alarm")
        page, _ = await scene.get("/jobs")
        tiles = {tile["key"]: tile for tile in page.json()["tiles"]}
        ensure(
            "bad" in {tiles["ready"]["tone"], tiles["late"]["tone"]},
            f"the Jobs page shows nothing after {time.monotonic() - begun:.0f} s: {tiles['ready']}",
        )
        metrics, _ = await scene.get("/metrics", authorization="Bearer faults")
        ensure("switchyard_workers_heard 0.0" in metrics.text, "the metrics count workers that stand still")
        for worker in scene.workers:
            worker.signal(signal.SIGCONT)
        back = await scene.until(lambda: said(200), 15, "health after they go on")
        await scene.judged()
        return figures(alone=alone, alarm=alarm, back=back)


__all__ = ["LEASE", "f01_worker_is_killed", "f15_herd", "f24_every_worker_stands_still"]
