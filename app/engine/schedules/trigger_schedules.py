"""Keeps the stored schedules of a workflow's schedule and date triggers in sync with its live version."""

from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from app.engine.core.timing.occurrences import Timed, rule_of
from app.engine.core.timing.recurrence import next_after
from app.engine.core.triggers import DateReached, Schedule
from app.engine.core.version import load_version
from app.json_types import JsonObject
from app.work import Work
from db.queries.segment_members import sync_watched_segments
from db.queries.trigger_schedules import (
    NEVER,
    StoredSchedule,
    delete_schedule,
    lock_schedules_of_workflow,
    upsert_schedule,
)

log = structlog.get_logger(__name__)


async def sync_workflow_triggers(work: Work, workflow_id: UUID) -> None:
    """Updates the workflow's schedules and which segments are watched, after it went live, was paused,
    resumed or archived. Call it before the commit of that change."""
    header = await work.workflows.header(workflow_id)
    triggers: dict[str, Timed] = {}
    version, active = 0, False
    if header is not None and header.status in ("active", "paused") and header.live_version is not None:
        version, active = header.live_version, header.status == "active"
        live = await work.versions.find(workflow_id, version)
        triggers = timed_triggers(live.document) if live is not None else {}
    await _sync_schedules(work, workflow_id, triggers, version, active=active)
    if await sync_watched_segments(work.session):
        work.notify_worker("schedules")


def timed_triggers(document: JsonObject) -> dict[str, Timed]:
    """The schedule and date triggers of a version by key, without those whose source it does not listen
    to."""
    version = load_version(document)
    return {
        trigger.key: trigger
        for trigger in version.triggers
        if isinstance(trigger, Schedule | DateReached) and version.listens_to(trigger)
    }


async def _sync_schedules(
    work: Work, workflow_id: UUID, triggers: dict[str, Timed], version: int, *, active: bool
) -> None:
    """A schedule whose rule stays the same continues from its last occurrence: none is repeated or lost. A
    new rule begins now. The schedules of a paused workflow do not fire; when it resumes, missed occurrences
    follow the trigger's policy."""
    session = work.session
    zone = ZoneInfo((await work.accounts.own()).time_zone)
    schedules = await lock_schedules_of_workflow(session, workflow_id)
    existing = {schedule.trigger_key: schedule for schedule in schedules}
    for key in existing.keys() - triggers.keys():
        await delete_schedule(session, workflow_id, key)
    for key, trigger in triggers.items():
        before = existing.get(key)
        same = before is not None and _same_rule(_previous_trigger(before, key), trigger)
        last_at = before.last_at if before is not None and same and before.last_at else work.now
        next_at = next_after(rule_of(trigger), last_at, zone) if active else None
        await upsert_schedule(
            session,
            workflow_id,
            key,
            version=version,
            kind=trigger.kind,
            next_at=next_at or NEVER,
            last_at=last_at,
        )


def _previous_trigger(schedule: StoredSchedule, key: str) -> Timed | None:
    """The trigger that the stored schedule was made for; None if its version cannot be read."""
    try:
        return timed_triggers(schedule.document).get(key)
    except ValueError as error:
        log.warning("schedule.unreadable", trigger=key, version=schedule.version, error=str(error))
        return None


def _same_rule(before: Timed | None, now: Timed) -> bool:
    if isinstance(before, Schedule) and isinstance(now, Schedule):
        return before.cron == now.cron
    return isinstance(before, DateReached) and isinstance(now, DateReached) and before.at == now.at
