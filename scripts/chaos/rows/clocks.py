"""F10: a machine whose clock is wrong. Due times and leases go by the database's clock alone."""

import asyncio
from typing import Any

from scripts.chaos.forks import CLOCK
from scripts.chaos.rows.scene import Scene, ensure, figures
from scripts.chaos.rows.workers import TAKEOVERS

HOUR = 3600


async def f10_clocks_are_an_hour_off(scenes: type[Scene]) -> dict[str, Any]:
    """One worker an hour ahead, one an hour behind, and a step of an hour at each restart: nothing early,
    nothing twice, leases end when the database says."""
    async with scenes.of(workers=0, slow=(0.1, 0.3)) as scene:
        for offset in (HOUR, -HOUR):
            scene.site.start_worker({CLOCK: str(offset)})
        async with scene.fed(6.0):
            for turn in range(6):
                await asyncio.sleep(2.0)
                scene.workers[turn % 2].kill_and_start()
        verdict = await scene.judged()
        late = [row["seconds"] for row in await scene.site.sql(TAKEOVERS)]
        ensure(bool(late), "nobody took anything over, so nothing is shown about leases")
        ensure(max(late) <= 2.0, f"a takeover came {max(late):.1f} s after the end of the lease")
        return figures(
            takeovers=len(late), deliveries=verdict.deliveries, early=verdict.early, repeats=verdict.repeats
        )
