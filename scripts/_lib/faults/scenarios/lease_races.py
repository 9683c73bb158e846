"""F09: two workers hold the same effect, one of them without knowing that it has lost it."""

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
from db.queries.batch_session import BatchSession
from db.queries.effect_claims import CLAIM_EFFECTS
from jobs.tasks import match_and_advance
from scripts._lib.faults.fork_server import FAULT
from scripts._lib.faults.scenarios.scenario import LEASE, Scene, ensure, figures
from scripts._lib.faults.scenarios.worker_failures import CROWD, TAKEOVERS

RACES = 1000
ROUND = 40
SHORT = 0.05  # the lease of both, in seconds
WINNERS = "select result ->> 'by' as by, count(*) as n from effects where status = 'sent' group by 1"

STALLING = {
    FAULT: '{"point": "match.before", "kind": "stall", "stall_seconds": 20}',
    "WATCHDOG_SECONDS": "0",
}


async def f09_a_thousand_races(scenes: type[Scene]) -> dict[str, Any]:
    """One claims and stalls until about the end of its lease. Then, at the same time, the other claims the
    same and the first writes what came of its calls, or begins them. Each row has one winner, whose outcome
    it says: the other one's writes touch nothing."""
    chance = random.Random(9)  # noqa: S311 -- repeatable on purpose
    async with scenes.of(workers=0, lease=SHORT) as scene:
        account = UUID(scene.tenants[0].id)
        await scene.site.sql(CROWD, account, RACES)
        first, second = (named(scene, name) for name in ("first", "second"))
        while await match_and_advance(first, account) and await webhooks(scene) < RACES:
            pass
        found: Counter[str] = Counter()
        while found["races"] < RACES:
            ran = await race(first, second, account, chance)
            ensure(ran["races"] > 0, f"only {found['races']} races could be run")
            found += ran
        for runtime in (first, second):
            await runtime.close()
        notes = await scene.site.value("select count(*) from chaos.notes")
        ensure(notes == 0, f"{notes} stale writes")
        said = {row["by"]: row["n"] for row in await scene.site.sql(WINNERS)}
        won = {name: found[name] for name in ("first", "second")}
        ensure(said == won, f"the rows say {said}, and the winners were told {won}")
        ensure(sum(won.values()) == found["races"], f"not one winner each: {dict(found)}")
        ensure(min(won.values()) >= RACES // 50, f"nearly always the same one wins: {won}")
        return figures(stale_writes=notes, **found)


def named(scene: Scene, name: str) -> Runtime:
    """A runtime by whose connections the triggers know who it is."""
    runtime = open_runtime(Settings.from_env(scene.site.env))
    event.listens_for(runtime.engine.sync_engine, "do_connect")(
        lambda _dialect, _record, _arguments, values: values["server_settings"].update(application_name=name)
    )
    return runtime


async def webhooks(scene: Scene) -> int:
    return int(await scene.site.value("select count(*) from effects where kind = 'webhook'"))


async def race(first: Runtime, second: Runtime, account: UUID, chance: random.Random) -> Counter[str]:
    """Up to forty at once: how many were raced, and how many outcomes of whom went through."""
    held = await claim(first, account)
    if beginning := chance.random() < 0.5:
        writes = [begin_effect(first, account, one) for one in held]
    else:
        await asyncio.gather(*(begin_effect(first, account, one) for one in held))
        writes = [write_outcome(first, account, one, 1, Sent({"by": "first"})) for one in held]

    async def after(seconds: float) -> list[Any]:
        await asyncio.sleep(seconds)
        return await claim(second, account)

    await asyncio.sleep(chance.uniform(SHORT * 0.5, SHORT))
    taken, *results = await asyncio.gather(after(chance.uniform(0.0, SHORT)), *writes)
    wrote = [one for one, result in zip(held, results, strict=True) if result]
    theirs = await own(taken, held, second, account)
    found = Counter(races=len(held))
    if beginning:  # what it could begin it now writes, while the other writes what it has claimed
        found += await outcomes(account, (first, "first", wrote), (second, "second", theirs))
    else:
        found["first"] += len(wrote)
        found += await outcomes(account, (second, "second", theirs))
    # What neither has written is free now. Effects that are due at the same moment come in no order, so it
    # takes all to be sure to have these.
    await asyncio.sleep(SHORT)
    rest = await own(await claim(second, account, RACES), held, second, account)
    return found + await outcomes(account, (second, "second", rest))


async def claim(runtime: Runtime, account: UUID, most: int = ROUND) -> list[Any]:
    async with open_work(runtime, account, SYSTEM) as work:
        lease = runtime.settings.lease_seconds
        rows = await BatchSession(work.session).all(CLAIM_EFFECTS, now=work.now, most=most, lease=lease)
        await work.session.commit()
        return list(rows)


async def own(taken: list[Any], held: list[Any], runtime: Runtime, account: UUID) -> list[Any]:
    """Those of this race; the others are given back for the next ones."""
    ids = {one.id for one in held}
    if others := [one for one in taken if one.id not in ids]:
        await give_back(runtime, account, others)
    return [one for one in taken if one.id in ids]


async def outcomes(account: UUID, *of: tuple[Runtime, str, list[Any]]) -> Counter[str]:
    """All written at the same time; how many went through, by name."""
    every = [(runtime, name, one) for runtime, name, effects in of for one in effects]
    results = await asyncio.gather(
        *(write_outcome(runtime, account, one, 1, Sent({"by": name})) for runtime, name, one in every)
    )
    return Counter(name for (_, name, _), result in zip(every, results, strict=True) if result)


async def f09_worker_stalls_past_its_lease(scenes: type[Scene]) -> dict[str, Any]:
    """SIGSTOP in the middle of calls for twice the lease, eight times: what it does when it wakes up is
    refused; a step that holds is not repeated."""
    async with scenes.of(workers=2, slow=(0.3, 0.8)) as scene:
        for turn in range(8):
            await scene.add(6)
            await asyncio.sleep(1.2)
            worker = scene.workers[turn % 2]
            worker.signal(signal.SIGSTOP)
            await asyncio.sleep(LEASE * 2)
            worker.signal(signal.SIGCONT)
        verdict = await scene.judged()
        taken = len(await scene.site.sql(TAKEOVERS))
        ensure(taken > 0, "nothing was taken over: the row has not tested anything")
        return figures(
            takeovers=taken, refused=verdict.refused_stale, repeats=verdict.repeats, held=verdict.held
        )


async def f09_worker_stalls_in_a_transaction(scenes: type[Scene]) -> dict[str, Any]:
    """It stands still before the commit of a match, with its locks: the database ends its transaction after
    a lease, so that another goes on, and its own commit fails when it wakes up."""
    async with scenes.of(workers=0) as scene:
        stalled = scene.site.start_worker(STALLING)
        await scene.add(1)
        await asyncio.sleep(2.0)
        scene.site.start_worker()
        await scene.add(5)
        waited = await scene.until(lambda: scene.taken("early") >= 6, LEASE + 4, "what the stalled one held")
        ensure(stalled.alive(), "the stalled worker is gone")
        await asyncio.sleep(18.0 - waited)
        verdict = await scene.judged()
        return figures(waited=waited, repeats=verdict.repeats)
