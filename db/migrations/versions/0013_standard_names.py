"""standard names for tables, columns, functions, audit actions and events

Stop web and workers first. `upgrade` works in two parts:

 1. It rewrites stored names row by row, in batches that commit one by one (`db.migrations.rewrites`).
 2. In one transaction it rewrites what came meanwhile, renames tables, columns, constraints and indexes, and
    makes the functions anew.

A migration that was interrupted is simply run again: part 1 finds what is left, part 2 is all or nothing.
Documents of workflows are not touched: published versions never change.
"""

from alembic import op

from db.migrations.auth_lookup import add_lookup_functions
from db.migrations.policies import add_definer_function
from db.migrations.rename import rename_columns, rename_function, rename_parts, rename_tables
from db.migrations.rewrites import Rewrite, rewrite_all, rewrite_in_batches

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = {
    "hook_deliveries": "inbound_deliveries",
    "hooks": "inbound_webhooks",
    "batches": "inflight_batches",
    "relocations": "enrollment_migrations",
    "workflow_clocks": "trigger_schedules",
    "installation": "engine_state",
    "breakers": "circuit_breakers",
}
# By the new name of the table.
COLUMNS = {
    "access_tokens": {"hint": "token_prefix"},
    "effects": {"begun_at": "started_at", "tried_at": "attempted_at"},
    "engine_state": {"one": "singleton", "beat_at": "heartbeat_at"},
    "enrollments": {"of_deleted": "contact_deleted", "heard_event_id": "wake_event_id"},
    "inbound_deliveries": {"hook_id": "webhook_id"},
    "inbound_webhooks": {"hint": "token_prefix"},
    "inflight_batches": {"begun_at": "started_at"},
    "sessions": {"seen_at": "last_seen_at"},
    "workers": {"seen_at": "last_seen_at"},
}
ACTIONS = {
    "account.changed": "account.updated",
    "breaker.tried": "circuit_breaker.probed",
    "effect.settled": "effect.resolved",
    "enrollment.jumped": "enrollment.moved",
    "event.passed_over": "event.skipped",
    "hook.address_made": "webhook.address_created",
    "hook.secret_made": "webhook.secret_created",
    "invitation.sent_again": "invitation.resent",
    "note.added": "note.created",
    "password.set": "member.password_set",
    "person.password_changed": "member.password_changed",
    "segment.not_compared": "segment.evaluation_failed",
    "task.added": "task.created",
    "task.changed": "task.updated",
    "token.made": "token.created",
    "workflow.clock_unreadable": "workflow.schedule_unreadable",
    "workflow.edited": "workflow.updated",
}
JOB_TASKS = {"clock.strike": "schedule.fire", "workflow.relocation": "workflow.migrate_enrollments"}
_OLD_EVENT, _NEW_EVENT = "schedule.struck", "schedule.fired"


def _case(column: str, names: dict[str, str]) -> str:
    """The new name of a value, or the value."""
    pairs = " ".join(f"when '{old}' then '{new}'" for old, new in names.items())
    return f"case {column} {pairs} else {column} end"


def _any(column: str, names: dict[str, str]) -> str:
    return f"{column} in ({', '.join(repr(name) for name in names)})"


def _renamed_key(column: str, old: str, new: str) -> str:
    return f"{column} - '{old}' || jsonb_build_object('{new}', {column} -> '{old}')"


_ID = (("account_id", "uuid"), ("id", "uuid"))
# One text of an entry: who chose a password by a link.
_BY_LINK = """replace(changes::text, '"a link by e-mail"', '"a link by email"')::jsonb"""
REWRITES = (
    Rewrite(
        "audit_logs",
        _ID,
        old=f"(actor_kind = 'person' or {_any('action', ACTIONS)})",
        new=f"actor_kind = case actor_kind when 'person' then 'member' else actor_kind end, "
        f"action = {_case('action', ACTIONS)}, "
        f"changes = case action when 'password.set' then {_BY_LINK} "
        f"""when 'event.passed_over' then replace(changes::text, '{_OLD_EVENT} ', '{_NEW_EVENT} ')::jsonb """
        "else changes end",
    ),
    Rewrite("events", _ID, old=f"kind = '{_OLD_EVENT}'", new=f"kind = '{_NEW_EVENT}'"),
    Rewrite(
        "trigger_decisions",
        (("account_id", "uuid"), ("event_id", "uuid"), ("workflow_id", "uuid")),
        old="detail ? 'seen'",
        new="detail = replace(("
        + _renamed_key("detail", "seen", "values")
        + f""")::text, '"{_OLD_EVENT}"', '"{_NEW_EVENT}"')::jsonb""",
    ),
    Rewrite(
        "enrollment_executions",
        (("account_id", "uuid"), ("enrollment_id", "uuid"), ("seq", "int")),
        old=f"(detail ? 'settled_by' or detail ->> 'reason' = 'jumped' or detail ->> 'event' = '{_OLD_EVENT}')",
        new="detail = detail - 'settled_by'"
        " || case when detail ? 'settled_by' then jsonb_build_object('resolved_by', detail -> 'settled_by')"
        " else '{}'::jsonb end"
        """ || case when detail ->> 'reason' = 'jumped' then '{"reason": "moved"}' else '{}' end::jsonb"""
        f""" || case when detail ->> 'event' = '{_OLD_EVENT}' then '{{"event": "{_NEW_EVENT}"}}'"""
        " else '{}' end::jsonb",
    ),
    Rewrite(
        "effects",
        _ID,
        old="result ? 'settled_by'",
        new=f"result = {_renamed_key('result', 'settled_by', 'resolved_by')}",
    ),
    Rewrite("notes", _ID, old="author_kind = 'person'", new="author_kind = 'member'"),
    Rewrite("tasks", _ID, old="author_kind = 'person'", new="author_kind = 'member'"),
    Rewrite(
        "jobs",
        _ID,
        old=f"(actor_kind = 'person' or queue = 'clocks' or {_any('task', JOB_TASKS)})",
        new=f"actor_kind = case actor_kind when 'person' then 'member' else actor_kind end, "
        f"queue = case queue when 'clocks' then 'schedules' else queue end, "
        f"task = {_case('task', JOB_TASKS)}, "
        "args = case task when 'workflow.relocation'"
        """ then replace(args::text, '"people":', '"enrollments":')::jsonb else args end""",
    ),
    Rewrite(
        "breakers",
        (("account_id", "uuid"), ("workflow_id", "uuid"), ("step_key", "text"), ("error_class", "text")),
        old="sample ? 'struck'",
        new=f"sample = {_renamed_key('sample', 'struck', 'affected')}",
    ),
)

# Per account one look at the front of each index: it costs the same for one due row and for a million. Only
# where something is due its workflows are looked at, one by one: what is held, or paused with its enrollment,
# waits for a member. A call whose worker is gone is due all the same: it may be in doubt.
DUE_ACCOUNTS = """
due_accounts(moment timestamptz) returns table (account_id uuid, oldest timestamptz)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
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
                and f.due_at > '-infinity' and f.due_at <= moment order by f.due_at limit 1) is not null),
    (select j.due_at from jobs j where j.account_id = a.id and j.status in ('queued', 'running')
        and j.due_at <= moment order by j.due_at limit 1),
    (select k.next_at from trigger_schedules k where k.account_id = a.id and k.next_at <= moment
        order by k.next_at limit 1),
    (select s.due_at from segments s where s.account_id = a.id and s.due_at is not null
        and s.due_at <= moment order by s.due_at limit 1),
    (select t.due_at from tasks t where t.account_id = a.id and t.completed_at is null
        and t.overdue_at is null and t.due_at is not null and t.due_at <= moment order by t.due_at limit 1)
  ) as oldest) due where due.oldest is not null order by 2
$$
"""

# Accounts with expired data (app/engine/recovery/retention.py). The ids of events begin with their time, so
# the index of the key finds the old ones.
EXPIRED_DATA = """
accounts_with_expired_data(deleted timestamptz, decided timestamptz) returns table (account_id uuid)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
  select c.account_id from contacts c where c.deleted_at < deleted group by 1
  union
  select n.account_id from notes n where n.deleted_at < deleted group by 1
  union
  select t.account_id from tasks t where t.deleted_at < deleted group by 1
  union
  select d.account_id from trigger_decisions d
    where d.verdict = 'filter_false' and d.decided_at < decided group by 1
$$
"""
OLD_EVENTS = """
accounts_with_old_events(moment timestamptz, floor uuid) returns table (account_id uuid)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
  select a.id from accounts a
   where exists (select from events v where v.account_id = a.id and v.id < floor
                    and v.matched_at is not null and v.occurred_at < moment)
      or exists (select from inbound_deliveries d where d.account_id = a.id and d.received_at < moment)
$$
"""

# An inbound webhook names its account only by its secret: looked up before a tenant is known.
ADDRESSED_WEBHOOK = """
webhook_by_token(digest bytea) returns table (account_id uuid, webhook_id uuid)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
  select w.account_id, w.id from inbound_webhooks w where w.token_hash = digest
$$
"""
FUNCTIONS = {
    "due_accounts(timestamptz)": DUE_ACCOUNTS,
    "accounts_with_expired_data(timestamptz, timestamptz)": EXPIRED_DATA,
    "accounts_with_old_events(timestamptz, uuid)": OLD_EVENTS,
    "webhook_by_token(bytea)": ADDRESSED_WEBHOOK,
}
REPLACED = (
    "due_accounts(timestamptz)",
    "worn_accounts(timestamptz, timestamptz)",
    "aged_accounts(timestamptz, uuid)",
    "hook_of(bytea)",
    "person_by_email(text)",
    "principal_by_secret(uuid, bytea)",
    "principal_by_session(uuid, uuid)",
    "principal_by_access_token(bytea)",
    "person_invited(uuid, text, text)",
    "reset_made(uuid, uuid, bytea, timestamptz)",
    "person_by_reset(bytea)",
    "reset_used(bytea, text)",
    "invitation_by_token(bytea)",
    "invitation_accepted(bytea, uuid, uuid, text, text)",
)


def upgrade() -> None:
    for rewrite in REWRITES:
        rewrite_in_batches(rewrite)
    for rewrite in REWRITES:
        rewrite_all(rewrite)
    rename_tables(TABLES)
    for table, columns in COLUMNS.items():
        rename_columns(table, columns)
    rename_parts({**TABLES, **{old: new for columns in COLUMNS.values() for old, new in columns.items()}})
    _rename_kind_of_batches()
    rename_function("current_person()", "current_user_id")
    op.execute("set local role app_definer")
    for signature in REPLACED:
        op.execute(f"drop function {signature}")
    op.execute("reset role")
    for signature, declaration in FUNCTIONS.items():
        add_definer_function(signature, declaration, ())
    add_lookup_functions()


def _rename_kind_of_batches() -> None:
    """The kind `move` of a batch is `advance` now."""
    op.execute("alter table inflight_batches drop constraint ck_inflight_batches_kind")
    rewrite_all(Rewrite("inflight_batches", _ID, old="kind = 'move'", new="kind = 'advance'"))
    op.execute("alter table inflight_batches alter column kind set default 'advance'")
    op.create_check_constraint(
        op.f("ck_inflight_batches_kind"), "inflight_batches", "kind in ('advance', 'match')"
    )
