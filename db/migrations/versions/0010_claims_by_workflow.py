"""claims read one workflow at a time; an account whose due work is all on hold is not due"""

from db.migrations.indexes import build_index, drop_index
from db.migrations.policies import add_definer_function

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Of whole accounts: with a condition that only `due_accounts` names. The planner would else read all that is
# due in an account, again for each workflow, where it believes that few rows are.
ACCOUNTS = "due_at > '-infinity'"
OPEN = "status in ('pending', 'retry', 'claimed')"

# Per account one look at the front of each index: it costs the same for one due row and for a million. Only
# where something is due its workflows are looked at, one by one: what is held, and what would be sent for
# a paused enrollment, waits for a member. A call whose worker is gone is due all the same: it may be in
# doubt, which has to be said.
DUE_ACCOUNTS = """
due_accounts(moment timestamptz) returns table (account_id uuid, oldest timestamptz)
language sql stable security definer set search_path = pg_catalog, public as $$
  select a.id, due.oldest from accounts a cross join lateral (select least(
    (select min(front.due_at) from workflows w cross join lateral (
        select e.due_at from enrollments e where e.account_id = a.id and e.workflow_id = w.id
           and e.status = 'active' and e.due_at <= moment order by e.due_at limit 1) front
      where w.account_id = a.id and (not w.held or w.status = 'archived')
        and (select e.due_at from enrollments e where e.account_id = a.id and e.status = 'active'
                and e.due_at > '-infinity' and e.due_at <= moment order by e.due_at limit 1) is not null),
    (select v.occurred_at from events v where v.account_id = a.id and v.matched_at is null
        order by v.id limit 1),
    (select min(front.due_at) from (
        select one.due_at from workflows w cross join lateral (
            select f.due_at from effects f where f.account_id = a.id and f.workflow_id = w.id
               and f.status in ('pending', 'retry') and f.due_at <= moment
               and exists (select from enrollments e where e.account_id = a.id and e.id = f.enrollment_id
                              and e.paused_at is null offset 0)
             order by f.due_at limit 1) one
          where w.account_id = a.id and not w.held
        union all
        select f.due_at from effects f where f.account_id = a.id and f.status = 'claimed'
           and f.lease_until < clock_timestamp()) front
      where (select f.due_at from effects f where f.account_id = a.id
                and f.status in ('pending', 'retry', 'claimed')
                and f.due_at > '-infinity' and f.due_at <= moment order by f.due_at limit 1) is not null),
    (select j.due_at from jobs j where j.account_id = a.id and j.status in ('queued', 'running')
        and j.due_at <= moment order by j.due_at limit 1),
    (select k.next_at from workflow_clocks k where k.account_id = a.id and k.next_at <= moment
        order by k.next_at limit 1),
    (select s.due_at from segments s where s.account_id = a.id and s.due_at is not null
        and s.due_at <= moment order by s.due_at limit 1),
    (select t.due_at from tasks t where t.account_id = a.id and t.completed_at is null
        and t.overdue_at is null and t.due_at is not null and t.due_at <= moment order by t.due_at limit 1)
  ) as oldest) due where due.oldest is not null order by 2
$$
"""


INDEXES = {
    "ix_enrollments_due_of_account": f"enrollments (account_id, due_at) where status = 'active' and {ACCOUNTS}",
    "ix_enrollments_due_of_workflow": (
        "enrollments (account_id, workflow_id, due_at) where status = 'active' and due_at is not null"
    ),
    "ix_enrollments_standing": "enrollments (account_id, workflow_id, status, step_key, version)",
    "ix_effects_due_of_account": f"effects (account_id, due_at) where {OPEN} and {ACCOUNTS}",
    "ix_effects_due_of_workflow": f"effects (account_id, workflow_id, due_at) where {OPEN}",
    "ix_effects_claimed": "effects (account_id, lease_until) where status = 'claimed'",
}
BEFORE = {
    "ix_enrollments_due": "enrollments (account_id, due_at) where status = 'active' and due_at is not null",
    "ix_enrollments_workflow": "enrollments (account_id, workflow_id, status, step_key)",
    "ix_effects_due": f"effects (account_id, due_at) where {OPEN}",
}


def upgrade() -> None:
    for name, place in INDEXES.items():
        build_index(name, place)
    add_definer_function("due_accounts(timestamptz)", DUE_ACCOUNTS, ("workflows",))
    for name in BEFORE:
        drop_index(name)
