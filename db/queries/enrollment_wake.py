"""Wakes enrollments that wait: reads the active ones of contacts, locks them, and makes them due."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.batch_statements import BatchStatement, fetch_batch, write_batch
from db.queries.statements import execute, fetch_all, plan_anew, plan_as_usual


class ActiveEnrollment(msgspec.Struct, frozen=True):
    """An enrollment that has not ended. `started_at` is when its wait for an event began."""

    id: UUID
    workflow_id: UUID
    version: int
    contact_id: UUID
    step_key: str | None
    seq: int
    wait_reason: str | None
    wait_until: datetime | None
    entered_at: datetime
    contact_deleted: bool
    due: bool | None
    started_at: datetime | None


class EndedWait(msgspec.Struct, frozen=True):
    """The event for which the enrollment waited at the visit `seq`."""

    id: UUID
    seq: int
    event_id: UUID


class EndRequest(msgspec.Struct, frozen=True):
    """A step asked by this event that a contact leaves a workflow; without one, all except `not_id`."""

    event_id: UUID
    contact_id: UUID
    workflow_id: UUID | None
    not_id: UUID | None


class EnrollmentKey(msgspec.Struct, frozen=True):
    """The key of an enrollment."""

    id: UUID


_READ_ACTIVE_ENROLLMENTS = text("""
select e.id, e.workflow_id, e.version, e.contact_id, e.step_key, e.seq, e.wait_reason, e.wait_until,
       e.entered_at, e.contact_deleted, e.due_at <= cast(:now as timestamptz) as due, x.started_at
  from enrollments e
  left join enrollment_executions x
    on x.account_id = e.account_id and x.enrollment_id = e.id and x.seq = e.seq and e.wait_reason = 'event'
 where e.account_id = current_account() and e.contact_id = any(cast(:ids as uuid[]))
   and e.status = 'active'
""")
# Waits for the workers that advance them now. Several enrollments are always locked in this order.
_LOCK_ENROLLMENTS = text("""
select id from enrollments
 where account_id = current_account() and id = any(cast(:ids as uuid[])) order by id for update
""")
_WAKE_ENROLLMENTS = text("""
update enrollments set due_at = cast(:now as timestamptz)
 where account_id = current_account() and id = any(cast(:ids as uuid[])) and status = 'active'
   and paused_at is null and (due_at is null or due_at > cast(:now as timestamptz))
""")
_WAKE_ENROLLMENTS_OF_CONTACTS = text("""
with x as materialized (
        select id from enrollments
         where account_id = current_account() and contact_id = any(cast(:ids as uuid[]))
           and status = 'active' and paused_at is null and not contact_deleted
         order by id for update)
update enrollments e set due_at = cast(:now as timestamptz) from x
 where e.account_id = current_account() and e.id = x.id
""")
# A paused enrollment has the event when it is resumed.
_WAKE_BY_EVENT = BatchStatement(
    EndedWait,
    """
update enrollments e set wake_event_id = v.event_id,
       due_at = case when e.paused_at is null then cast(:now as timestamptz) end
  from {v}
 where e.account_id = current_account() and e.id = v.id and e.seq = v.seq and e.status = 'active'
   and e.wait_reason = 'event'
""",
)
# The enrollments that a step asked to end: those that existed before it asked. The event of a date has an id
# of its day, which east of Greenwich may be in the future: then the enrollment's own id decides.
_FIND_ENROLLMENTS_TO_END = BatchStatement(
    EndRequest,
    """
select distinct e.id
  from {v}
  join enrollments e on e.account_id = current_account() and e.contact_id = v.contact_id
   and e.status = 'active' and least(e.event_id, e.id) < v.event_id
   and (e.workflow_id = v.workflow_id or v.workflow_id is null and e.workflow_id <> v.not_id)
""",
)


async def read_active_enrollments(
    session: AsyncSession, contacts: Sequence[UUID], now: datetime
) -> list[ActiveEnrollment]:
    """The active enrollments of these contacts."""
    await plan_anew(session)
    rows = await fetch_all(session, ActiveEnrollment, _READ_ACTIVE_ENROLLMENTS, ids=contacts, now=now)
    await plan_as_usual(session)
    return rows


async def lock_enrollments(session: AsyncSession, ids: Sequence[UUID]) -> None:
    """Locks these enrollments until the transaction ends."""
    await execute(session, _LOCK_ENROLLMENTS, ids=sorted(ids))


async def wake_enrollments(session: AsyncSession, ids: Sequence[UUID], now: datetime) -> None:
    """Makes these enrollments due, except paused ones."""
    await execute(session, _WAKE_ENROLLMENTS, ids=ids, now=now)


async def wake_enrollments_of_contacts(
    session: AsyncSession, contacts: Sequence[UUID], now: datetime
) -> None:
    """Makes the enrollments of these contacts due."""
    await execute(session, _WAKE_ENROLLMENTS_OF_CONTACTS, ids=contacts, now=now)


async def end_event_waits(session: AsyncSession, waits: Sequence[EndedWait], now: datetime) -> None:
    """Makes enrollments due whose event came."""
    await write_batch(session, _WAKE_BY_EVENT, waits, now=now)


async def find_enrollments_to_end(session: AsyncSession, requests: Sequence[EndRequest]) -> list[UUID]:
    """The active enrollments that these requests end."""
    rows = await fetch_batch(session, EnrollmentKey, _FIND_ENROLLMENTS_TO_END, requests)
    return [row.id for row in rows]
