"""The background job of one occurrence of a schedule or date trigger: emits an event for each contact that it
is for, page by page."""

from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import ColumnElement

from app.engine.core.events import DATE_REACHED, SCHEDULE_FIRED
from app.engine.core.timing.occurrences import Timed, target_day, yearly_days
from app.engine.core.triggers import DateReached, Schedule
from app.engine.program_cache import AccountContext
from app.engine.schedules.trigger_schedules import timed_triggers
from app.errors import Invalid
from app.filters.ast import Filter, Op, Predicate
from app.filters.fields import Fields
from app.json_types import JsonObject
from app.work import Work
from db.ids import derived_uuid
from db.models import Job
from db.queries.programs import read_version_documents
from db.queries.trigger_schedules import (
    OccurrenceEvent,
    date_falls_on,
    find_next_contacts,
    insert_occurrence_events,
)

BATCH = 500


class OccurrenceArgs(msgspec.Struct):
    """The arguments of a job that fires an occurrence; `after` is the last contact of the page before."""

    workflow_id: UUID
    trigger: str
    version: int
    at: str
    now: str
    after: UUID | None = None


async def fire_occurrence(work: Work, job: Job) -> bool:
    """Does the next page of an occurrence; True if it was the last one. The job stores its position in the
    same transaction, and event ids are derived from the occurrence: a killed worker doubles nothing."""
    args = msgspec.convert(job.args, OccurrenceArgs)
    workflow, key = args.workflow_id, args.trigger
    account = await AccountContext.of(work)
    versions = await read_version_documents(work.session, [(workflow, args.version)])
    trigger = timed_triggers(versions[0].document).get(key) if versions else None
    if trigger is None:
        return True
    at, now = datetime.fromisoformat(args.at), datetime.fromisoformat(args.now)
    contact_ids = await find_next_contacts(
        work.session,
        contact_conditions(trigger, at, account.cached.fields, account.zone),
        account.cached.fields,
        account.zone,
        now=now,
        after=args.after,
        limit=BATCH,
    )
    if contact_ids:
        kind, data, moment, name = event_content(trigger, f"{workflow}:{key}", at, account.zone)
        events = [
            OccurrenceEvent(derived_uuid(moment, name, str(contact)), contact) for contact in contact_ids
        ]
        await insert_occurrence_events(work.session, kind, data, events, work.now)
        job.args = {**job.args, "after": str(contact_ids[-1])}
        job.progress += len(contact_ids)
        work.notify_worker("match")
    return len(contact_ids) < BATCH


def event_content(
    trigger: Timed, name: str, at: datetime, zone: ZoneInfo
) -> tuple[str, JsonObject, datetime, str]:
    """Kind and data of the event, then the moment and the name that its id is derived from. A date trigger
    fires once for its day, even if the account changes its time zone."""
    if isinstance(trigger, Schedule):
        return SCHEDULE_FIRED, {"trigger": name, "at": at.isoformat()}, at, f"{name}:{at.isoformat()}"
    day = at.astimezone(zone).date()
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return DATE_REACHED, {"trigger": name, "day": day.isoformat()}, moment, f"{name}:{day.isoformat()}"


def contact_conditions(
    trigger: Timed, at: datetime, fields: Fields, zone: ZoneInfo
) -> list[Filter | ColumnElement[bool] | None]:
    """The conditions on a contact. Raises `Invalid` if the date field no longer exists."""
    conditions: list[Filter | ColumnElement[bool] | None] = [trigger.filter]
    if isinstance(trigger, DateReached):
        spec, day = fields.get(trigger.field), target_day(trigger, at, zone)
        if spec is None or day is None:
            raise Invalid({"field": "The date field of this trigger no longer exists."})
        return [*conditions, date_falls_on(spec, day, yearly_days(day) if trigger.yearly else [], zone)]
    if trigger.segment is not None:
        conditions.append(Predicate("segments", Op.ANY_OF, [str(trigger.segment)]))
    return conditions
