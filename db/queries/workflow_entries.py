"""Reads the histories that decide whether contacts enter workflows, and writes the decisions and the new
enrollments."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.queries.batch_statements import BatchStatement, fetch_batch, write_batch
from db.queries.enrollment_batches import EnrolledContact
from db.queries.statements import fetch_all, plan_anew, plan_as_usual


class StoredHistory(msgspec.Struct, frozen=True):
    """A contact's history in one workflow: the active enrollments with their entry keys, and how often the
    contact entered within the last hour, here and in any workflow."""

    workflow_id: UUID
    contact_id: UUID
    entered_before: bool
    last_ended_at: datetime | None
    live: list[UUID] | None
    keys: list[str] | None
    last_hour: int
    last_hour_anywhere: int


class EntryCount(msgspec.Struct, frozen=True):
    """How many contacts entered a workflow within a day."""

    workflow_id: UUID
    entered: int


class NewEnrollment(msgspec.Struct, frozen=True):
    """An enrollment to start; `superseded` says that a later event of the same batch ended it, `settled_at`
    when its settle time is over."""

    id: UUID
    workflow_id: UUID
    version: int
    contact_id: UUID
    event_id: UUID
    root_event_id: UUID
    depth: int
    entry_key: str
    data: JsonObject
    contact_deleted: bool
    superseded: bool
    settled_at: datetime | None


class NewDecision(msgspec.Struct, frozen=True):
    """What was decided on one event and one workflow."""

    event_id: UUID
    workflow_id: UUID
    version: int
    contact_id: UUID
    verdict: str
    detail: JsonObject


# By contact only: with the workflow too, the planner may read all enrollments of the workflow for each
# contact.
_READ_ENTRY_HISTORIES = text("""
with mine as materialized (
        select workflow_id, contact_id, id, status, entry_key, entered_at, ended_at from enrollments
         where account_id = current_account() and contact_id = any(cast(:contacts as uuid[]))),
     lately as (
        select contact_id, count(*) as entries from mine
         where entered_at > cast(:now as timestamptz) - interval '1 hour' group by 1)
select w.workflow_id, w.contact_id, count(e.id) > 0 as entered_before, max(e.ended_at) as last_ended_at,
       array_agg(e.id) filter (where e.status = 'active') as live,
       array_agg(e.entry_key) filter (where e.status = 'active') as keys,
       count(*) filter (where e.entered_at > cast(:now as timestamptz) - interval '1 hour') as last_hour,
       coalesce(max(l.entries), 0) as last_hour_anywhere
  from unnest(cast(:workflows as uuid[]), cast(:contacts as uuid[])) w(workflow_id, contact_id)
  left join mine e on e.workflow_id = w.workflow_id and e.contact_id = w.contact_id
  left join lately l on l.contact_id = w.contact_id
 where e.id is not null or l.entries is not null
 group by 1, 2
""")
# By id, which begins with its creation time: reads the last day only, however many enrollments there are.
_COUNT_ENTRIES_TODAY = text("""
select w.id as workflow_id, (select count(*) from (
          select from enrollments e
           where e.account_id = current_account() and e.workflow_id = w.id and e.id > :since
             and e.entered_at > cast(:now as timestamptz) - interval '1 day' limit w.cap) x) as entered
  from unnest(cast(:workflows as uuid[]), cast(:caps as int[])) w(id, cap)
""")
_INSERT_ENROLLMENTS = BatchStatement(
    NewEnrollment,
    """
with entered as (
insert into enrollments
       (id, workflow_id, version, contact_id, event_id, root_event_id, depth, entry_key, data,
          contact_deleted,
        status, exit_reason, ended_at, due_at, wait_until, entered_at)
select v.id, v.workflow_id, v.version, v.contact_id, v.event_id, v.root_event_id, v.depth, v.entry_key,
       cast(v.data as jsonb), v.contact_deleted,
       case when v.superseded then 'exited' else 'active' end,
       case when v.superseded then 'superseded' end,
       case when v.superseded then cast(:now as timestamptz) end,
       case when not v.superseded then coalesce(v.settled_at, cast(:now as timestamptz)) end,
       case when not v.superseded then v.settled_at end, cast(:now as timestamptz)
  from {v}
on conflict do nothing returning id, workflow_id, contact_id, root_event_id, depth, version, status),
     counted as (
insert into counter_deltas (family, subject_id, version, state, n)
select 'enrollments', workflow_id, version, status, count(*) from entered group by 2, 3, 4)
select id, workflow_id, contact_id, root_event_id, depth from entered
""",
)
_INSERT_DECISIONS = BatchStatement(
    NewDecision,
    """
insert into trigger_decisions (event_id, workflow_id, version, contact_id, verdict, detail, decided_at)
select v.event_id, v.workflow_id, v.version, v.contact_id, v.verdict, cast(v.detail as jsonb),
       cast(:now as timestamptz)
  from {v}
on conflict do nothing
""",
)


async def read_histories(
    session: AsyncSession, pairs: Sequence[tuple[UUID, UUID]], now: datetime
) -> list[StoredHistory]:
    """The histories of these workflows and contacts, where there is one."""
    await plan_anew(session)
    histories = await fetch_all(
        session,
        StoredHistory,
        _READ_ENTRY_HISTORIES,
        workflows=[workflow for workflow, _ in pairs],
        contacts=[contact for _, contact in pairs],
        now=now,
    )
    await plan_as_usual(session)
    return histories


async def count_recent_entries(
    session: AsyncSession, caps: Mapping[UUID, int], since: UUID, now: datetime
) -> dict[UUID, int]:
    """How many contacts entered each of these workflows within a day, counted up to its cap. `since` is an id
    from before that day."""
    rows = await fetch_all(
        session,
        EntryCount,
        _COUNT_ENTRIES_TODAY,
        workflows=list(caps),
        caps=list(caps.values()),
        since=since,
        now=now,
    )
    return {row.workflow_id: row.entered for row in rows}


async def insert_enrollments(
    session: AsyncSession, rows: Sequence[NewEnrollment], now: datetime
) -> list[EnrolledContact]:
    """Starts enrollments; returns those that began. A contact with an active one of the same key gets no
    other."""
    return await fetch_batch(session, EnrolledContact, _INSERT_ENROLLMENTS, rows, now=now)


async def insert_decisions(session: AsyncSession, rows: Sequence[NewDecision], now: datetime) -> None:
    """Stores the decisions; one that is stored already stays."""
    await write_batch(session, _INSERT_DECISIONS, rows, now=now)
