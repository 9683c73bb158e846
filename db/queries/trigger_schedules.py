"""Schedules of schedule and date triggers: which are due, when they fire next, and which contacts an
occurrence is for; and tasks that become overdue."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import ColumnElement, and_, case, cast, func, or_, select, text, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Date, DateTime

from app.filters.ast import Filter
from app.filters.fields import Fields, FieldSpec, FieldType
from app.json_types import JsonObject
from db.filters import where
from db.models import Contact
from db.queries.batch_statements import BatchStatement, write_batch
from db.queries.statements import execute, fetch_all, fetch_one, fetch_scalar, fetch_scalars

# `next_at` of a schedule that waits for nothing: its workflow is paused, or its rule has no next occurrence.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class DueWork(msgspec.Struct, frozen=True):
    """What of an account is due."""

    schedules: bool
    segments: bool
    tasks: bool


class ClaimedSchedule(msgspec.Struct, frozen=True):
    """A schedule that is due, with the document of the version that it belongs to and the status of its
    workflow. It is locked until the transaction ends."""

    workflow_id: UUID
    trigger_key: str
    version: int
    last_at: datetime | None
    next_at: datetime
    status: str
    document: JsonObject


class StoredSchedule(msgspec.Struct, frozen=True):
    """A schedule of a workflow, with the document of the version that it belongs to."""

    trigger_key: str
    version: int
    last_at: datetime | None
    document: JsonObject


class OccurrenceEvent(msgspec.Struct, frozen=True):
    """The event of an occurrence for one contact."""

    id: UUID
    subject_id: UUID


class OverdueTask(msgspec.Struct, frozen=True):
    """A task past its due time; `there`: neither it nor its contact is deleted."""

    id: UUID
    contact_id: UUID
    title: str
    there: bool


# What is due for an account; reads one entry of each index.
_HAS_DUE_WORK = text("""
select exists (select from trigger_schedules where account_id = current_account()
                  and next_at <= cast(:now as timestamptz)) as schedules,
       exists (select from segments where account_id = current_account()
                  and due_at <= cast(:now as timestamptz)) as segments,
       exists (select from tasks where account_id = current_account() and completed_at is null
                  and overdue_at is null and due_at <= cast(:now as timestamptz)) as tasks
""")
_CLAIM_DUE_SCHEDULES = text("""
select c.workflow_id, c.trigger_key, c.version, c.last_at, c.next_at, w.status, v.document
  from trigger_schedules c
  join workflows w on w.account_id = c.account_id and w.id = c.workflow_id
  join workflow_versions v
    on v.account_id = c.account_id and v.workflow_id = c.workflow_id and v.number = c.version
 where c.account_id = current_account() and c.next_at <= cast(:now as timestamptz)
 order by c.next_at limit :most for update of c skip locked
""").columns(document=JSONB)
_UPSERT_SCHEDULE = text("""
insert into trigger_schedules (workflow_id, trigger_key, version, kind, next_at, last_at)
values (:workflow, :trigger, :version, :kind, cast(:next_at as timestamptz), cast(:last_at as timestamptz))
on conflict (account_id, workflow_id, trigger_key) do update
   set version = excluded.version, kind = excluded.kind, next_at = excluded.next_at,
       last_at = excluded.last_at
""")
_POSTPONE_SCHEDULE = text("""
update trigger_schedules set next_at = cast(:next_at as timestamptz)
 where account_id = current_account() and workflow_id = :workflow and trigger_key = :trigger
""")
_LOCK_SCHEDULES_OF_WORKFLOW = text("""
select c.trigger_key, c.version, c.last_at, v.document from trigger_schedules c
  join workflow_versions v
    on v.account_id = c.account_id and v.workflow_id = c.workflow_id and v.number = c.version
 where c.account_id = current_account() and c.workflow_id = :workflow order by 1 for update of c
""").columns(document=JSONB)
_DELETE_SCHEDULE = text("""
delete from trigger_schedules
 where account_id = current_account() and workflow_id = :workflow and trigger_key = :trigger
""")
_HAS_UNFINISHED_OCCURRENCE = text("""
select exists (select from jobs
                where account_id = current_account() and status in ('queued', 'running')
                  and task = 'schedule.fire' and args ->> 'workflow_id' = :workflow
                  and args ->> 'trigger' = :trigger) as busy
""")
# After a change of the account's time zone: a schedule that is due computes its next occurrence anew.
_MAKE_SCHEDULES_DUE = text("""
update trigger_schedules set next_at = cast(:now as timestamptz)
 where account_id = current_account() and next_at < :never
""")
# An event that exists already was inserted by an earlier run of the same occurrence.
_INSERT_OCCURRENCE_EVENTS = BatchStatement(
    OccurrenceEvent,
    """
insert into events (id, kind, subject_id, source, data, root_event_id, depth, occurred_at)
select v.id, :kind, v.subject_id, 'system', cast(:data as jsonb), v.id, 0, cast(:now as timestamptz)
  from {v}
on conflict do nothing
""",
)
_MARK_TASKS_OVERDUE = text("""
update tasks t set overdue_at = cast(:now as timestamptz)
  from (select id from tasks
         where account_id = current_account() and completed_at is null and overdue_at is null
           and due_at <= cast(:now as timestamptz)
         order by due_at limit :most for update skip locked) x
 where t.account_id = current_account() and t.id = x.id
returning t.id, t.contact_id, t.title,
          exists (select from contacts c where c.account_id = t.account_id and c.id = t.contact_id
                     and c.deleted_at is null) and t.deleted_at is null as there
""")


async def read_due_work(session: AsyncSession, now: datetime) -> DueWork:
    return await fetch_one(session, DueWork, _HAS_DUE_WORK, now=now) or DueWork(False, False, False)


async def claim_due_schedules(session: AsyncSession, now: datetime, most: int) -> list[ClaimedSchedule]:
    """Locks up to `most` due schedules, the longest due first."""
    return await fetch_all(session, ClaimedSchedule, _CLAIM_DUE_SCHEDULES, now=now, most=most)


async def lock_schedules_of_workflow(session: AsyncSession, workflow_id: UUID) -> list[StoredSchedule]:
    """All schedules of the workflow, locked until the transaction ends, in the order of their triggers."""
    return await fetch_all(session, StoredSchedule, _LOCK_SCHEDULES_OF_WORKFLOW, workflow=workflow_id)


async def upsert_schedule(
    session: AsyncSession,
    workflow_id: UUID,
    trigger_key: str,
    *,
    version: int,
    kind: str,
    next_at: datetime,
    last_at: datetime,
) -> None:
    await execute(
        session,
        _UPSERT_SCHEDULE,
        workflow=workflow_id,
        trigger=trigger_key,
        version=version,
        kind=kind,
        next_at=next_at,
        last_at=last_at,
    )


async def postpone_schedule(
    session: AsyncSession, workflow_id: UUID, trigger_key: str, next_at: datetime
) -> None:
    """The schedule is due again at that time."""
    await execute(session, _POSTPONE_SCHEDULE, workflow=workflow_id, trigger=trigger_key, next_at=next_at)


async def delete_schedule(session: AsyncSession, workflow_id: UUID, trigger_key: str) -> None:
    await execute(session, _DELETE_SCHEDULE, workflow=workflow_id, trigger=trigger_key)


async def has_unfinished_occurrence(session: AsyncSession, workflow_id: UUID, trigger_key: str) -> bool:
    """Whether the job of an earlier occurrence has not ended."""
    values = {"workflow": str(workflow_id), "trigger": trigger_key}
    return bool(await fetch_scalar(session, bool, _HAS_UNFINISHED_OCCURRENCE, **values))


async def recompute_schedules(session: AsyncSession, now: datetime) -> None:
    """Makes all schedules of the account compute their next occurrence anew, after a change of its time
    zone."""
    await execute(session, _MAKE_SCHEDULES_DUE, now=now, never=NEVER)


async def insert_occurrence_events(
    session: AsyncSession, kind: str, data: JsonObject, events: Sequence[OccurrenceEvent], now: datetime
) -> None:
    """Stores the events of one occurrence, except those that an earlier run of it has stored."""
    written = msgspec.json.encode(data).decode()
    await write_batch(session, _INSERT_OCCURRENCE_EVENTS, events, kind=kind, data=written, now=now)


async def mark_tasks_overdue(session: AsyncSession, now: datetime, most: int) -> list[OverdueTask]:
    """Marks up to `most` open tasks that are past their due time, each once."""
    return await fetch_all(session, OverdueTask, _MARK_TASKS_OVERDUE, now=now, most=most)


def date_falls_on(
    spec: FieldSpec, day: date, months_and_days: Sequence[str], zone: ZoneInfo
) -> ColumnElement[bool]:
    """The condition that a contact's date in this field is `day`; with `months_and_days` (such as 02-28),
    that it is one of these days in any year up to that of `day`."""
    value: ColumnElement[str]
    if spec.custom_id is None:
        column = getattr(Contact, spec.key)
        value = func.to_char(cast(func.timezone(zone.key, column), Date), "YYYY-MM-DD")
    else:
        stored = Contact.fields[spec.custom_id]
        text_of = case((func.jsonb_typeof(stored) == "string", stored.astext), else_="")
        value = _local_day(text_of, zone) if spec.type is FieldType.DATETIME else text_of
    if not months_and_days:
        return and_(true(), value == day.isoformat())
    return and_(
        func.length(value) == 10,
        or_(*(func.substr(value, 6, 5) == month_and_day for month_and_day in months_and_days)),
        func.substr(value, 1, 4) <= f"{day.year:04}",
    )


def _local_day(moment: ColumnElement[str], zone: ZoneInfo) -> ColumnElement[str]:
    """The day of a stored moment in the zone; empty when there is none."""
    local = func.timezone(zone.key, cast(moment, DateTime(timezone=True)))
    return case((moment.like("____-__-__T__:__:__Z"), func.to_char(local, "YYYY-MM-DD")), else_="")


async def find_next_contacts(
    session: AsyncSession,
    conditions: Sequence[Filter | ColumnElement[bool] | None],
    fields: Fields,
    zone: ZoneInfo,
    *,
    now: datetime,
    after: UUID | None,
    limit: int,
) -> list[UUID]:
    """The next contacts, by id, that existed at `now` and meet all conditions."""
    query = select(Contact.id).where(
        Contact.account_id == session.info["account_id"],
        Contact.deleted_at.is_(None),
        Contact.created_at <= now,
    )
    for condition in conditions:
        if isinstance(condition, ColumnElement):
            query = query.where(condition)
        elif condition is not None:
            query = query.where(where(condition, Contact.__table__, fields, zone, now))
    if after is not None:
        query = query.where(Contact.id > after)
    return await fetch_scalars(session, UUID, query.order_by(Contact.id).limit(limit))
