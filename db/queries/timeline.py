"""The timeline of one contact in one statement: changes, visits of steps, messages, notes and tasks, in the
order of their times, newest first.

An entry has the place `(at, id, seq)`: its time, the id of its row (for a visit that of its enrollment), and
the number of the visit. Nothing is there twice: of the audit entries about notes and tasks those of their
creation are left out, and a visit that sends is left out where its message is there."""

from datetime import datetime
from functools import lru_cache
from typing import Literal, TypeAlias, get_args
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.queries.driver_statements import DriverStatement, fetch_rows

TimelineKind: TypeAlias = Literal["change", "step", "message", "note", "task"]
KINDS: tuple[TimelineKind, ...] = get_args(TimelineKind)
Place: TypeAlias = tuple[datetime, UUID, int]


class StoredEntry(msgspec.Struct, frozen=True):
    """An entry. `name` is the action of an audit entry, the kind of a step or message, "" for notes and
    tasks; `text` is what it says; `state` is an outcome or a status; `actor_name` of a step or message is its
    workflow, and `target` its enrollment, else the note or task."""

    at: datetime
    id: UUID
    seq: int
    kind: TimelineKind
    name: str
    text: str
    state: str
    actor_kind: str
    actor_name: str
    target: UUID | None
    changes: JsonObject | None


_CHANGES = """
select a.occurred_at as at, a.id, 0 as seq,
       case split_part(a.action, '.', 1) when 'note' then 'note' when 'task' then 'task' else 'change' end
         as kind, a.action as name, '' as text, '' as state, a.actor_kind, a.actor_name,
       null::uuid as target, a.changes
  from audit_logs a
 where a.account_id = $1 and a.subject_kind = 'contact' and a.subject_id = $2::uuid::text
   and a.action not in ('note.created', 'task.created') {condition} {edge}
"""
_STEPS = """
select x.started_at as at, x.enrollment_id as id, x.seq, 'step' as kind,
       x.kind as name, coalesce(x.error, '') as text, coalesce(x.outcome, 'waiting') as state,
       'step' as actor_kind, w.name as actor_name, x.enrollment_id as target, null::jsonb as changes
  from enrollments e
  join enrollment_executions x on x.account_id = e.account_id and x.enrollment_id = e.id
  join workflows w on w.account_id = e.account_id and w.id = e.workflow_id
 where e.account_id = $1 and e.contact_id = $2
   and (x.kind not in ('send_email', 'send_sms', 'chat') or not exists (
          select from effects f
           where f.account_id = x.account_id and f.enrollment_id = x.enrollment_id and f.seq = x.seq)) {edge}
"""
_MESSAGES = """
select f.created_at as at, f.id, 0 as seq, 'message' as kind, f.kind as name,
       concat_ws(' · ', case f.kind when 'email' then f.payload ->> 'subject'
                        when 'sms' then f.payload ->> 'body' else f.payload ->> 'text' end,
                 nullif(coalesce(f.payload ->> 'to', f.payload ->> 'channel'), '')) as text,
       f.status as state, 'step' as actor_kind, w.name as actor_name, f.enrollment_id as target,
       null::jsonb as changes
  from enrollments e
  join effects f on f.account_id = e.account_id and f.enrollment_id = e.id
  join workflows w on w.account_id = e.account_id and w.id = e.workflow_id
 where e.account_id = $1 and e.contact_id = $2 and f.kind in ('email', 'sms', 'chat')
   and f.payload -> 'internal' is null {edge}
"""
_NOTES = """
select n.created_at as at, n.id, 0 as seq, 'note' as kind, '' as name, n.body as text,
       '' as state, n.author_kind as actor_kind, n.author_name as actor_name,
       n.id as target, null::jsonb as changes
  from notes n where n.account_id = $1 and n.contact_id = $2 and n.deleted_at is null {edge}
"""
_TASKS = """
select t.created_at as at, t.id, 0 as seq, 'task' as kind, '' as name, t.title as text,
       case when t.completed_at is null then 'open' else 'done' end as state,
       t.author_kind as actor_kind, t.author_name as actor_name, t.id as target, null::jsonb as changes
  from tasks t where t.account_id = $1 and t.contact_id = $2 and t.deleted_at is null {edge}
"""
# By table: its place as columns, and the statement.
_BRANCHES = {
    "audit": (("a.occurred_at", "a.id", "0"), _CHANGES),
    "step": (("x.started_at", "x.enrollment_id", "x.seq"), _STEPS),
    "message": (("f.created_at", "f.id", "0"), _MESSAGES),
    "note": (("n.created_at", "n.id", "0"), _NOTES),
    "task": (("t.created_at", "t.id", "0"), _TASKS),
}
# The audit entries of a kind.
_ACTIONS = {
    "note": "and split_part(a.action, '.', 1) = 'note'",
    "task": "and split_part(a.action, '.', 1) = 'task'",
    "change": "and split_part(a.action, '.', 1) not in ('note', 'task')",
}


async def fetch_timeline(
    session: AsyncSession,
    contact_id: UUID,
    kind: TimelineKind | None = None,
    *,
    after: Place | None = None,
    before: Place | None = None,
    limit: int,
) -> tuple[list[StoredEntry], bool]:
    """At most `limit` entries of a contact, newest first, older than `after` or newer than `before`, and
    whether there are more in that direction; with `kind` those of one kind."""
    edge = before or after
    statement = _statement(kind, edge is not None, before is not None, limit + 1)
    rows = await fetch_rows(session, statement, session.info["account_id"], contact_id, *(edge or ()))
    page, more = rows[:limit], len(rows) > limit
    return (page[::-1] if before is not None else page), more


@lru_cache(maxsize=64)
def _statement(
    kind: TimelineKind | None, from_edge: bool, backwards: bool, limit: int
) -> DriverStatement[StoredEntry]:
    direction = "" if backwards else " desc"
    ordered = f"order by 1{direction}, 2{direction}, 3{direction} limit {limit}"
    parts = []
    for table, (place, sql) in _BRANCHES.items():
        if kind is not None and table != kind and not (table == "audit" and kind in _ACTIONS):
            continue
        condition = _ACTIONS[kind] if table == "audit" and kind is not None else ""
        comparison = ">" if backwards else "<"
        edge = f"and ({', '.join(place)}) {comparison} ($3, $4, $5::integer)" if from_edge else ""
        parts.append(f"({sql.format(edge=edge, condition=condition).strip()} {ordered})")
    sql = f"{' union all '.join(parts)} {ordered}" if len(parts) > 1 else parts[0]
    return DriverStatement(StoredEntry, sql)
