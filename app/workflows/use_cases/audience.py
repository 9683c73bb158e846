"""Publishing that enrolls contacts who match now: their number, and the job that requests their entry."""

from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, UnsetType

from app.engine.core.draft import Audience, Draft
from app.engine.core.events import MANUAL
from app.engine.core.version import Version
from app.errors import Conflict, Invalid, NotFound, NotNow
from app.filters.ast import FilterError
from app.json_types import JsonObject
from app.work import Work
from app.workflows.domain.audience import audience_filter
from app.workflows.schemas.publication import AudienceView
from db.filters import where
from db.ids import uuid7
from db.models import Contact, Job
from db.queries.contact_conditions import Clause, created_until, live_or_deleted
from db.queries.contact_pages import count_contacts
from db.queries.contact_writes import lock_next_contacts
from db.queries.new_events import NewEvent, insert_events

TASK, QUEUE = "workflow.audience", "bulk"
BATCH = 500
MOST = 10_000_000
PAUSED = timedelta(minutes=1)  # until the job checks again whether the workflow is resumed


class AudienceArgs(msgspec.Struct):
    """What the job enrolls contacts into."""

    workflow_id: UUID
    number: int


class AudienceResult(msgspec.Struct):
    """How many contacts the job has requested, and the last one of them."""

    changed: int = 0
    cursor: UUID | UnsetType = UNSET


async def audience_of(work: Work, draft: Draft) -> AudienceView:
    """The contacts that would enter if this draft were published now; None while its filters are invalid."""
    audience = draft.settings.audience
    if audience is Audience.FUTURE_ONLY:
        return AudienceView(audience.value, None)
    try:
        total = await count_contacts(work.session, await _set(work, draft), MOST)
    except Invalid:
        return AudienceView(audience.value, None)
    return AudienceView(audience.value, total)


async def _set(work: Work, source: Draft | Version, job: Job | None = None) -> Clause:
    """Contacts who existed and match, by the day on which they were requested. Raises `Invalid` for a filter
    that can no longer be used, including that of a segment inside it."""
    zone = ZoneInfo((await work.accounts.own()).time_zone)
    fields = await work.fields.catalog()
    moment = job.created_at if job else work.now
    try:
        condition = live_or_deleted() & where(
            audience_filter(source), Contact.__table__, fields, zone, moment
        )
    except FilterError as error:
        raise Invalid(
            {"": f"Contacts can't enter because a condition or one of its segments is invalid: {error}"}
        ) from None
    return condition & created_until(moment) if job else condition


async def add_audience_job(work: Work, version: Version) -> UUID | None:
    """Adds the job that enrolls current matches into a version that was just published; None if there are
    none."""
    if version.settings.audience is Audience.FUTURE_ONLY:
        return None
    total = await count_contacts(work.session, await _set(work, version), MOST)
    args = AudienceArgs(version.workflow_id, version.number)
    return work.add_job(QUEUE, TASK, msgspec.to_builtins(args), total=total)


async def run_audience(work: Work, job: Job) -> bool:
    """Requests the entry of the next batch of contacts; the matcher decides on each, as for any event. True
    after the last batch. The events and the position of the walk are written in one transaction. Raises
    `Conflict` when the version is no longer live, `NotNow` while the workflow is paused: its matcher would
    refuse them."""
    args = msgspec.convert(job.args, AudienceArgs)
    header = await work.workflows.header(args.workflow_id)
    if header is None or header.live_version != args.number:
        raise Conflict(f"Version {args.number} is no longer live, so no more contacts were enrolled by it.")
    if header.status == "paused":
        raise NotNow(PAUSED)
    version = await work.versions.load(args.workflow_id, args.number)
    locked = await work.jobs.lock(job.id)
    if version is None or locked is None:
        raise NotFound("job" if version else "version")
    result = msgspec.convert(locked.result or {}, AudienceResult)
    after = None if result.cursor is UNSET else result.cursor
    ids = await lock_next_contacts(work.session, await _set(work, version, job), after, BATCH)
    requests = [_enroll_request(contact, args.workflow_id) for contact in ids]
    await insert_events(work.session, requests, work.now)
    result.changed += len(ids)
    if ids:
        result.cursor = ids[-1]
        work.notify_worker("match")
    last = len(ids) < BATCH
    locked.progress = locked.total if last else locked.progress + len(ids)
    locked.result = msgspec.to_builtins(result)
    return last  # the worker commits


def _enroll_request(contact_id: UUID, workflow_id: UUID) -> NewEvent:
    event_id = uuid7()
    data: JsonObject = {"workflow_id": str(workflow_id), "audience": True}
    return NewEvent(event_id, MANUAL, contact_id, "system", data, event_id)
