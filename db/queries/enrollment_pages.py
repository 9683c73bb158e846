"""What the enrollment screens read: pages of enrollments with the names around them, how many have each
status, and the decision that let a contact enter."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import and_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.models import Contact, Effect, Enrollment, Workflow
from db.queries.contact_conditions import matches_search
from db.queries.paging import fetch_page_of
from db.queries.statements import fetch_all, fetch_one, scan_as_usual, scan_indexes_only


class ListedEnrollment(msgspec.Struct, frozen=True):
    """An enrollment with its workflow, its contact, and the effect of the visit that it is at."""

    id: UUID
    workflow_id: UUID
    workflow_name: str
    held: bool
    live_version: int | None
    version: int
    contact_id: UUID
    first_name: str | None
    last_name: str | None
    email: str | None
    deleted_at: datetime | None
    event_id: UUID
    status: str
    step_key: str | None
    seq: int
    wait_reason: str | None
    wait_until: datetime | None
    due_at: datetime | None
    exit_reason: str | None
    goal_key: str | None
    error: str | None
    paused_at: datetime | None
    entered_at: datetime
    ended_at: datetime | None
    effect_kind: str | None
    effect_status: str | None
    effect_attempts: int | None
    effect_due_at: datetime | None
    effect_error: str | None


class StoredDecision(msgspec.Struct, frozen=True):
    """The decision on an event for a workflow; `kind` and `source` are those of the event, None when it
    expired."""

    verdict: str
    detail: JsonObject
    decided_at: datetime
    kind: str | None
    source: str | None


class _StatusCount(msgspec.Struct, frozen=True):
    status: str
    enrollments: int


_ENROLLMENTS = (
    select(
        Enrollment.id,
        Enrollment.workflow_id,
        Workflow.name.label("workflow_name"),
        Workflow.held,
        Workflow.live_version,
        Enrollment.version,
        Enrollment.contact_id,
        Contact.first_name,
        Contact.last_name,
        Contact.email,
        Contact.deleted_at,
        Enrollment.event_id,
        Enrollment.status,
        Enrollment.step_key,
        Enrollment.seq,
        Enrollment.wait_reason,
        Enrollment.wait_until,
        Enrollment.due_at,
        Enrollment.exit_reason,
        Enrollment.goal_key,
        Enrollment.error,
        Enrollment.paused_at,
        Enrollment.entered_at,
        Enrollment.ended_at,
        Effect.kind.label("effect_kind"),
        Effect.status.label("effect_status"),
        Effect.attempts.label("effect_attempts"),
        Effect.due_at.label("effect_due_at"),
        Effect.error.label("effect_error"),
    )
    .join(Workflow, and_(Workflow.account_id == Enrollment.account_id, Workflow.id == Enrollment.workflow_id))
    .join(Contact, and_(Contact.account_id == Enrollment.account_id, Contact.id == Enrollment.contact_id))
    .outerjoin(
        Effect,
        and_(
            Effect.account_id == Enrollment.account_id,
            Effect.enrollment_id == Enrollment.id,
            Effect.seq == Enrollment.seq,
        ),
    )
)
# Reads the index for one workflow and status at a time, no further than is shown: counting whole groups row
# by row takes too long in a list of a million. And reads nothing but the index: where there are no rows, the
# planner would scan the whole table for each workflow and status.
_COUNT_BY_STATUS = text("""
select s.status, (select count(*) from (
          select from workflows w,
                 lateral (select from enrollments e
                           where e.account_id = w.account_id and e.workflow_id = w.id and e.status = s.status
                           limit :most) x
           where w.account_id = current_account()
             and (cast(:workflow as uuid) is null or w.id = cast(:workflow as uuid))
           limit :most) y) as enrollments
  from unnest(array['active', 'completed', 'incomplete', 'exited', 'failed']) s(status)
""")
_FIND_DECISION = text("""
select d.verdict, d.detail, d.decided_at, e.kind, e.source
  from trigger_decisions d
  left join events e on e.account_id = d.account_id and e.id = d.event_id
 where d.account_id = current_account() and d.event_id = :event and d.workflow_id = :workflow
""").columns(detail=JSONB)


async def fetch_enrollment_page(
    session: AsyncSession,
    *,
    workflow_id: UUID | None = None,
    contact_id: UUID | None = None,
    status: str = "",
    step: str = "",
    q: str = "",
    after: UUID | None = None,
    before: UUID | None = None,
    limit: int,
) -> tuple[list[ListedEnrollment], bool]:
    """At most `limit` enrollments, newest first, older than `after` or newer than `before`, and whether there
    are more in that direction. `q` is a part of the contact's name or email address."""
    query = _ENROLLMENTS.where(Enrollment.account_id == session.info["account_id"])
    for column, value in (
        (Enrollment.workflow_id, workflow_id),
        (Enrollment.contact_id, contact_id),
        (Enrollment.status, status),
        (Enrollment.step_key, step),
    ):
        query = query.where(column == value) if value else query
    if q:
        query = query.where(matches_search(q))
    return await fetch_page_of(
        session, ListedEnrollment, query, Enrollment.id, after=after, before=before, limit=limit
    )


async def find_enrollment(session: AsyncSession, enrollment_id: UUID) -> ListedEnrollment | None:
    """One enrollment of the account."""
    query = _ENROLLMENTS.where(
        Enrollment.account_id == session.info["account_id"], Enrollment.id == enrollment_id
    )
    return await fetch_one(session, ListedEnrollment, query)


async def count_by_status(
    session: AsyncSession, workflow_id: UUID | None, most_counted: int
) -> dict[str, int]:
    """How many enrollments have each status, of all workflows or of one, counted up to one more than
    `most_counted`."""
    await scan_indexes_only(session)
    rows = await fetch_all(
        session, _StatusCount, _COUNT_BY_STATUS, workflow=workflow_id, most=most_counted + 1
    )
    await scan_as_usual(session)
    return {row.status: row.enrollments for row in rows}


async def find_decision(session: AsyncSession, event_id: UUID, workflow_id: UUID) -> StoredDecision | None:
    """The stored decision on this event, None when it expired."""
    return await fetch_one(session, StoredDecision, _FIND_DECISION, event=event_id, workflow=workflow_id)
