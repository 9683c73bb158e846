"""Runs what is due by time. Entry point: `run_schedules`, which fires schedules and date triggers, compares
segments, and marks tasks as overdue."""

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import structlog

from app.engine.core.events import TASK_OVERDUE
from app.engine.core.timing.occurrences import DueOccurrences, due_occurrences
from app.engine.matching.segment_membership import RETRY_AFTER_ERROR, compare_due_segment
from app.engine.schedules.trigger_schedules import timed_triggers
from app.redaction import redact
from app.runtime import Runtime
from app.work import SYSTEM, Work, open_work
from db.ids import uuid7
from db.queries.batch_session import INSERT_EVENTS, READ_ACCOUNT, BatchSession
from db.queries.trigger_schedules import (
    CLAIM_DUE_SCHEDULES,
    DELETE_SCHEDULE,
    HAS_DUE_WORK,
    HAS_UNFINISHED_OCCURRENCE,
    MARK_TASKS_OVERDUE,
    NEVER,
    POSTPONE_SCHEDULE,
    UPSERT_SCHEDULE,
)

log = structlog.get_logger(__name__)
SCHEDULE_BATCH, TASK_BATCH = 20, 500
FIRE_TASK = "schedule.fire"
RECHECK_UNFINISHED = timedelta(seconds=30)  # while the previous occurrence is not done


async def run_schedules(runtime: Runtime, account_id: UUID) -> int:
    """Does one batch of each kind that is due in an account; returns how many items. Each kind has a unit of
    work of its own, so that one that fails does not hold up the others; its error is raised at the end."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        due = (await BatchSession(work.session).all(HAS_DUE_WORK, now=work.now))[0]
    parts = (
        (due.schedules, fire_due_schedules),
        (due.tasks, mark_overdue_tasks),
        (due.segments, compare_due_segment),
    )
    done, failed = 0, list[Exception]()
    for part in (part for is_due, part in parts if is_due):
        try:
            async with open_work(runtime, account_id, SYSTEM) as work:
                done += await part(work)
        except Exception as error:  # noqa: BLE001 -- raised below
            failed.append(error)
    for other in failed[1:]:  # the caller logs the first one
        log.error("schedules.error", account=str(account_id), exc_info=other)
    if failed:
        raise failed[0]
    return done


async def fire_due_schedules(work: Work) -> int:
    """Turns each due occurrence into one background job, in the transaction that advances its schedule:
    whatever happens, each occurrence gets exactly one job."""
    db = BatchSession(work.session)
    rows = await db.all(CLAIM_DUE_SCHEDULES, now=work.now, most=SCHEDULE_BATCH)
    for row in rows:
        try:
            await _fire(work, db, row)
        except (msgspec.MsgspecError, ValueError) as error:
            # A schedule that cannot be read does not stop the others.
            log.exception("schedule.unreadable", workflow=str(row.workflow_id), trigger=row.trigger_key)
            await _postpone(work, db, row, error)
    await work.commit()
    return len(rows)


async def _postpone(work: Work, db: BatchSession, row: Any, error: Exception) -> None:
    """Tries a schedule that cannot be read again later; missed occurrences follow its policy."""
    reason = redact(f"{type(error).__name__}: {error}")[:200]
    changes = {"trigger": (None, row.trigger_key), "error": (None, reason)}
    work.audit("workflow.schedule_unreadable", "workflow", row.workflow_id, changes)
    await db.do(
        POSTPONE_SCHEDULE,
        workflow=row.workflow_id,
        trigger=row.trigger_key,
        next_at=work.now + RETRY_AFTER_ERROR,
    )


async def _fire(work: Work, db: BatchSession, row: Any) -> None:
    trigger = timed_triggers(row.document).get(row.trigger_key)
    if trigger is None or row.status not in ("active", "paused"):
        await db.do(DELETE_SCHEDULE, workflow=row.workflow_id, trigger=row.trigger_key)
        return
    last_at, next_at = row.last_at or row.next_at - timedelta(seconds=1), NEVER
    if row.status == "active":
        [before] = await db.all(
            HAS_UNFINISHED_OCCURRENCE, workflow=str(row.workflow_id), trigger=row.trigger_key
        )
        if before.busy:
            # Occurrences do not pile up: those that come due meanwhile count as missed and follow the policy.
            later = work.now + RECHECK_UNFINISHED
            await db.do(POSTPONE_SCHEDULE, workflow=row.workflow_id, trigger=row.trigger_key, next_at=later)
            return
        zone = ZoneInfo((await db.all(READ_ACCOUNT))[0].time_zone)
        occurrences = due_occurrences(trigger, last_at, work.now, zone)
        last_at, next_at = occurrences.last_at, occurrences.next_at or NEVER
        for place, moment in enumerate(occurrences.run):
            args = {
                "workflow_id": str(row.workflow_id),
                "version": row.version,
                "trigger": row.trigger_key,
                "at": moment.isoformat(),
                "now": work.now.isoformat(),
            }
            work.add_job("schedules", FIRE_TASK, args, after=timedelta(microseconds=place))
        _audit_missed(work, row, occurrences, trigger.missed)
    await db.do(
        UPSERT_SCHEDULE,
        workflow=row.workflow_id,
        trigger=row.trigger_key,
        version=row.version,
        kind=trigger.kind,
        next_at=next_at,
        last_at=last_at,
    )


def _audit_missed(work: Work, row: Any, occurrences: DueOccurrences, policy: str) -> None:
    if not occurrences.missed:
        return
    changes = {
        "trigger": (None, row.trigger_key),
        "missed": (None, f"{'more than ' if occurrences.more else ''}{occurrences.missed}"),
        "left_out": (None, f"{'more than ' if occurrences.more else ''}{occurrences.left_out}"),
        "policy": (None, policy),
    }
    log.warning(
        "schedule.occurrences_missed",
        workflow=str(row.workflow_id),
        trigger=row.trigger_key,
        missed=occurrences.missed,
    )
    work.audit("workflow.occurrences_missed", "workflow", row.workflow_id, changes)


async def mark_overdue_tasks(work: Work) -> int:
    """Marks open tasks past their due time as overdue, once, and emits an event for each."""
    db = BatchSession(work.session)
    rows = await db.all(MARK_TASKS_OVERDUE, now=work.now, most=TASK_BATCH)
    await db.insert(INSERT_EVENTS, [_overdue_event(row) for row in rows if row.there], now=work.now)
    work.notify_worker()
    await work.commit()
    return len(rows)


def _overdue_event(row: Any) -> dict[str, Any]:
    event_id = uuid7()
    return {
        "id": event_id,
        "kind": TASK_OVERDUE,
        "subject_id": row.contact_id,
        "source": "system",
        "data": {"task_id": str(row.id), "title": row.title},
        "root_event_id": event_id,
        "depth": 0,
    }
