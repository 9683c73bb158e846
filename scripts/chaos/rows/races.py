"""F09: two workers hold the same effect, one of them without knowing that it has lost it."""

import asyncio
import random
import signal
from typing import Any
from uuid import UUID

from app.enrollments.sending import begin, settle
from app.ports import Sent
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.work import SYSTEM, open_work
from db.repositories.engine import Engine
from db.repositories.ledger import CLAIM_EFFECTS
from jobs.tasks import match_and_move
from scripts.chaos.rows.scene import LEASE, Scene, ensure, figures
from scripts.chaos.rows.workers import CROWD, TAKEOVERS

RACES = 1000
ROUND = 40
SHORT = 0.05  # the lease of both, in seconds


STALLING = {
    "SWITCHYARD_FAILPOINT": "match.before:stall",
    "SWITCHYARD_STALL_SECONDS": "20",
    "WATCHDOG_SECONDS": "0",
}


async def f09_a_thousand_races(scenes: type[Scene]) -> dict[str, Any]:
    """One claims, begins some and stalls past its lease; the other claims the same; both write what came of
    it, in any order. Only the second may: the first one's writes touch no row."""
    chance = random.Random(9)  # noqa: S311 -- repeatable on purpose
    async with scenes.of(workers=0, lease=SHORT) as scene:
        account = UUID(scene.tenants[0].id)
        await scene.site.sql(CROWD, account, RACES)
        runtime = open_runtime(Settings.from_env(scene.site.env))
        while await match_and_move(runtime, account) and await webhooks(scene) < RACES:
            pass
        races, stale = 0, 0
        while races < RACES:
            ran, won = await race(runtime, account, chance)
            ensure(ran > 0, f"only {races} races could be run")
            races, stale = races + ran, stale + won
        await runtime.close()
        wrong = await scene.site.value("select count(*) from effects where result ->> 'by' = 'first'")
        notes = await scene.site.value("select count(*) from chaos.notes")
        ensure(stale == wrong == notes == 0, f"{stale} stale writes, {wrong} rows say so, {notes} notes")
        return figures(races=races, stale_writes=stale)


async def webhooks(scene: Scene) -> int:
    return int(await scene.site.value("select count(*) from effects where kind = 'webhook'"))


async def race(runtime: Runtime, account: UUID, chance: random.Random) -> tuple[int, int]:
    """Forty at once; how many were raced, and how many of the first one's writes went through."""
    first = await claim(runtime, account)
    for effect in first:
        if effect.kind == "webhook" and chance.random() < 0.5:
            await begin(runtime, account, effect)
    await asyncio.sleep(SHORT * 2)
    second = {effect.id: effect for effect in await claim(runtime, account)}
    both = [effect for effect in first if effect.id in second]
    writes = [settle(runtime, account, effect, 1, Sent({"by": "first"})) for effect in both]
    others = [settle(runtime, account, second[effect.id], 1, Sent({"by": "second"})) for effect in both]
    mixed = [*enumerate(writes), *enumerate(others, len(writes))]
    chance.shuffle(mixed)
    results = await asyncio.gather(*(write for _, write in mixed))
    by = {number: result for (number, _), result in zip(mixed, results, strict=True)}
    return len(both), sum(by[number] for number in range(len(both)))


async def claim(runtime: Runtime, account: UUID) -> list[Any]:
    async with open_work(runtime, account, SYSTEM) as work:
        lease = runtime.settings.lease_seconds
        rows = await Engine(work.session).all(CLAIM_EFFECTS, now=work.now, most=ROUND, lease=lease)
        await work.session.commit()
        return list(rows)


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
