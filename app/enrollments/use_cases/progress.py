"""Pauses and resumes an enrollment, skips its wait, or moves it to another step. Each command locks the
enrollment, decides, and writes an audit entry; the engine does the rest."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.enrollments.labels import SKIPPED
from app.enrollments.pages import titles_of
from app.enrollments.use_cases.membership import locked_row, place_of, refuse_twice, refuse_under_way
from app.errors import Conflict, Invalid
from app.json_types import JsonObject
from app.work import Work
from db.models import Enrollment as Row
from db.queries.counters import append_counts, place_changes
from db.queries.enrollment_changes import cancel_unsent_effects
from db.queries.step_side_effects import ClosedApproval, close_approvals
from db.queries.version_migration import LockedEnrollment, close_visits

ENDED = "This enrollment has already ended."
PAUSED = "This enrollment is paused. Resume it first."


async def pause_enrollment(work: Work, enrollment_id: UUID) -> None:
    """Keeps the enrollment where it is until a member resumes it: nothing is sent, no wait ends. Raises
    `NotFound`, `Conflict` (ended, or paused already)."""
    row = await _live(work, enrollment_id)
    if row.paused_at is not None:
        raise Conflict("This enrollment is already paused.")
    row.paused_at, row.due_at, row.fence = work.now, None, row.fence + 1
    work.audit("enrollment.paused", "enrollment", row.id, {"paused": (False, True)})
    await work.commit()


async def resume_enrollment(work: Work, enrollment_id: UUID) -> None:
    """Lets the engine move the enrollment again; a wait that ended meanwhile is over. Raises `NotFound`,
    `Conflict`."""
    row = await _live(work, enrollment_id)
    if row.paused_at is None:
        raise Conflict("This enrollment isn't paused.")
    row.paused_at, row.due_at, row.fence = None, work.now, row.fence + 1
    work.audit("enrollment.resumed", "enrollment", row.id, {"paused": (True, False)})
    work.notify_worker("advance", "send")
    await work.commit()


async def skip_wait(work: Work, enrollment_id: UUID) -> None:
    """Ends a wait now, as if what it waited for had not happened. Raises `NotFound`, `Conflict`."""
    row = await _live(work, enrollment_id)
    if row.paused_at is not None:
        raise Conflict(PAUSED)
    if row.wait_reason not in SKIPPED:
        raise Conflict("This enrollment isn't waiting for a time, so there is nothing to skip.")
    visit = await work.visits.open(row.id, row.seq)
    if visit is not None:
        visit.detail = {**visit.detail, "skipped_by": work.actor.name}
    before = row.wait_until.isoformat() if row.wait_until else None
    row.wait_until = row.due_at = work.now
    if row.wait_reason == "event" and visit is not None:
        row.wait_until = visit.started_at  # times out, whatever is still unmatched
    row.fence += 1  # so that an error of an earlier batch does not park it now
    if row.wait_reason in ("window", "timer"):
        row.wake_event_id = (
            row.event_id
        )  # otherwise the step would find its window closed or its date ahead again
    work.audit(
        "enrollment.wait_skipped", "enrollment", row.id, {"wait_until": (before, work.now.isoformat())}
    )
    work.notify_worker("advance")
    await work.commit()


async def jump(work: Work, enrollment_id: UUID, step_key: str) -> None:
    """Moves the enrollment to another step of its version, as a new visit; also after it failed. Raises
    `NotFound`, `Invalid` (no such step), `Conflict` (ended, or an effect is in flight that cannot be
    canceled)."""
    row = await locked_row(work, enrollment_id)
    if row.status not in ("active", "failed"):
        raise Conflict(ENDED)
    version = (row.workflow_id, row.version)
    names = (await titles_of(work, {version}))[version]
    if step_key not in names:
        raise Invalid({"step": f"Choose a step of version {row.version}, the version this enrollment is on."})
    await refuse_under_way(work, [row.id])
    if row.status == "failed":
        await refuse_twice(work, row)
    await close_open_visits(work, [row], {"reason": "moved", "by": work.actor.name})
    work.audit(
        "enrollment.moved", "enrollment", row.id, {"step": (names.get(row.step_key or ""), names[step_key])}
    )
    before = place_of(row)
    restart_at_step(row, step_key, work.now)
    await append_counts(work.session, place_changes([(before, place_of(row))]))
    work.notify_worker("advance")
    await work.commit()


async def close_open_visits(
    work: Work,
    rows: Sequence[Row | LockedEnrollment],
    detail: JsonObject,
    error: str = "The enrollment was moved to another step before this was sent.",
) -> None:
    """Closes the open visits as left, cancels effects that were not sent (`error` says why), and closes open
    approvals."""
    ids = [row.id for row in rows]
    await close_visits(work.session, ids, detail, work.now)
    await cancel_unsent_effects(work.session, ids, error)
    closed = [ClosedApproval(row.id, row.seq, "withdrawn") for row in rows]
    await close_approvals(work.session, closed)


def restart_at_step(row: Row, step_key: str, now: datetime) -> None:
    """Makes the enrollment due at the start of the step; a paused enrollment stays paused."""
    row.status, row.step_key, row.fence = "active", step_key, row.fence + 1
    row.wait_reason = row.wait_until = row.exit_reason = row.error = row.ended_at = None
    row.wake_event_id = None
    row.due_at = None if row.paused_at else now


async def _live(work: Work, enrollment_id: UUID) -> Row:
    row = await locked_row(work, enrollment_id)
    if row.status != "active":
        raise Conflict(ENDED)
    return row
