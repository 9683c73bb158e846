"""Two workers hold the same effect, and one of them doesn't know that its lease has ended (F09)."""

import asyncio
import random
import signal
from collections import Counter
from typing import Any
from uuid import UUID

from sqlalchemy import event

from app.engine.effects.dispatcher import begin_effect, give_back, write_outcome
from app.ports import Sent
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.work import SYSTEM, open_work
from db.queries.effect_claims import ClaimedEffect, claim_effects
from jobs.turns import match_and_advance
from scripts._lib.faults.fork_server import FAULT_VARIABLE
from scripts._lib.faults.scenarios.harness import LEASE, Harness, ensure, figures
from scripts._lib.faults.scenarios.worker_failures import INSERT_HERD, TAKEOVERS

RACES = 1000
RACES_PER_ROUND = 40
SHORT_LEASE = 0.05  # seconds
WINNERS = "select result ->> 'by' as by, count(*) as n from effects where status = 'sent' group by 1"
STALLED_WORKER = {
    FAULT_VARIABLE: '{"point": "match.before", "kind": "stall", "stall_seconds": 20}',
    "WATCHDOG_SECONDS": "0",
}


async def f09_a_thousand_races() -> dict[str, Any]:
    """Let two claimants race for each effect at the end of a lease, a thousand times.

    The first claims and stalls until about the end of its lease. Then the second claims while the first
    writes the outcomes of its calls, or begins them. Each row has one winner and that winner's outcome; the
    other's writes change nothing.
    """
    chance = random.Random(9)  # noqa: S311 -- repeatable on purpose
    async with Harness.start(workers=0, lease=SHORT_LEASE) as harness:
        account = UUID(harness.accounts[0].id)
        await harness.deployment.sql(INSERT_HERD, account, RACES)
        first, second = (open_named_runtime(harness, name) for name in ("first", "second"))
        while await match_and_advance(first, account) and await count_webhooks(harness) < RACES:
            pass
        counts: Counter[str] = Counter()
        while counts["races"] < RACES:
            round_counts = await run_races(first, second, account, chance)
            ensure(round_counts["races"] > 0, f"only {counts['races']} races could be run")
            counts += round_counts
        for runtime in (first, second):
            await runtime.close()
        notes = await harness.deployment.value("select count(*) from chaos.notes")
        ensure(notes == 0, f"{notes} stale writes")
        stored = {row["by"]: row["n"] for row in await harness.deployment.sql(WINNERS)}
        won = {name: counts[name] for name in ("first", "second")}
        ensure(stored == won, f"the rows say {stored}, and the winners were told {won}")
        ensure(sum(won.values()) == counts["races"], f"not one winner each: {dict(counts)}")
        ensure(min(won.values()) >= RACES // 50, f"nearly always the same one wins: {won}")
        return figures(stale_writes=notes, **counts)


def open_named_runtime(harness: Harness, name: str) -> Runtime:
    """A runtime whose connections carry this name, by which the observers know who writes."""
    runtime = open_runtime(Settings.from_env(harness.deployment.env))
    event.listens_for(runtime.engine.sync_engine, "do_connect")(
        lambda _dialect, _record, _arguments, values: values["server_settings"].update(application_name=name)
    )
    return runtime


async def count_webhooks(harness: Harness) -> int:
    return int(await harness.deployment.value("select count(*) from effects where kind = 'webhook'"))


async def run_races(first: Runtime, second: Runtime, account: UUID, chance: random.Random) -> Counter[str]:
    """Up to forty races at once: how many there were, and how many outcomes of each claimant were stored."""
    claimed = await claim_in(first, account)
    if begins := chance.random() < 0.5:
        writes = [begin_effect(first, account, effect) for effect in claimed]
    else:
        await asyncio.gather(*(begin_effect(first, account, effect) for effect in claimed))
        writes = [write_outcome(first, account, effect, 1, Sent({"by": "first"})) for effect in claimed]

    async def claim_after(seconds: float) -> list[ClaimedEffect]:
        await asyncio.sleep(seconds)
        return await claim_in(second, account)

    await asyncio.sleep(chance.uniform(SHORT_LEASE * 0.5, SHORT_LEASE))
    delay = chance.uniform(0.0, SHORT_LEASE)
    claimed_second, results = await asyncio.gather(claim_after(delay), asyncio.gather(*writes))
    written = [effect for effect, result in zip(claimed, results, strict=True) if result]
    of_second = await keep_own(claimed_second, claimed, second, account)
    counts = Counter(races=len(claimed))
    if begins:  # the first writes the outcomes of what it could begin, while the second writes its own
        counts += await write_outcomes(account, (first, "first", written), (second, "second", of_second))
    else:
        counts["first"] += len(written)
        counts += await write_outcomes(account, (second, "second", of_second))
    # What neither has written is free now. Effects that are due at the same time have no order, so only
    # claiming all of them is sure to include these.
    await asyncio.sleep(SHORT_LEASE)
    remaining = await keep_own(await claim_in(second, account, RACES), claimed, second, account)
    return counts + await write_outcomes(account, (second, "second", remaining))


async def claim_in(runtime: Runtime, account: UUID, limit: int = RACES_PER_ROUND) -> list[ClaimedEffect]:
    """Claim up to `limit` due effects."""
    async with open_work(runtime, account, SYSTEM) as work:
        effects = await claim_effects(work.session, work.now, limit, runtime.settings.lease_seconds)
        await work.session.commit()
        return effects


async def keep_own(
    effects: list[ClaimedEffect], raced: list[ClaimedEffect], runtime: Runtime, account: UUID
) -> list[ClaimedEffect]:
    """The effects of this race; the others are given back for later races."""
    ids = {effect.id for effect in raced}
    if others := [effect for effect in effects if effect.id not in ids]:
        await give_back(runtime, account, others)
    return [effect for effect in effects if effect.id in ids]


async def write_outcomes(account: UUID, *claims: tuple[Runtime, str, list[ClaimedEffect]]) -> Counter[str]:
    """Write all outcomes at the same time; count by name how many were stored."""
    writes = [(runtime, name, effect) for runtime, name, effects in claims for effect in effects]
    results = await asyncio.gather(
        *(write_outcome(runtime, account, effect, 1, Sent({"by": name})) for runtime, name, effect in writes)
    )
    return Counter(name for (_, name, _), result in zip(writes, results, strict=True) if result)


async def f09_worker_stalls_past_its_lease() -> dict[str, Any]:
    """SIGSTOP a worker during its calls for twice the lease, eight times.

    What it writes when it wakes up is refused; a step that holds in doubt isn't repeated.
    """
    async with Harness.start(workers=2, answer_seconds=(0.3, 0.8)) as harness:
        for number in range(8):
            await harness.add_contacts(6)
            await asyncio.sleep(1.2)
            worker = harness.workers[number % 2]
            worker.signal(signal.SIGSTOP)
            await asyncio.sleep(LEASE * 2)
            worker.signal(signal.SIGCONT)
        verdict = await harness.judge()
        takeovers = len(await harness.deployment.sql(TAKEOVERS))
        ensure(takeovers > 0, "nothing was taken over: the scenario tested nothing")
        return figures(
            takeovers=takeovers, refused=verdict.refused_stale, repeats=verdict.repeats, held=verdict.held
        )


async def f09_worker_stalls_in_a_transaction() -> dict[str, Any]:
    """Stall a worker before the commit of a match, while it holds locks.

    The database ends its transaction after a lease, another worker continues, and its own commit fails when
    it wakes up.
    """
    async with Harness.start(workers=0) as harness:
        stalled = harness.deployment.start_worker(STALLED_WORKER)
        await harness.add_contacts(1)
        await asyncio.sleep(2.0)
        harness.deployment.start_worker()
        await harness.add_contacts(5)
        waited = await harness.wait_for(
            lambda: harness.count_deliveries("early") >= 6, LEASE + 4, "the work that the stalled worker held"
        )
        ensure(stalled.is_alive(), "the stalled worker is gone")
        await asyncio.sleep(18.0 - waited)
        verdict = await harness.judge()
        return figures(waited=waited, repeats=verdict.repeats)
