"""The upper bound for the engine: pure SQL that writes the same rows, one statement per batch of enrollments.

`run_sql_bound` is the entry point. The workflow of the benchmark is hard-coded in the two statements: nothing
is compiled, and no row leaves the database. Role, policies, indexes, fsync and the claiming order (by due
time only, because another column would sort all due enrollments for each batch) are those of the engine. Each
statement is one commit; the session is bound to the account once.
"""

from typing import Any
from uuid import UUID

import asyncpg

BATCH = 500

# Part 0: branch (s1) → update field (s2 in France, s3 elsewhere) → add tag (s4) → start the wait (s5).
MOVE_TO_WAIT = """
with claimed as materialized (
  select e.*, w.name as workflow_name, clock.now
    from (select clock_timestamp() as now) clock cross join workflows w cross join lateral (
         select e.id, e.contact_id, e.workflow_id, e.root_event_id, e.depth from enrollments e
          where e.account_id = current_account() and e.workflow_id = w.id and e.status = 'active'
            and e.due_at <= clock.now order by e.due_at limit $1 for update of e skip locked) e
   where w.account_id = current_account() and not w.held limit $1),
people as materialized (
  select x.*, c.city as old, c.country = 'FR' as french,
         case when c.country = 'FR' then 'Lyon' else 'Oslo' end as city,
         case when c.country = 'FR' then 's2' else 's3' end as step
    from claimed x join contacts c on c.account_id = current_account() and c.id = x.contact_id),
changed as (
  update contacts c set city = p.city, rev = c.rev + 1, updated_at = p.now
    from people p where c.account_id = current_account() and c.id = p.contact_id),
tagged as (
  insert into contact_tags (contact_id, tag_id) select contact_id, $2::uuid from people
  on conflict do nothing),
executed as (
  insert into enrollment_executions
         (enrollment_id, seq, step_key, kind, started_at, finished_at, outcome, detail, error)
  select p.id, v.seq, v.step_key, v.kind, p.now, case when v.seq < 4 then p.now end, v.outcome, v.detail, null
    from people p, lateral (values
         (1, 's1', 'branch', 'taken',
          jsonb_build_object('branch', case when p.french then 'france' else 'else' end)),
         (2, p.step, 'update_field', 'done',
          jsonb_build_object('field', 'city', 'old', p.old, 'new', p.city, 'changed', true)),
         (3, 's4', 'add_tag', 'done', jsonb_build_object('tag', $2::uuid, 'changed', true)),
         (4, 's5', 'wait', null, jsonb_build_object('until', p.now + interval '1 hour')))
         v(seq, step_key, kind, outcome, detail)),
told as (
  insert into events (id, kind, subject_id, source, data, root_event_id, depth, occurred_at)
  select uuidv7(), v.kind, p.contact_id, 'workflow', v.data, p.root_event_id, p.depth + 1, p.now
    from people p, lateral (values
         ('contact.updated', jsonb_build_object('changes', jsonb_build_object('city',
          jsonb_build_array(p.old, p.city)))),
         ('tag.added', jsonb_build_object('tag_id', $2::uuid))) v(kind, data)),
audited as (
  insert into audit_logs
         (id, occurred_at, actor_kind, actor_id, actor_name, action, subject_kind, subject_id, changes)
  select uuidv7(), p.now, 'step', p.workflow_id || ':' || v.step_key, p.workflow_name, v.action, 'contact',
         p.contact_id, v.changes
    from people p, lateral (values
         (p.step, 'contact.updated', jsonb_build_object('city', jsonb_build_array(p.old, p.city))),
         ('s4', 'tag.added', jsonb_build_object('tag', jsonb_build_array(null, $3::text))))
         v(step_key, action, changes)),
moved as (
  update enrollments e set step_key = 's5', seq = 4, due_at = p.now + interval '1 hour',
         wait_until = p.now + interval '1 hour', wait_reason = 'timer', fence = e.fence + 1,
         updated_at = p.now
    from people p where e.account_id = current_account() and e.id = p.id returning 1)
select count(*) from moved
"""

# Part 1: end the wait → check the goal (s6, met by customers) → end the enrollment.
MOVE_TO_GOAL = """
with claimed as materialized (
  select e.id, e.met, clock.now
    from (select clock_timestamp() as now) clock cross join workflows w cross join lateral (
         select e.id, c.company = 'Customer' as met from enrollments e
           join contacts c on c.account_id = e.account_id and c.id = e.contact_id
          where e.account_id = current_account() and e.workflow_id = w.id and e.status = 'active'
            and e.due_at <= clock.now order by e.due_at limit $1 for update of e skip locked) e
   where w.account_id = current_account() and not w.held limit $1),
closed as (
  update enrollment_executions x set finished_at = p.now, outcome = 'passed'
    from claimed p where x.account_id = current_account() and x.enrollment_id = p.id and x.seq = 4),
executed as (
  insert into enrollment_executions
         (enrollment_id, seq, step_key, kind, started_at, finished_at, outcome, detail, error)
  select p.id, 5, 's6', 'goal', p.now, p.now, case when p.met then 'met' else 'unmet' end, '{}', null
    from claimed p),
moved as (
  update enrollments e set status = case when p.met then 'completed' else 'incomplete' end, step_key = 's6',
         seq = 5, due_at = null, wait_until = null, wait_reason = null,
         exit_reason = case when p.met then 'goal_met' else 'finished' end,
         goal_key = case when p.met then 's6' end, ended_at = p.now, fence = e.fence + 1, updated_at = p.now
    from claimed p where e.account_id = current_account() and e.id = p.id returning 1)
select count(*) from moved
"""


async def run_sql_bound(
    connection: asyncpg.Connection, part: int, tag: UUID, tag_name: str, batch: int = BATCH
) -> int:
    """Move all due enrollments through a part (0 or 1), batch after batch; return how many were moved.

    The connection must be bound to the account.
    """
    statement = await connection.prepare((MOVE_TO_WAIT, MOVE_TO_GOAL)[part])
    parameters: tuple[Any, ...] = (batch, tag, tag_name) if part == 0 else (batch,)
    total = 0
    while moved := await statement.fetchval(*parameters):
        total += moved
    return total
