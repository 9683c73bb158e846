"""The clock of a machine is wrong (F10). Due times and leases go by the database's clock alone."""

import asyncio
from typing import Any

from scripts._lib.faults.fork_server import CLOCK_OFFSETS_VARIABLE, JUMP_INTERVAL
from scripts._lib.faults.scenarios.harness import Harness, ensure, figures
from scripts._lib.faults.scenarios.worker_failures import TAKEOVERS

HOUR = 3600
# The ID of an event starts with the time of the process that created it; `occurred_at` is the database's
# time.
COUNT_SKEWED_IDS = """
select count(*) filter (where off > $1) as ahead, count(*) filter (where off < -$1) as behind
  from (select ('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 1000.0
               - extract(epoch from occurred_at) as off
          from events where source = 'workflow') x
"""


async def f10_clocks_are_an_hour_off() -> dict[str, Any]:
    """Start one worker an hour ahead and one an hour behind; both clocks jump every three seconds.

    Nothing is early, nothing happens twice, and leases end when the database says so.
    """
    async with Harness.start(workers=0, answer_seconds=(0.1, 0.3)) as harness:
        for offsets in ((HOUR, 0, -HOUR), (-HOUR, HOUR, 0)):
            harness.deployment.start_worker({CLOCK_OFFSETS_VARIABLE: ",".join(map(str, offsets))})
        async with harness.load(6.0):
            for number in range(4):
                await asyncio.sleep(JUMP_INTERVAL + 1.0)  # each lives through a jump before it is killed
                harness.workers[number % 2].kill_and_start()
        verdict = await harness.judge()
        skewed = (await harness.deployment.sql(COUNT_SKEWED_IDS, HOUR - 60))[0]
        ensure(min(skewed["ahead"], skewed["behind"]) > 0, f"hardly any ID is skewed: {dict(skewed)}")
        late = [row["seconds"] for row in await harness.deployment.sql(TAKEOVERS)]
        ensure(bool(late), "nothing was taken over: the scenario tested nothing about leases")
        # F01 measures how fast a takeover is; by a wrong clock it would be off by an hour.
        ensure(max(late) <= 30.0, f"a takeover came {max(late):.1f} s after the end of the lease")
        return figures(
            takeovers=len(late), deliveries=verdict.deliveries, early=verdict.early, repeats=verdict.repeats
        )
