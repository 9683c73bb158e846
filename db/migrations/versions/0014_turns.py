"""which tasks of an account are due, and how many turns the workers did

`due_accounts` stays for the workers of the release before, which run until they are replaced; a later release
drops it.
"""

import sqlalchemy as sa
from alembic import op

from db.migrations.policies import add_definer_function, grant_to_app_user

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# As `due_accounts` (0013), but task by task, for one account or for all. Per account one look at the front of
# each index: it costs the same for one due row and for a million. Only where something is due its workflows are
# looked at, one by one: what is held, or paused with its enrollment, waits for a member. A call whose worker is
# gone is due all the same: it may be in doubt. A circuit breaker is due when its time has come and effects wait
# behind it, or none are left, so that it is deleted. `offset 0` keeps each look from running more than once.
DUE_WORK = """
due_work(moment timestamptz, one_account uuid)
returns table (account_id uuid, tasks text[], oldest timestamptz)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
  select a.id,
         array_remove(array[
           case when due.match is not null then 'match' end,
           case when due.advance is not null then 'advance' end,
           case when coalesce(due.effect, due.breaker) is not null then 'send' end,
           case when due.schedules is not null then 'schedules' end,
           case when due.jobs is not null then 'jobs' end], null),
         least(due.match, due.advance, due.effect, due.breaker, due.schedules, due.jobs)
  from accounts a cross join lateral (select
    (select v.occurred_at from events v where v.account_id = a.id and v.matched_at is null
        order by v.id limit 1) as match,
    (select min(front.due_at) from workflows w cross join lateral (
        select e.due_at from enrollments e where e.account_id = a.id and e.workflow_id = w.id
           and e.status = 'active' and e.due_at <= moment order by e.due_at limit 1) front
      where w.account_id = a.id and (not w.held or w.status = 'archived')
        and (select e.due_at from enrollments e where e.account_id = a.id and e.status = 'active'
                and e.due_at > '-infinity' and e.due_at <= moment order by e.due_at limit 1) is not null)
      as advance,
    (select min(front.due_at) from (
        select first.due_at from workflows w cross join lateral (
            select f.due_at from effects f where f.account_id = a.id and f.workflow_id = w.id
               and f.status in ('pending', 'retry') and f.due_at <= moment
               and exists (select from enrollments e where e.account_id = a.id and e.id = f.enrollment_id
                              and e.paused_at is null offset 0)
             order by f.due_at limit 1) first
          where w.account_id = a.id and not w.held
        union all
        select f.due_at from effects f where f.account_id = a.id and f.status = 'claimed'
           and f.lease_until < clock_timestamp()) front
      where (select f.due_at from effects f where f.account_id = a.id
                and f.status in ('pending', 'retry', 'claimed')
                and f.due_at > '-infinity' and f.due_at <= moment order by f.due_at limit 1) is not null)
      as effect,
    (select min(b.until) from circuit_breakers b
        join workflows w on w.account_id = b.account_id and w.id = b.workflow_id and not w.held
      where b.account_id = a.id and b.until <= moment
        and not exists (select from circuit_breakers o where o.account_id = b.account_id
                           and o.workflow_id = b.workflow_id and o.step_key = b.step_key
                           and o.state <> 'closed' and o.until > moment)
        and (not exists (select from effects f where f.account_id = b.account_id
                            and f.workflow_id = b.workflow_id and f.step_key = b.step_key
                            and f.status in ('pending', 'retry', 'claimed'))
             or exists (select from effects f
                          join enrollments e on e.account_id = f.account_id and e.id = f.enrollment_id
                           and e.status = 'active' and e.paused_at is null
                         where f.account_id = b.account_id and f.workflow_id = b.workflow_id
                           and f.step_key = b.step_key and f.status in ('pending', 'retry')))) as breaker,
    least(
      (select k.next_at from trigger_schedules k where k.account_id = a.id and k.next_at <= moment
          order by k.next_at limit 1),
      (select s.due_at from segments s where s.account_id = a.id and s.due_at is not null
          and s.due_at <= moment order by s.due_at limit 1),
      (select t.due_at from tasks t where t.account_id = a.id and t.completed_at is null
          and t.overdue_at is null and t.due_at is not null and t.due_at <= moment order by t.due_at limit 1))
      as schedules,
    (select j.due_at from jobs j where j.account_id = a.id and j.status in ('queued', 'running')
        and j.due_at <= moment order by j.due_at limit 1) as jobs
    offset 0) due
  where a.id = coalesce(one_account, a.id)
    and least(due.match, due.advance, due.effect, due.breaker, due.schedules, due.jobs) is not null
  order by 3
$$
"""


def upgrade() -> None:
    op.create_table(
        "turn_counts",
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("turns", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("task", "via", name=op.f("pk_turn_counts")),
    )
    grant_to_app_user(("turn_counts",), "select, insert, update")
    add_definer_function("due_work(timestamptz, uuid)", DUE_WORK, ("circuit_breakers",))
