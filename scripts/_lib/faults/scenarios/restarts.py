"""Workers are replaced one by one under load, as in a deployment of a new version (F16)."""

import asyncio
import signal
import time
from typing import Any

from jobs.worker import GRACE_SECONDS
from scripts._lib.faults.scenarios.harness import Harness, ensure, figures

RESTARTS = 20


async def f16_workers_are_replaced() -> dict[str, Any]:
    """SIGTERM a worker and start a new one after its exit, twenty times under load.

    Each leaves within the grace period. Nothing is lost, repeated or in doubt.
    """
    slowest = 0.0
    async with Harness.start(workers=2, answer_seconds=(0.0, 0.2)) as harness:
        async with harness.load(6.0):
            await harness.wait_for(lambda: harness.count_deliveries() > 0, 15.0, "the first send")
            before = harness.count_deliveries()
            for number in range(RESTARTS):
                worker, started = harness.workers[number % 2], time.monotonic()
                worker.signal(signal.SIGTERM)
                await worker.wait_until_gone(GRACE_SECONDS)
                slowest = max(slowest, time.monotonic() - started)
                worker.start()
                await asyncio.sleep(0.5)
            meanwhile = harness.count_deliveries() - before
        verdict = await harness.judge()
        ensure(meanwhile > RESTARTS, f"only {meanwhile} deliveries meanwhile: the scenario tested nothing")
        ensure(verdict.repeats == 0, f"{verdict.repeats} repeats")
        ensure(verdict.held == 0, f"{verdict.held} effects are in doubt")
        return figures(restarts=RESTARTS, slowest_exit=slowest, meanwhile=meanwhile)
