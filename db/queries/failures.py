"""Current failures, grouped by step and cause: failed enrollments, and effects that wait for a retry or are
in doubt."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.statements import fetch_all, scan_as_usual, scan_indexes_only

MOST_COUNTED = 1000  # per step and kind of effect: the page polls every two seconds

# Errors that differ only in addresses, ids or numbers have one cause.
_PERSONAL_PARTS = r"'<[^>]*>|\S+@\S+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+'"


def _cause(row: str) -> str:
    return f"coalesce(o.error_class, left(regexp_replace({row}.error, {_PERSONAL_PARTS}, '…', 'g'), 200), '')"


def _step_after(workflow: str, condition: str) -> str:
    return f"""(select x.step_key from enrollments x
                 where x.account_id = current_account() and x.workflow_id = {workflow}
                   and x.status = 'failed' and {condition}
                 order by x.step_key limit 1)"""  # noqa: S608 -- constants


# Reads step by step through the index, so that many failures at one step do not hide those of another. Per
# step, failures of its latest version come first.
_LIST_FAILURE_GROUPS = text(f"""
with recursive steps as (
        select w.id as workflow_id, {_step_after("w.id", "x.step_key is not null")} as step_key
          from workflows w where w.account_id = current_account()
        union all
        select p.workflow_id, {_step_after("p.workflow_id", "x.step_key > p.step_key")}
          from steps p where p.step_key is not null),
     failed as (
        select e.id, e.workflow_id, e.version, e.step_key, e.seq, e.contact_id, e.error, e.updated_at
          from steps p,
               lateral (select x.* from enrollments x
                         where x.account_id = current_account() and x.workflow_id = p.workflow_id
                           and x.status = 'failed' and x.step_key = p.step_key
                         order by x.version desc limit :most) e
         where p.step_key is not null
        union all
        select e.id, e.workflow_id, e.version, e.step_key, e.seq, e.contact_id, e.error, e.updated_at
          from workflows w,
               lateral (select x.* from enrollments x
                         where x.account_id = current_account() and x.workflow_id = w.id
                           and x.status = 'failed' and x.step_key is null
                         limit :most) e
         where w.account_id = current_account()),
     waiting as (
        select f.* from unnest(array['email', 'sms', 'chat', 'webhook']) k(kind),
                        unnest(array['retry', 'unknown']) s(status),
               lateral (select x.* from effects x
                         where x.account_id = current_account() and x.kind = k.kind and x.status = s.status
                         order by x.created_at desc limit :most) f),
     each as (
        select 'failed' as state, coalesce(o.kind, 'step') as what, f.workflow_id, f.version, f.step_key,
               f.contact_id, f.id as enrollment_id, o.id as effect_id, o.attempts, f.error,
               cast(null as timestamptz) as next_at, f.updated_at as at, {_cause("f")} as cause
          from failed f
          left join effects o on o.account_id = current_account() and o.enrollment_id = f.id
                             and o.seq = f.seq and o.status in ('failed_permanent', 'cancelled')
        union all
        select o.status, o.kind, o.workflow_id, e.version, o.step_key, o.contact_id, o.enrollment_id, o.id,
               o.attempts, o.error, case when o.status = 'retry' then o.due_at end, o.created_at,
               {_cause("o")}
          from waiting o
          join enrollments e on e.account_id = current_account() and e.id = o.enrollment_id),
     grouped as (
        select state, what, workflow_id, step_key, max(version) as version, count(*) as contacts,
               max(attempts) as attempts, min(next_at) as next_at, max(at) as at,
               (array_agg(error order by at desc))[1] as error,
               (array_agg(contact_id order by at desc))[1] as contact_id,
               (array_agg(enrollment_id order by at desc))[1] as enrollment_id,
               (array_agg(effect_id order by at desc))[1] as effect_id
          from each group by state, what, workflow_id, step_key, cause)
select g.state, g.what, g.workflow_id, g.step_key, g.version, g.contacts, g.attempts, g.next_at, g.at,
       g.error, g.contact_id, g.enrollment_id, g.effect_id, w.name as workflow_name, c.first_name,
       c.last_name, c.email
  from grouped g
  join workflows w on w.account_id = current_account() and w.id = g.workflow_id
  join contacts c on c.account_id = current_account() and c.id = g.contact_id
 order by g.at desc, g.workflow_id, g.step_key limit :groups
""")  # noqa: S608 -- constants


class FailureGroup(msgspec.Struct, frozen=True):
    """Contacts whose enrollments failed, or whose effects wait for a retry or are in doubt, at one step for
    one cause. `contacts` is how many; the fields after `at` are of the latest. `what` is the kind of the
    effect, or step; `attempts` is 0 or None without one."""

    state: Literal["failed", "retry", "unknown"]
    what: Literal["step", "email", "sms", "chat", "webhook"]
    workflow_id: UUID
    step_key: str | None
    version: int
    contacts: int
    attempts: int | None
    next_at: datetime | None
    at: datetime
    error: str | None
    contact_id: UUID
    enrollment_id: UUID
    effect_id: UUID | None
    workflow_name: str
    first_name: str | None
    last_name: str | None
    email: str | None


async def list_failure_groups(session: AsyncSession, groups: int) -> list[FailureGroup]:
    """The latest groups, each counted up to MOST_COUNTED. Plans without an index are turned off for the
    query."""
    await scan_indexes_only(session)
    rows = await fetch_all(session, FailureGroup, _LIST_FAILURE_GROUPS, most=MOST_COUNTED, groups=groups)
    await scan_as_usual(session)
    return rows
