"""F10: a machine whose clock is wrong. Due times and leases go by the database's clock alone."""

import asyncio
from typing import Any

from scripts._lib.faults.fork_server import CLOCK, JUMP_EVERY
from scripts._lib.faults.scenarios.scenario import Scene, ensure, figures
from scripts._lib.faults.scenarios.worker_failures import TAKEOVERS

HOUR = 3600
# Ids of events begin with the time of the process that made them; their rows say the database's.
WRONG = """
select count(*) filter (where off > $1) as ahead, count(*) filter (where off < -$1) as behind
  from (select ('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 1000.0
               - extract(epoch from occurred_at) as off
          from events where source = 'workflow') x
"""


async def f10_clocks_are_an_hour_off(scenes: type[Scene]) -> dict[str, Any]:
    """One worker begins an hour ahead, one an hour behind, and both jump by one or two hours every few
    seconds of their lives: nothing early, nothing twice, leases end when the database says."""
    async with scenes.of(workers=0, slow=(0.1, 0.3)) as scene:
        for offsets in ((HOUR, 0, -HOUR), (-HOUR, HOUR, 0)):
            scene.site.start_worker({CLOCK: ",".join(map(str, offsets))})
        async with scene.fed(6.0):
            for turn in range(4):
                await asyncio.sleep(JUMP_EVERY + 1.0)  # each lives through a jump before it is killed
                scene.workers[turn % 2].kill_and_start()
        verdict = await scene.judged()
        wrong = (await scene.site.sql(WRONG, HOUR - 60))[0]
        ensure(min(wrong["ahead"], wrong["behind"]) > 0, f"hardly an id carries a wrong clock: {dict(wrong)}")
        late = [row["seconds"] for row in await scene.site.sql(TAKEOVERS)]
        ensure(bool(late), "nobody took anything over, so nothing is shown about leases")
        # How quick it is, is F01's; a lease by a clock that is off would be off by an hour.
        ensure(max(late) <= 30.0, f"a takeover came {max(late):.1f} s after the end of the lease")
        return figures(
            takeovers=len(late), deliveries=verdict.deliveries, early=verdict.early, repeats=verdict.repeats
        )
