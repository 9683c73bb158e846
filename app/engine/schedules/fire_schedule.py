"""The background job of one occurrence of a schedule or date trigger: emits an event for each contact that it
is for, page by page."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from app.engine.core.events import DATE_REACHED, SCHEDULE_FIRED
from app.engine.core.timing.occurrences import Timed, target_day, yearly_days
from app.engine.core.triggers import DateReached, Schedule
from app.engine.program_cache import AccountContext
from app.engine.schedules.trigger_schedules import timed_triggers
from app.errors import Invalid
from app.filters.ast import Filter, Op, Predicate
from app.filters.fields import Fields
from app.work import Work
from db.ids import derived_uuid
from db.models import Job
from db.queries.batch_session import READ_VERSION_DOCUMENTS
from db.queries.trigger_schedules import INSERT_OCCURRENCE_EVENTS, date_falls_on, next_contacts

BATCH = 500


async def fire_occurrence(work: Work, job: Job) -> bool:
    """Does the next page of an occurrence; True if it was the last one. The job stores its position in the
    same transaction, and event ids are derived from the occurrence: a killed worker doubles nothing."""
    args = job.args
    workflow, key = UUID(args["workflow_id"]), args["trigger"]
    account = await AccountContext.of(work)
    rows = await account.db.all(READ_VERSION_DOCUMENTS, workflows=[workflow], numbers=[args["version"]])
    trigger = timed_triggers(rows[0].document).get(key) if rows else None
    if trigger is None:
        return True
    at, now = datetime.fromisoformat(args["at"]), datetime.fromisoformat(args["now"])
    contact_ids = await next_contacts(
        work.session,
        contact_conditions(trigger, at, account.cached.fields, account.zone),
        account.cached.fields,
        account.zone,
        now=now,
        after=UUID(args["after"]) if "after" in args else None,
        limit=BATCH,
    )
    if contact_ids:
        kind, data, moment, name = event_content(trigger, f"{workflow}:{key}", at, account.zone)
        await account.db.insert(
            INSERT_OCCURRENCE_EVENTS,
            [
                {"id": derived_uuid(moment, name, str(contact)), "subject_id": contact}
                for contact in contact_ids
            ],
            kind=kind,
            data=msgspec.json.encode(data).decode(),
            now=work.now,
        )
        job.args = {**args, "after": str(contact_ids[-1])}
        job.progress += len(contact_ids)
        work.notify_worker()
    return len(contact_ids) < BATCH


def event_content(
    trigger: Timed, name: str, at: datetime, zone: ZoneInfo
) -> tuple[str, dict[str, Any], datetime, str]:
    """Kind and data of the event, then the moment and the name that its id is derived from. A date trigger
    fires once for its day, even if the account changes its time zone."""
    if isinstance(trigger, Schedule):
        return SCHEDULE_FIRED, {"trigger": name, "at": at.isoformat()}, at, f"{name}:{at.isoformat()}"
    day = at.astimezone(zone).date()
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return DATE_REACHED, {"trigger": name, "day": day.isoformat()}, moment, f"{name}:{day.isoformat()}"


def contact_conditions(trigger: Timed, at: datetime, fields: Fields, zone: ZoneInfo) -> list[Any]:
    """The conditions on a contact. Raises `Invalid` if the date field no longer exists."""
    conditions: list[Filter | Any] = [trigger.filter]
    if isinstance(trigger, DateReached):
        spec, day = fields.get(trigger.field), target_day(trigger, at, zone)
        if spec is None or day is None:
            raise Invalid({"field": "The date field of this trigger no longer exists."})
        return [*conditions, date_falls_on(spec, day, yearly_days(day) if trigger.yearly else [], zone)]
    if trigger.segment is not None:
        conditions.append(Predicate("segments", Op.ANY_OF, [str(trigger.segment)]))
    return conditions
