"""what a request begins with: who is calling, and the version of each catalog of their account"""

import sqlalchemy as sa
from alembic import op

from db.migrations.auth_lookup import fill_parts
from db.migrations.policies import (
    add_definer_function,
    add_definer_trigger,
    add_tenant_policy,
    grant_to_app_user,
)

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

FAMILIES = ("account", "fields", "tags", "members", "segments", "workflows")
# A version is the time of the change in microseconds, or one more than the last: it also stays unique when the
# database is restored from a backup while caches keep what was read before.
NEXT = "greatest(v.{family} + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint)"
RAISED = "{family} = case family when '{family}' then " + NEXT + " else v.{family} end"
COLUMNS = (
    ("moment", "timestamptz"),
    ("versions", "bigint[]"),
    ("user_id", "uuid"),
    ("email", "text"),
    ("name", "text"),
    ("account_id", "uuid"),
    ("account_name", "text"),
    ("time_zone", "text"),
    ("role", "text"),
    ("session_id", "uuid"),
    ("token_id", "uuid"),
    ("scopes", "jsonb"),
    ("memberships", "jsonb"),
)
# What the declarations below share, besides the parts of db/migrations/auth_lookup.py.
PARTS = {
    "{VERSIONS}": "array[" + ", ".join(f"v.{family}" for family in FAMILIES) + "]",
    "{RAISE_ONE}": ", ".join(RAISED.format(family=family) for family in FAMILIES),
    "{RAISE_ALL}": ", ".join(f"{family} = " + NEXT.format(family=family) for family in FAMILIES),
    "{COLUMNS}": ", ".join(f"{name} {kind}" for name, kind in COLUMNS),
    "{NAMES}": ", ".join(name for name, _ in COLUMNS),
    "{SET_ACCOUNT}": """
  if user_id is null then
    return;
  end if;
  perform set_config('app.account_id', account_id::text, true),
          set_config('app.user_id', user_id::text, true);
  return next;
""",
}

# The first statement of every transaction in an account.
BIND_ACCOUNT = """
bind_account(its_account uuid, its_user uuid) returns table (moment timestamptz, versions bigint[])
language plpgsql volatile set search_path = pg_catalog, public, pg_temp as $$
begin
  perform set_config('app.account_id', coalesce(its_account::text, ''), true),
          set_config('app.user_id', coalesce(its_user::text, ''), true);
  select {VERSIONS} into versions from catalog_versions v where v.account_id = its_account;
  moment := clock_timestamp();
  return next;
end
$$
"""

# The first statement of a request: as bind_account, in an account of a live session. No row otherwise.
BIND_SESSION = """
bind_session(its_session uuid, its_account uuid, list_memberships boolean) returns table ({COLUMNS})
language plpgsql volatile {SECURE} as $$
begin
  select clock_timestamp(), {VERSIONS}, u.id, u.email, u.name, a.id, a.name, a.time_zone, m.role, s.id,
         null::uuid, null::jsonb, case when list_memberships then {MEMBERSHIPS} end
    into {NAMES}
    from sessions s
    join users u on u.id = s.user_id and u.disabled_at is null
    join memberships m on m.user_id = u.id and m.account_id = its_account
    join accounts a on a.id = m.account_id
    left join catalog_versions v on v.account_id = a.id
   where s.id = its_session and {LIVE};
  {SET_ACCOUNT}
end
$$
"""

# The same for a live access token, in its account.
BIND_BY_DIGEST = """
bind_access_token(its_digest bytea, list_memberships boolean) returns table ({COLUMNS})
language plpgsql volatile {SECURE} as $$
begin
  select clock_timestamp(), {VERSIONS}, u.id, u.email, u.name, a.id, a.name, a.time_zone, m.role, null::uuid,
         t.id, t.scopes, case when list_memberships then {MEMBERSHIPS} end
    into {NAMES}
    from access_tokens t
    join users u on u.id = t.user_id and u.disabled_at is null
    join memberships m on m.user_id = u.id and m.account_id = t.account_id
    join accounts a on a.id = m.account_id
    left join catalog_versions v on v.account_id = a.id
   where t.token_hash = its_digest and t.revoked_at is null and t.expires_at > clock_timestamp();
  {SET_ACCOUNT}
end
$$
"""

# Raises the version of one family, for the accounts that a changed row concerns. It runs at the end of the
# writer's transaction, so that the row of the account is locked only while that commits, and once for each
# family and account of a transaction, however many rows changed. An account has one row for all its families,
# and rows are locked in the order of their accounts: so two writers never wait for each other. Adding a member
# waits for a change of the user's name that is under way, which raises only accounts that the user was in before.
RAISE_VERSION = """
raise_catalog_version() returns trigger
language plpgsql volatile {SECURE} as $$
declare
  family text := tg_argv[0];
  done text := coalesce(current_setting('app.raised_versions', true), '');
  changed uuid[];
begin
  if tg_table_name = 'users' then
    changed := array(select m.account_id from memberships m where m.user_id = new.id);
  elsif tg_table_name = 'accounts' then
    changed := array[new.id];
  elsif tg_op = 'DELETE' then
    changed := array[old.account_id];
  elsif tg_op = 'INSERT' then
    changed := array[new.account_id];
  else
    changed := array[old.account_id, new.account_id];
  end if;
  if tg_table_name = 'memberships' and tg_op = 'INSERT' then
    perform from users u where u.id = new.user_id for share;
  end if;
  changed := array(select distinct c.id from unnest(changed) c(id)
                    where position(family || c.id::text in done) = 0 order by c.id);
  if cardinality(changed) = 0 then
    return null;
  end if;
  perform from catalog_versions v where v.account_id = any(changed) order by v.account_id for update;
  update catalog_versions v set {RAISE_ONE} where v.account_id = any(changed);
  perform set_config('app.raised_versions',
                     done || (select string_agg(family || c.id::text, ' ') from unnest(changed) c(id)), true);
  return null;
end
$$
"""

RAISE_ALL_VERSIONS = """
raise_all_catalog_versions() returns trigger
language plpgsql volatile {SECURE} as $$
begin
  update catalog_versions v set {RAISE_ALL};
  return null;
end
$$
"""

ADD_VERSIONS = """
add_catalog_versions() returns trigger
language plpgsql volatile {SECURE} as $$
begin
  insert into catalog_versions (account_id) values (new.id);
  return null;
end
$$
"""

# Each catalog: its table, its family, and the columns whose change concerns it; the others change often.
CATALOGS = (
    ("accounts", "account", ("name", "default_region", "time_zone")),
    ("custom_fields", "fields", ()),
    ("tags", "tags", ("name", "slug")),
    ("memberships", "members", ("role",)),
    ("users", "members", ("name",)),
    ("segments", "segments", ("name", "slug", "filter")),
    ("workflows", "workflows", ("name", "status")),
)

# The accounts that there are already; row-level security would show the owner none of them.
ADD_EXISTING = """
do $add$
declare without bigint;
begin
  insert into catalog_versions (account_id) select a.id from accounts a;
  select count(*) into without from accounts a
   where not exists (select from catalog_versions v where v.account_id = a.id);
  if without > 0 then
    raise exception '% accounts have no versions', without;
  end if;
end
$add$
"""


def upgrade() -> None:
    _create_table()
    for signature, declaration in (
        ("bind_session(uuid, uuid, boolean)", BIND_SESSION),
        ("bind_access_token(bytea, boolean)", BIND_BY_DIGEST),
    ):
        add_definer_function(signature, _fill(declaration), ("catalog_versions",))
    for signature, declaration in (
        ("raise_catalog_version()", RAISE_VERSION),
        ("raise_all_catalog_versions()", RAISE_ALL_VERSIONS),
        ("add_catalog_versions()", ADD_VERSIONS),
    ):
        add_definer_trigger(signature, _fill(declaration), ("catalog_versions",))
    op.execute(f"create function {_fill(BIND_ACCOUNT)}")
    op.execute("revoke all on function bind_account(uuid, uuid) from public")
    op.execute("grant execute on function bind_account(uuid, uuid) to app_user")
    _create_triggers()
    op.execute("set local role app_definer")
    op.execute(ADD_EXISTING)
    op.execute("reset role")


def _fill(declaration: str) -> str:
    for name, part in PARTS.items():
        declaration = declaration.replace(name, part)
    return fill_parts(declaration)


def _create_table() -> None:
    start = sa.text("(extract(epoch from clock_timestamp()) * 1000000)::bigint")
    op.create_table(
        "catalog_versions",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        *(sa.Column(family, sa.BigInteger(), server_default=start, nullable=False) for family in FAMILIES),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_catalog_versions_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_catalog_versions")),
    )
    add_tenant_policy("catalog_versions")
    grant_to_app_user(["catalog_versions"], "select")
    op.execute("grant insert, update on catalog_versions to app_definer")


def _create_triggers() -> None:
    op.execute(
        "create trigger add_catalog_versions after insert on accounts "
        "for each row execute function add_catalog_versions()"
    )
    for table, family, columns in CATALOGS:
        changed = " or ".join(f"old.{column} is distinct from new.{column}" for column in columns)
        events = [f"update of {', '.join(columns)}" if columns else "update"]
        if table not in ("accounts", "users"):  # a new or deleted one has no catalog
            events += ["insert", "delete"]
        for event in events:
            name, condition = event.partition(" ")[0], f"when ({changed})" if " " in event else ""
            op.execute(
                f"create constraint trigger raise_version_at_{name} after {event} on {table} "
                f"deferrable initially deferred for each row {condition} "
                f"execute function raise_catalog_version('{family}')"
            )
        op.execute(
            f"create trigger raise_versions_at_truncate after truncate on {table} "
            "for each statement execute function raise_all_catalog_versions()"
        )
