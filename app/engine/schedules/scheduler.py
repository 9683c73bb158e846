"""Runs what is due by time. Entry point: `run_schedules`, which fires schedules and date triggers, compares
segments, and marks tasks as overdue."""

from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import structlog

from app.engine.core.events import TASK_OVERDUE
from app.engine.core.timing.occurrences import DueOccurrences, due_occurrences
from app.engine.matching.segment_membership import RETRY_AFTER_ERROR, compare_due_segment
from app.engine.schedules.trigger_schedules import timed_triggers
from app.json_types import JsonObject
from app.redaction import redact
from app.runtime import Runtime
from app.work import SYSTEM, Work, open_work
from db.ids import uuid7
from db.queries.new_events import NewEvent, insert_events
from db.queries.programs import read_account
from db.queries.trigger_schedules import (
    NEVER,
    ClaimedSchedule,
    OverdueTask,
    claim_due_schedules,
    delete_schedule,
    has_unfinished_occurrence,
    mark_tasks_overdue,
    postpone_schedule,
    read_due_work,
    upsert_schedule,
)

log = structlog.get_logger(__name__)
SCHEDULE_BATCH, TASK_BATCH = 20, 500
FIRE_TASK = "schedule.fire"
RECHECK_UNFINISHED = timedelta(seconds=30)  # while the previous occurrence is not done


async def run_schedules(runtime: Runtime, account_id: UUID) -> int:
    """Does one batch of each kind that is due in an account; returns how many items. Each kind has a unit of
    work of its own, so that one that fails does not hold up the others; its error is raised at the end."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        due = await read_due_work(work.session, work.now)
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
    due = await claim_due_schedules(work.session, work.now, SCHEDULE_BATCH)
    for schedule in due:
        try:
            await _fire(work, schedule)
        except (msgspec.MsgspecError, ValueError) as error:
            # A schedule that cannot be read does not stop the others.
            log.exception(
                "schedule.unreadable", workflow=str(schedule.workflow_id), trigger=schedule.trigger_key
            )
            await _postpone_unreadable(work, schedule, error)
    await work.commit()
    return len(due)


async def _postpone_unreadable(work: Work, schedule: ClaimedSchedule, error: Exception) -> None:
    """Tries a schedule that cannot be read again later; missed occurrences follow its policy."""
    reason = redact(f"{type(error).__name__}: {error}")[:200]
    changes = {"trigger": (None, schedule.trigger_key), "error": (None, reason)}
    work.audit("workflow.schedule_unreadable", "workflow", schedule.workflow_id, changes)
    await postpone_schedule(
        work.session, schedule.workflow_id, schedule.trigger_key, work.now + RETRY_AFTER_ERROR
    )


async def _fire(work: Work, schedule: ClaimedSchedule) -> None:
    workflow_id, trigger_key = schedule.workflow_id, schedule.trigger_key
    trigger = timed_triggers(schedule.document).get(trigger_key)
    if trigger is None or schedule.status not in ("active", "paused"):
        await delete_schedule(work.session, workflow_id, trigger_key)
        return
    last_at, next_at = schedule.last_at or schedule.next_at - timedelta(seconds=1), NEVER
    if schedule.status == "active":
        if await has_unfinished_occurrence(work.session, workflow_id, trigger_key):
            # Occurrences do not pile up: those that come due meanwhile count as missed and follow the policy.
            later = work.now + RECHECK_UNFINISHED
            await postpone_schedule(work.session, workflow_id, trigger_key, later)
            return
        zone = ZoneInfo((await read_account(work.session)).time_zone)
        occurrences = due_occurrences(trigger, last_at, work.now, zone)
        last_at, next_at = occurrences.last_at, occurrences.next_at or NEVER
        for place, moment in enumerate(occurrences.run):
            args: JsonObject = {
                "workflow_id": str(workflow_id),
                "version": schedule.version,
                "trigger": trigger_key,
                "at": moment.isoformat(),
                "now": work.now.isoformat(),
            }
            work.add_job("schedules", FIRE_TASK, args, after=timedelta(microseconds=place))
        _audit_missed(work, schedule, occurrences, trigger.missed)
    await upsert_schedule(
        work.session,
        workflow_id,
        trigger_key,
        version=schedule.version,
        kind=trigger.kind,
        next_at=next_at,
        last_at=last_at,
    )


def _audit_missed(work: Work, schedule: ClaimedSchedule, occurrences: DueOccurrences, policy: str) -> None:
    if not occurrences.missed:
        return
    changes = {
        "trigger": (None, schedule.trigger_key),
        "missed": (None, f"{'more than ' if occurrences.more else ''}{occurrences.missed}"),
        "left_out": (None, f"{'more than ' if occurrences.more else ''}{occurrences.left_out}"),
        "policy": (None, policy),
    }
    log.warning(
        "schedule.occurrences_missed",
        workflow=str(schedule.workflow_id),
        trigger=schedule.trigger_key,
        missed=occurrences.missed,
    )
    work.audit("workflow.occurrences_missed", "workflow", schedule.workflow_id, changes)


async def mark_overdue_tasks(work: Work) -> int:
    """Marks open tasks past their due time as overdue, once, and emits an event for each."""
    tasks = await mark_tasks_overdue(work.session, work.now, TASK_BATCH)
    await insert_events(work.session, [_overdue_event(task) for task in tasks if task.there], work.now)
    work.notify_worker("match")
    await work.commit()
    return len(tasks)


def _overdue_event(task: OverdueTask) -> NewEvent:
    event_id = uuid7()
    return NewEvent(
        id=event_id,
        kind=TASK_OVERDUE,
        subject_id=task.contact_id,
        source="system",
        data={"task_id": str(task.id), "title": task.title},
        root_event_id=event_id,
    )
