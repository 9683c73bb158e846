"""A workflow is held while its enrollments are between its steps (F18)."""

import asyncio
import time
from typing import Any

from scripts._lib.faults.scenarios.harness import Harness, ensure, figures

HOLD_SECONDS = 8.0
HOLD_DELAY = 2.0  # seconds until a hold stops everything
JOURNEY = "select id from workflows where name = 'journey'"


async def f18_workflow_is_held() -> dict[str, Any]:
    """Hold a workflow with active enrollments, then release it.

    Two seconds after the hold nothing of the workflow is sent. After the release every enrollment continues.
    """
    async with Harness.start(workers=2) as harness:
        path = f"/workflows/{await harness.deployment.value(JOURNEY)}"
        await harness.add_contacts(15)
        await harness.wait_for(lambda: harness.count_deliveries("welcome") > 0, 15.0, "the first email")
        await post(harness, f"{path}/hold")
        held_at = time.time()
        await harness.add_contacts(3)
        await asyncio.sleep(HOLD_SECONDS)
        sent_at = [
            delivery.at
            for delivery in harness.deployment.receiver.deliveries
            if delivery.visit.endswith(("/welcome", "/report"))
        ]
        late = [at - held_at for at in sent_at if at > held_at + HOLD_DELAY]
        ensure(
            not late, f"{len(late)} deliveries after the hold, the last after {max(late, default=0):.1f} s"
        )
        await post(harness, f"{path}/hold/deletion")
        verdict = await harness.judge()
        total = harness.count_deliveries("welcome") + harness.count_deliveries("report")
        ensure(len(sent_at) < total, "no enrollment was held: the scenario tested nothing")
        ensure(verdict.repeats == 0, f"{verdict.repeats} repeats")
        return figures(before=len(sent_at), after=total - len(sent_at))


async def post(harness: Harness, path: str) -> None:
    """Send a request as the owner. Raises ScenarioFailed when it isn't accepted."""
    response = await harness.client.post(path, json={}, headers=harness.accounts[0].headers())
    ensure(response.status_code < 300, f"POST {path} answered {response.status_code}: {response.text[:200]}")
