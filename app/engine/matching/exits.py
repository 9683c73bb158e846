"""Whom a step takes out of workflows: asked for by an event, so that nobody is locked by those who move."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.engine.core.events import LEAVE_REQUESTED
from app.engine.core.types import ExitReason
from app.engine.matching.enroll import take_out
from app.work import Work
from db.queries.batch_session import Engine
from db.queries.step_side_effects import LEAVING


async def take_out_asked(work: Work, engine: Engine, rows: Sequence[Any]) -> None:
    """Ends what events (rows as they were read) ask to be ended; who entered after the question stays."""
    asked = [row for row in rows if row.kind == LEAVE_REQUESTED]
    if not asked:
        return
    found = await engine.all(
        LEAVING,
        event_id=[row.id for row in asked],
        contact_id=[row.subject_id for row in asked],
        workflow_id=[_id(row.data.get("workflow_id")) for row in asked],
        not_id=[_id(row.data.get("not")) for row in asked],
    )
    await take_out(work, engine, [row.id for row in found], ExitReason.REMOVED_BY_WORKFLOW)


def _id(text: str | None) -> UUID | None:
    return UUID(text) if text else None
