"""Memory: what one `switchyard worker` holds while few and while very many enrollments are due.

`measure_memory` is the entry point. The workflows have one step. The resident memory is sampled ten times a
second. The worker doesn't have to finish the very many: what it holds doesn't depend on how long it runs, so
the time is limited.
"""

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Any

from app.engine.core.steps import Step, UpdateField
from scripts._lib.bench.app_processes import running_worker
from scripts._lib.bench.lateness import IS_ANY_DUE
from scripts._lib.bench.testbed import Testbed
from scripts._lib.dev.terminal import ScriptError

WORKFLOWS = 10


async def measure_memory(testbed: Testbed, few: int, many: int, seconds: float) -> dict[str, Any]:
    """The peak memory with `many` due, divided by that with `few`; each is sampled for at most `seconds`."""
    low, _ = await peak_resident_bytes(testbed, few, seconds)
    high, moved = await peak_resident_bytes(testbed, many, seconds)
    return {
        "rss_1m_over_10k": round(high / low, 3),
        "memory": {"few_mb": round(low / 1e6, 1), "many_mb": round(high / 1e6, 1), "moved": moved},
    }


async def peak_resident_bytes(testbed: Testbed, count: int, seconds: float) -> tuple[int, int]:
    """The peak of the resident bytes, and how many enrollments were moved meanwhile."""
    await testbed.clear()
    account = await testbed.account()
    await testbed.contacts(account, count // WORKFLOWS)
    now = await testbed.now()
    for _ in range(WORKFLOWS):
        workflow = await testbed.workflow(account, [Step("s1", UpdateField(field="state", value="x"))])
        await testbed.enroll(account, workflow, now, timedelta())
    await testbed.vacuum()
    peak = 0
    async with running_worker(testbed) as process:
        started, samples = monotonic(), 0
        while monotonic() - started < seconds:
            peak, samples = max(peak, process.memory_info().rss), samples + 1
            if samples % 20 == 0 and not await testbed.admin.fetchval(IS_ANY_DUE, account):
                break
            await asyncio.sleep(0.1)
    moved = await testbed.admin.fetchval("select count(*) from enrollment_executions")
    if not moved:
        raise ScriptError("The worker moved no enrollment while its memory was measured.")
    return peak, moved
