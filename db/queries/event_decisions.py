"""Reads the events of a contact with what the matcher decided on each for one workflow."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.queries.statements import fetch_all


class EventAndDecision(msgspec.Struct, frozen=True):
    """An event and the stored decision of the workflow on it, if there is one. `passed_over`: the event could
    not be matched and was skipped."""

    id: UUID
    kind: str
    source: str
    subject_id: UUID
    data: JsonObject
    depth: int
    occurred_at: datetime
    verdict: str | None
    detail: JsonObject | None
    version: int | None
    matched: bool
    passed_over: bool


# Events of a contact, newest first, each with the decision of one workflow on it.
_DECISIONS_ON_EVENTS = """
select v.id, v.kind, v.source, v.subject_id, v.data, v.depth, v.occurred_at, d.verdict, d.detail, d.version,
       v.matched_at is not null as matched,
       exists (select from audit_logs a
         where a.account_id = v.account_id and a.subject_kind = 'contact'
           and a.subject_id = cast(v.subject_id as text) and a.action = 'event.skipped'
           and a.changes->'event'->>0 = cast(v.id as text)
           and (strpos(a.changes->'event'->>1, 'could not be matched') > 0
             or strpos(a.changes->'event'->>1, cast(cast(:workflow as uuid) as text)) > 0)) as passed_over
  from events v
  left join trigger_decisions d
    on d.account_id = v.account_id and d.event_id = v.id and d.workflow_id = cast(:workflow as uuid)
 where v.account_id = current_account() and v.subject_id = :contact {which}
 order by v.id {order} limit :most
"""
_OLDER, _NEWER = "and v.id < cast(:edge as uuid)", "and v.id > cast(:edge as uuid)"
_LATEST_EVENT_DECISIONS = text(_DECISIONS_ON_EVENTS.format(which="", order="desc")).columns(
    data=JSONB, detail=JSONB
)
_OLDER_EVENT_DECISIONS = text(_DECISIONS_ON_EVENTS.format(which=_OLDER, order="desc")).columns(
    data=JSONB, detail=JSONB
)
_NEWER_EVENT_DECISIONS = text(_DECISIONS_ON_EVENTS.format(which=_NEWER, order="asc")).columns(
    data=JSONB, detail=JSONB
)


async def read_events_and_decisions(
    session: AsyncSession,
    workflow_id: UUID,
    contact_id: UUID,
    after: UUID | None,
    before: UUID | None,
    most: int,
) -> list[EventAndDecision]:
    """The contact's events that are older than `after`, newest first; or newer than `before`, oldest first;
    or the latest, newest first."""
    if before is not None:
        statement, edge = _NEWER_EVENT_DECISIONS, {"edge": before}
    elif after is not None:
        statement, edge = _OLDER_EVENT_DECISIONS, {"edge": after}
    else:
        statement, edge = _LATEST_EVENT_DECISIONS, {}
    return await fetch_all(
        session, EventAndDecision, statement, workflow=workflow_id, contact=contact_id, most=most, **edge
    )
