"""Ends enrollments that a step asked to end. The step only emits an event, so that advancing one enrollment
never locks another."""

from collections.abc import Sequence
from uuid import UUID

from app.engine.core.events import LEAVE_REQUESTED
from app.engine.core.types import ExitReason
from app.engine.matching.enroll import end_enrollments
from app.work import Work
from db.queries.enrollment_wake import EndRequest, find_enrollments_to_end
from db.queries.event_matching import ClaimedEvent


async def end_requested(work: Work, rows: Sequence[ClaimedEvent]) -> None:
    """Ends the enrollments that the LEAVE_REQUESTED events among `rows` name. Contacts that entered after the
    event stay."""
    requests = [
        EndRequest(row.id, row.subject_id, _id_in(row, "workflow_id"), _id_in(row, "not"))
        for row in rows
        if row.kind == LEAVE_REQUESTED
    ]
    if requests:
        enrollments = await find_enrollments_to_end(work.session, requests)
        await end_enrollments(work, enrollments, ExitReason.REMOVED_BY_WORKFLOW)


def _id_in(row: ClaimedEvent, name: str) -> UUID | None:
    value = row.data.get(name)
    return UUID(value) if isinstance(value, str) and value else None
