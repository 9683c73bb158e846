"""Published workflows that schedules start, and the events of their occurrences."""

from typing import Any
from uuid import UUID

from app.engine.core.draft import Reentry, WorkflowSettings
from app.engine.core.steps import UpdateField
from app.engine.schedules.trigger_schedules import sync_workflow_triggers
from app.work import SYSTEM, open_work
from tests.support.scenario import Stage

FAR = UpdateField(field="company", value="Struck")

AGAIN = WorkflowSettings(reentry=Reentry.AFTER_EXIT)


async def publish_live(stage: Stage, trigger: Any, settings: WorkflowSettings = AGAIN) -> UUID:
    """Published, with its clocks as publishing makes them."""
    flow = await stage.workflow([FAR], trigger, settings=settings)
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await sync_workflow_triggers(work, flow)
        await work.commit()
    return flow


async def emitted_events(stage: Stage, kind: str = "schedule.fired") -> list[Any]:
    return await stage.sql(
        "select subject_id, data, source from events where account_id = $1 and kind = $2 order by id",
        stage.account, kind,
    )  # fmt: skip
