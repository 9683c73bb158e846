"""Ends enrollments that a step asked to end. The step only emits an event, so that advancing one enrollment
never locks another."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.engine.core.events import LEAVE_REQUESTED
from app.engine.core.types import ExitReason
from app.engine.matching.enroll import end_enrollments
from app.work import Work
from db.queries.batch_session import BatchSession
from db.queries.step_side_effects import FIND_ENROLLMENTS_TO_END


async def end_requested(work: Work, db: BatchSession, rows: Sequence[Any]) -> None:
    """Ends the enrollments that the LEAVE_REQUESTED events among `rows` name. Contacts that entered after the
    event stay."""
    requests = [row for row in rows if row.kind == LEAVE_REQUESTED]
    if not requests:
        return
    enrollments = await db.all(
        FIND_ENROLLMENTS_TO_END,
        event_id=[row.id for row in requests],
        contact_id=[row.subject_id for row in requests],
        workflow_id=[_optional_id(row.data.get("workflow_id")) for row in requests],
        not_id=[_optional_id(row.data.get("not")) for row in requests],
    )
    await end_enrollments(work, db, [row.id for row in enrollments], ExitReason.REMOVED_BY_WORKFLOW)


def _optional_id(text: str | None) -> UUID | None:
    return UUID(text) if text else None
