"""Settles, retries and cancels effects, and retries the step of an enrollment. Each command locks the
enrollment before the effect, in the engine's order, and writes an audit entry."""

from uuid import UUID

from app.enrollments.use_cases.membership import locked_row, place_of, refuse_twice, refuse_under_way
from app.errors import Conflict, NotFound
from app.work import Work
from db.models import Effect
from db.models import Enrollment as Row
from db.queries.counters import append_counts, counts, place_changes


async def settle_effect(work: Work, effect_id: UUID, *, sent: bool) -> UUID:
    """Settles an effect in doubt: it was sent, or it was not and is sent again. Returns the enrollment.
    Raises `NotFound`, `Conflict` (no longer in doubt)."""
    effect, row = await _effect(work, effect_id)
    if effect.status != "unknown":
        raise Conflict("This is no longer in doubt.", current={"status": effect.status})
    effect.fence += 1
    if sent:
        effect.status, effect.error = "sent", None
        effect.sent_at = effect.started_at or work.now
        effect.result = {"resolved_by": work.actor.name}
    else:
        _send_again(work, effect)
    _wake(work, effect, row)
    work.audit("effect.resolved", "effect", effect.id, {"status": ("unknown", effect.status)})
    await work.commit()
    return row.id


async def retry_effect(work: Work, effect_id: UUID) -> UUID:
    """Retries an effect at once if it waits for its next attempt; if it failed permanently, its step starts
    again. Returns the enrollment. Raises `NotFound`, `Conflict`."""
    effect, row = await _effect(work, effect_id)
    if effect.status == "failed_permanent" and row.seq == effect.seq:
        await _begin_again(work, row)
    elif effect.status == "retry":
        _try_now(work, effect, row)
    else:
        raise Conflict("This can't be retried.", current={"status": effect.status})
    await work.commit()
    return row.id


async def cancel_effect(work: Work, effect_id: UUID) -> UUID:
    """Cancels an effect that was not sent; its enrollment fails and does not continue without it. Returns the
    enrollment. Raises `NotFound`, `Conflict`."""
    effect, row = await _effect(work, effect_id)
    if effect.status not in ("pending", "retry"):
        raise Conflict(
            "Only messages that are still waiting can be canceled.", current={"status": effect.status}
        )
    before, effect.status = effect.status, "cancelled"
    effect.error, effect.fence = f"Canceled by {work.actor.name}.", effect.fence + 1
    _wake(work, effect, row)
    work.audit("effect.cancelled", "effect", effect.id, {"status": (before, "cancelled")})
    await work.commit()
    return row.id


async def retry_enrollment(work: Work, enrollment_id: UUID) -> None:
    """Retries the step: at once if it waits for its next attempt, as a new visit if it failed. A visit that
    failed although its message was sent is closed as sent, and the next step runs. Raises `NotFound`,
    `Conflict` (neither holds, an effect is in doubt, or the contact is in the workflow again)."""
    row = await locked_row(work, enrollment_id)
    waiting = None
    if row.status == "active" and row.paused_at is None:
        waiting = await work.effects.get_one_or_none(
            enrollment_id=row.id, seq=row.seq, status="retry", with_for_update=True
        )
    if waiting is not None:
        _try_now(work, waiting, row)
    else:
        await _begin_again(work, row)
    await work.commit()


async def _begin_again(work: Work, row: Row) -> None:
    if row.status != "failed":
        raise Conflict("Only a step that failed or is waiting for its next attempt can be retried.")
    await refuse_under_way(work, [row.id])
    await refuse_twice(work, row)
    work.audit("enrollment.retried", "enrollment", row.id, {"error": (row.error, None)})
    before = place_of(row)
    row.status, row.due_at, row.fence = "active", work.now, row.fence + 1
    await append_counts(work.session, place_changes([(before, place_of(row))]))
    row.wait_reason = row.wait_until = row.exit_reason = row.error = row.ended_at = None
    row.paused_at = row.wake_event_id = None
    if await work.effects.exists(enrollment_id=row.id, seq=row.seq, status="sent"):
        row.wait_reason = "effect"  # as if it had just been sent: a new visit would send it again
        await _reopen_visit(work, row)
    work.notify_worker("advance", "send")


async def _reopen_visit(work: Work, row: Row) -> None:
    """The visit that failed goes on, and counts when it ends again."""
    visit = await work.visits.get_one_or_none(enrollment_id=row.id, seq=row.seq)
    if visit is None or visit.outcome is None:
        return
    if counts(visit.outcome, visit.detail):
        lane = str(visit.detail.get("branch", ""))
        await append_counts(work.session, {}, {(row.workflow_id, visit.step_key, visit.outcome, lane): -1})
    visit.outcome = visit.finished_at = visit.error = None


async def _effect(work: Work, effect_id: UUID) -> tuple[Effect, Row]:
    """Locks the enrollment before the effect, in the engine's order."""
    unlocked = await work.effects.get_one_or_none(id=effect_id)
    if unlocked is None:
        raise NotFound("effect")
    row = await locked_row(work, unlocked.enrollment_id)
    effect = await work.effects.get_one_or_none(id=effect_id, with_for_update=True)
    if effect is None:
        raise NotFound("effect")
    return effect, row


def _wake(work: Work, effect: Effect, row: Row) -> None:
    if row.status == "active" and row.paused_at is None and row.seq == effect.seq:
        row.due_at = work.now
    work.notify_worker("advance", "send")


def _send_again(work: Work, effect: Effect) -> None:
    effect.status, effect.error, effect.due_at = "pending", None, work.now
    effect.started_at = effect.lease_until = None


def _try_now(work: Work, effect: Effect, row: Row) -> None:
    _send_again(work, effect)
    _wake(work, effect, row)
    work.audit("effect.retried", "effect", effect.id, {"status": ("retry", "pending")})
