"""Memory: what one `litestar worker` holds while few and while very many people are due.

The workflows have one step. Memory is what is resident now, looked at ten times a second; the very many are
not all waited for: what a worker holds does not depend on how long it goes on, and the time is bounded.
"""

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Any

from app.engine.core.steps import Step, UpdateField
from scripts._lib.bench.app_processes import worker
from scripts._lib.bench.lateness import BEHIND
from scripts._lib.bench.testbed import Place
from scripts._lib.dev.terminal import Problem

WORKFLOWS = 10


async def memory(place: Place, few: int, many: int, seconds: float) -> dict[str, Any]:
    """The most that is resident with `many` due, times that with `few`; `seconds` is the longest look."""
    low, _ = await resident(place, few, seconds)
    high, moved = await resident(place, many, seconds)
    return {
        "rss_1m_over_10k": round(high / low, 3),
        "memory": {"few_mb": round(low / 1e6, 1), "many_mb": round(high / 1e6, 1), "moved": moved},
    }


async def resident(place: Place, count: int, seconds: float) -> tuple[int, int]:
    """The most bytes seen, and how many people were moved meanwhile."""
    await place.clear()
    account = await place.account()
    await place.people(account, count // WORKFLOWS)
    now = await place.now()
    for _ in range(WORKFLOWS):
        workflow = await place.workflow(account, [Step("s1", UpdateField(field="state", value="x"))])
        await place.enroll(account, workflow, now, timedelta())
    await place.settle()
    most = 0
    async with worker(place) as process:
        began, looks = monotonic(), 0
        while monotonic() - began < seconds:
            most, looks = max(most, process.memory_info().rss), looks + 1
            if looks % 20 == 0 and not await place.admin.fetchval(BEHIND, account):
                break
            await asyncio.sleep(0.1)
    moved = await place.admin.fetchval("select count(*) from enrollment_executions")
    if not moved:
        raise Problem("Nobody was moved while the worker's memory was looked at.")
    return most, moved
