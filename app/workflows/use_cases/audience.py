"""Publishing that enrolls contacts who match now: their number, and the job that requests their entry."""

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import select, update

from app.engine.core.draft import Audience, Draft
from app.engine.core.events import MANUAL
from app.engine.core.version import Version, load_version
from app.errors import Conflict, Invalid, NotNow
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
    args: JsonObject = {"workflow_id": str(version.workflow_id), "number": version.number}
    return work.add_job(QUEUE, TASK, args, total=total)


async def run_audience(work: Work, job: Job) -> bool:
    """Requests the entry of the next batch of contacts; the matcher decides on each, as for any event. True
    after the last batch. The events and the position of the walk are written in one transaction. Raises
    `Conflict` when the version is no longer live, `NotNow` while the workflow is paused: its matcher would
    refuse them."""
    workflow_id = msgspec.convert(job.args["workflow_id"], UUID)
    number = msgspec.convert(job.args["number"], int)
    header = await work.workflows.header(workflow_id)
    if header is None or header.live_version != number:
        raise Conflict(f"Version {number} is no longer live, so no more contacts were enrolled by it.")
    if header.status == "paused":
        raise NotNow(PAUSED)
    version = load_version((await _row(work, workflow_id, number)).document)
    mine = (Job.account_id == work.account_id, Job.id == job.id)
    result = dict(await work.session.scalar(select(Job.result).where(*mine).with_for_update()) or {})
    after = msgspec.convert(result.get("cursor"), UUID | None)
    ids = await lock_next_contacts(work.session, await _set(work, version, job), after, BATCH)
    events = [_enroll_request(contact, workflow_id) for contact in ids]
    await insert_events(work.session, events, work.now)
    result["changed"] = msgspec.convert(result.get("changed", 0), int) + len(ids)
    if ids:
        result["cursor"] = str(ids[-1])
        work.notify_worker()
    last = len(ids) < BATCH
    progress = Job.total if last else Job.progress + len(ids)
    await work.session.execute(
        update(Job)
        .where(*mine)
        .values(progress=progress, result=result)
        .execution_options(synchronize_session=False)
    )
    return last  # the worker commits


async def _row(work: Work, workflow_id: UUID, number: int) -> Any:
    return await work.workflows.version(workflow_id, number)


def _enroll_request(contact_id: UUID, workflow_id: UUID) -> NewEvent:
    event_id = uuid7()
    data: JsonObject = {"workflow_id": str(workflow_id), "audience": True}
    return NewEvent(event_id, MANUAL, contact_id, "system", data, event_id)
