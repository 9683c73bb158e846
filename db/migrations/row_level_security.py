"""Row-level security and grants by table; `add_policies` is the end of the first migration."""

from alembic import op

from db.migrations.first_auth_lookup import add_lookup_functions
from db.migrations.policies import add_definer_function, add_tenant_policy, grant_to_app_user

TENANT_TABLES = (
    "contacts",
    "contact_tags",
    "custom_fields",
    "effects",
    "enrollment_executions",
    "enrollments",
    "import_rows",
    "imports",
    "jobs",
    "mailbox_messages",
    "tags",
    "workflow_actions",
    "workflow_conditions",
    "workflow_goals",
    "workflow_revisions",
    "workflows",
)
# Rows are added, never changed or deleted.
INSERT_ONLY_TABLES = ("audit_logs", "workflow_references", "workflow_versions")

# Which accounts have something due at a moment, and since when. Nothing else leaves this function.
DUE_ACCOUNTS = """
due_accounts(moment timestamptz) returns table (account_id uuid, oldest timestamptz)
language sql stable security definer set search_path = pg_catalog, public as $$
  select due.account_id, min(due.at) from (
    select e.account_id, min(e.due_at) as at from enrollments e
      where e.status = 'active' and e.due_at is not null and e.due_at <= moment group by 1
    union all
    select v.account_id, min(v.occurred_at) from events v where v.matched_at is null group by 1
    union all
    select f.account_id, min(f.due_at) from effects f
      where f.status in ('pending', 'retry', 'claimed') and f.due_at <= moment group by 1
    union all
    select j.account_id, min(j.due_at) from jobs j
      where j.status in ('queued', 'running') and j.due_at <= moment group by 1
  ) due group by 1 order by 2
$$
"""

# Accounts with expired data (see app/engine/recovery/retention.py), by the engine's clock.
EXPIRED_DATA_ACCOUNTS = """
worn_accounts(deleted timestamptz, decided timestamptz) returns table (account_id uuid)
language sql stable security definer set search_path = pg_catalog, public as $$
  select c.account_id from contacts c where c.deleted_at < deleted group by 1
  union
  select d.account_id from trigger_decisions d
    where d.verdict = 'filter_false' and d.decided_at < decided group by 1
$$
"""


def add_policies() -> None:
    for table in TENANT_TABLES:
        add_tenant_policy(table)
    grant_to_app_user(TENANT_TABLES)
    for table in INSERT_ONLY_TABLES:
        add_tenant_policy(table)
    grant_to_app_user(INSERT_ONLY_TABLES, "select, insert")
    add_tenant_policy("events")
    add_tenant_policy("trigger_decisions")
    grant_to_app_user(("events", "trigger_decisions"), "select, insert, update, delete")
    add_shared_table_policies()
    grant_to_app_user(("workers",))
    add_definer_function(
        "due_accounts(timestamptz)", DUE_ACCOUNTS, ("enrollments", "events", "effects", "jobs")
    )
    add_definer_function(
        "worn_accounts(timestamptz, timestamptz)", EXPIRED_DATA_ACCOUNTS, ("contacts", "trigger_decisions")
    )
    add_lookup_functions()


def add_shared_table_policies() -> None:
    """Tables shared by accounts: a user sees themselves and the members of the current account."""
    member = (
        "exists (select from memberships m "
        "where m.user_id = users.id and m.account_id = (select current_account()))"
    )
    own_account = "account_id = (select current_account())"
    own_person = "user_id = (select current_person())"
    rules = {
        "accounts": [("all", "id = (select current_account())")],
        "memberships": [("all", own_account), ("select", own_person)],
        "users": [
            ("select", f"id = (select current_person()) or {member}"),
            ("update", "id = (select current_person())"),
            ("insert", "(select current_account()) is not null"),
        ],
        "sessions": [("all", own_person), ("select", own_account)],
        "access_tokens": [("all", own_account)],
        "password_resets": [("all", own_person)],
    }
    for table, policies in rules.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        for number, (command, condition) in enumerate(policies):
            check = f"with check ({condition})" if command != "select" else ""
            using = f"using ({condition})" if command != "insert" else ""
            op.execute(f"create policy own_{number} on {table} for {command} {using} {check}")
    grant_to_app_user(rules)
