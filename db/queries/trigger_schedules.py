"""Statements of the schedules of schedule and date triggers: which are due, and which contacts an occurrence
is for."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, case, cast, func, or_, select, text, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Date

from app.filters.ast import Filter
from app.filters.fields import Fields, FieldSpec
from db.filters import where
from db.models import Contact

# `next_at` of a schedule that waits for nothing: its workflow is paused, or its rule has no next occurrence.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)

# What is due for an account; reads one entry of each index.
HAS_DUE_WORK = text("""
select exists (select from trigger_schedules where account_id = current_account()
                  and next_at <= cast(:now as timestamptz)) as schedules,
       exists (select from segments where account_id = current_account()
                  and due_at <= cast(:now as timestamptz)) as segments,
       exists (select from tasks where account_id = current_account() and completed_at is null
                  and overdue_at is null and due_at <= cast(:now as timestamptz)) as tasks
""")
CLAIM_DUE_SCHEDULES = text("""
select c.workflow_id, c.trigger_key, c.version, c.last_at, c.next_at, w.status, w.live_version, v.document
  from trigger_schedules c
  join workflows w on w.account_id = c.account_id and w.id = c.workflow_id
  join workflow_versions v
    on v.account_id = c.account_id and v.workflow_id = c.workflow_id and v.number = c.version
 where c.account_id = current_account() and c.next_at <= cast(:now as timestamptz)
 order by c.next_at limit :most for update of c skip locked
""").columns(document=JSONB)
UPSERT_SCHEDULE = text("""
insert into trigger_schedules (workflow_id, trigger_key, version, kind, next_at, last_at)
values (:workflow, :trigger, :version, :kind, cast(:next_at as timestamptz), cast(:last_at as timestamptz))
on conflict (account_id, workflow_id, trigger_key) do update
   set version = excluded.version, kind = excluded.kind, next_at = excluded.next_at,
       last_at = excluded.last_at
""")
POSTPONE_SCHEDULE = text("""
update trigger_schedules set next_at = cast(:next_at as timestamptz)
 where account_id = current_account() and workflow_id = :workflow and trigger_key = :trigger
""")
LOCK_SCHEDULES_OF_WORKFLOW = text("""
select c.trigger_key, c.version, c.next_at, c.last_at, v.document from trigger_schedules c
  join workflow_versions v
    on v.account_id = c.account_id and v.workflow_id = c.workflow_id and v.number = c.version
 where c.account_id = current_account() and c.workflow_id = :workflow order by 1 for update of c
""").columns(document=JSONB)
DELETE_SCHEDULE = text("""
delete from trigger_schedules
 where account_id = current_account() and workflow_id = :workflow and trigger_key = :trigger
""")
HAS_UNFINISHED_OCCURRENCE = text("""
select exists (select from jobs
                where account_id = current_account() and status in ('queued', 'running')
                  and task = 'schedule.fire' and args ->> 'workflow_id' = :workflow
                  and args ->> 'trigger' = :trigger) as busy
""")
# After a change of the account's time zone: a schedule that is due computes its next occurrence anew.
MAKE_SCHEDULES_DUE = text("""
update trigger_schedules set next_at = cast(:now as timestamptz)
 where account_id = current_account() and next_at < :never
""")
# An event that exists already was inserted by an earlier run of the same occurrence.
INSERT_OCCURRENCE_EVENTS = text("""
insert into events (id, kind, subject_id, source, data, root_event_id, depth, occurred_at)
select v.id, :kind, v.subject_id, 'system', cast(:data as jsonb), v.id, 0, cast(:now as timestamptz)
  from unnest(cast(:id as uuid[]), cast(:subject_id as uuid[])) v(id, subject_id)
on conflict do nothing
""")
MARK_TASKS_OVERDUE = text("""
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


async def recompute_schedules(session: AsyncSession, now: datetime) -> None:
    """Makes all schedules of the account compute their next occurrence anew, after a change of its time
    zone."""
    await session.execute(MAKE_SCHEDULES_DUE, {"now": now, "never": NEVER})


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
        value = case((func.jsonb_typeof(stored) == "string", stored.astext), else_="")
    if not months_and_days:
        return and_(true(), value == day.isoformat())
    return and_(
        func.length(value) == 10,
        or_(*(func.substr(value, 6, 5) == month_and_day for month_and_day in months_and_days)),
        func.substr(value, 1, 4) <= f"{day.year:04}",
    )


async def next_contacts(
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
    return list(await session.scalars(query.order_by(Contact.id).limit(limit)))
