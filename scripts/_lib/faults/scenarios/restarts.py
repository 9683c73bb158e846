"""F16: workers replaced one by one under load. F18: a workflow held while people are on their way."""

import asyncio
import signal
import time
from typing import Any

from jobs.worker import GRACE_SECONDS
from scripts._lib.faults.scenarios.scenario import Scene, ensure, figures

RESTARTS = 20
HELD = 8.0  # seconds
EFFECTIVE = 2.0  # seconds after which a hold lets nothing through
JOURNEY = "select id from workflows where name = 'journey'"


async def f16_workers_are_replaced(scenes: type[Scene]) -> dict[str, Any]:
    """SIGTERM, and a new one when it has left, twenty times under load: everybody leaves within the grace,
    nothing is lost, nothing is repeated and nothing is in doubt."""
    slowest = 0.0
    async with scenes.of(workers=2, slow=(0.0, 0.2)) as scene:
        async with scene.fed(6.0):
            await scene.until(lambda: scene.taken() > 0, 15.0, "the first send")
            before = scene.taken()
            for turn in range(RESTARTS):
                worker, told = scene.workers[turn % 2], time.monotonic()
                worker.signal(signal.SIGTERM)
                await worker.gone(GRACE_SECONDS)
                slowest = max(slowest, time.monotonic() - told)
                worker.start()
                await asyncio.sleep(0.5)
            meanwhile = scene.taken() - before
        verdict = await scene.judged()
        ensure(meanwhile > RESTARTS, f"only {meanwhile} sends meanwhile: the row has not tested anything")
        ensure(verdict.repeats == 0, f"{verdict.repeats} repeats")
        ensure(verdict.held == 0, f"{verdict.held} effects are in doubt")
        return figures(restarts=RESTARTS, slowest_exit=slowest, meanwhile=meanwhile)


async def f18_workflow_is_held(scenes: type[Scene]) -> dict[str, Any]:
    """Held by the API (nobody moves) with people between its steps: two seconds later nothing of it reaches
    the outside, and when it is let go everybody goes on."""
    async with scenes.of(workers=2) as scene:
        place = f"/workflows/{await scene.site.value(JOURNEY)}"
        await scene.add(15)
        await scene.until(lambda: scene.taken("welcome") > 0, 15.0, "the first letter")
        await turn(scene, f"{place}/hold")
        held = time.time()
        await scene.add(3)
        await asyncio.sleep(HELD)
        own = [one.at for one in scene.site.sink.taken if one.visit.endswith(("/welcome", "/report"))]
        late = [at - held for at in own if at > held + EFFECTIVE]
        ensure(not late, f"{len(late)} sends after the hold, the last {max(late, default=0):.1f} s after it")
        await turn(scene, f"{place}/hold/deletion")
        verdict = await scene.judged()
        every = scene.taken("welcome") + scene.taken("report")
        ensure(len(own) < every, "nobody was on the way: the row has not tested anything")
        ensure(verdict.repeats == 0, f"{verdict.repeats} repeats")
        return figures(before=len(own), after=every - len(own))


async def turn(scene: Scene, path: str) -> None:
    """Hold or let go. Raises Broken when it is not taken."""
    answer = await scene.client.post(path, json={}, headers=scene.tenants[0].headers())
    ensure(answer.status_code < 300, f"POST {path} answered {answer.status_code}: {answer.text[:200]}")
