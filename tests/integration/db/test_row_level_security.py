"""What PostgreSQL itself says about the walls between tenants."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.settings import Settings
from db.migrations.auth_lookup import FUNCTIONS
from db.models import Base
from tests.support.tenant_tables import OWN_RULES, SHARED, TENANT
from tests.support.world import World

# Unique indexes that do not lead with account_id, with the reason.
FREE_KEYS = {
    "pk_accounts": "the account itself",
    "pk_users": "of a person",
    "uq_users_email": "signing in comes before a tenant is known",
    "pk_sessions": "looked up before a tenant is known",
    "pk_access_tokens": "the same",
    "uq_access_tokens_token_hash": "the same",
    "pk_password_resets": "the same",
    "uq_password_resets_token_hash": "the same",
    "pk_turn_counts": "of no account",
    "pk_workers": "of no account",
    "pk_engine_state": "of no account: the one row",
    "uq_invitations_token_hash": "an invitation is opened before its account is known",
    "uq_inbound_webhooks_token_hash": "an inbound webhook names its account only by its secret",
    "alembic_version_pkc": "Alembic's own",
}
# References to a tenant row by its id alone, with the reason: none.
DEFINERS = {signature.partition("(")[0] for signature, _ in FUNCTIONS} | {
    "accounts_to_count",
    "accounts_with_counter_deltas",
    "accounts_with_old_events",
    "count_unknown",
    "due_accounts",
    "fill_contact_values",
    "due_work",
    "webhook_by_token",
    "accounts_with_expired_data",
    "bind_session",
    "bind_access_token",
    "add_catalog_versions",
    "raise_catalog_version",
    "raise_all_catalog_versions",
}


@pytest.fixture
async def db(admin_url: str, app: object) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(admin_url)
    yield connection
    await connection.close()


async def names(db: asyncpg.Connection, query: str, *values: object) -> list[str]:
    return [str(row[0]) for row in await db.fetch(query, *values)]


async def test_every_table_is_known(db: asyncpg.Connection) -> None:
    tables = await names(db, "select tablename from pg_tables where schemaname = 'public'")
    assert sorted(tables) == sorted({*Base.metadata.tables, "alembic_version"})
    without = await names(
        db,
        "select tablename from pg_tables t where schemaname = 'public' and not exists (select from "
        "information_schema.columns c where c.table_name = t.tablename and c.column_name = 'account_id')",
    )
    assert sorted(without) == sorted({*SHARED, "accounts"})


async def test_row_security_is_enabled_and_forced(db: asyncpg.Connection) -> None:
    open_tables = await names(
        db,
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') "
        "and not (relrowsecurity and relforcerowsecurity)",
    )
    assert sorted(open_tables) == ["alembic_version", "engine_state", "turn_counts", "workers"]


async def test_every_policy_guards_reads_and_writes(db: asyncpg.Connection) -> None:
    rows = await db.fetch("select tablename, cmd, qual, with_check, permissive from pg_policies")
    for table in set(TENANT) - set(OWN_RULES):
        mine = [row for row in rows if row["tablename"] == table]
        assert len(mine) == 1, table
        assert mine[0]["cmd"] == "ALL", table
        for side in ("qual", "with_check"):
            assert "account_id = ( SELECT current_account()" in str(mine[0][side]), (table, side)
    for row in rows:
        assert row["qual"] or row["cmd"] == "INSERT", row
        assert row["with_check"] or row["cmd"] in ("SELECT", "DELETE"), row


async def test_an_unset_account_sees_no_rows(db: asyncpg.Connection) -> None:
    assert await db.fetchval("select current_account()") is None
    await db.execute("select set_config('app.account_id', '', false)")
    assert await db.fetchval("select current_account()") is None


async def test_the_account_column_defaults_to_the_current_account(db: asyncpg.Connection) -> None:
    defaults = await names(
        db,
        "select table_name from information_schema.columns where table_schema = 'public' "
        "and column_name = 'account_id' and column_default like '%current_account()%'",
    )
    assert set(TENANT) - set(defaults) <= {"sessions", "access_tokens"}


async def test_app_user_has_no_special_rights(db: asyncpg.Connection) -> None:
    row = await db.fetchrow(
        "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication "
        "from pg_roles where rolname = 'app_user'"
    )
    assert row is not None
    assert not any(row.values())
    assert await names(db, "select relname from pg_class where relowner = 'app_user'::regrole") == []
    assert await names(db, "select proname from pg_proc where proowner = 'app_user'::regrole") == []
    assert await names(db, "select nspname from pg_namespace where nspowner = 'app_user'::regrole") == []
    member_of = "select roleid::regrole::text from pg_auth_members where member = 'app_user'::regrole"
    assert await names(db, member_of) == []
    assert not await db.fetchval("select has_schema_privilege('app_user', 'public', 'create')")
    assert not await db.fetchval("select has_database_privilege('app_user', current_database(), 'create')")


async def test_only_app_definer_bypasses_and_cannot_sign_in(db: asyncpg.Connection) -> None:
    strong = "select rolname from pg_roles where rolname like 'app%' and (rolbypassrls or rolsuper)"
    assert await names(db, strong) == ["app_definer"]
    assert not await db.fetchval("select rolcanlogin from pg_roles where rolname = 'app_definer'")


async def test_the_definer_functions_are_the_listed_ones(db: asyncpg.Connection) -> None:
    rows = await db.fetch(
        "select p.proname, p.proowner::regrole::text as owner, p.proconfig, p.prosrc, "
        "has_function_privilege('public', p.oid, 'execute') as anybody "
        "from pg_proc p where p.prosecdef and p.pronamespace = 'public'::regnamespace"
    )
    assert {row["proname"] for row in rows} == DEFINERS
    for row in rows:
        assert row["owner"] == "app_definer", row["proname"]
        assert row["proconfig"] == ["search_path=pg_catalog, public, pg_temp"], row["proname"]
        assert not row["anybody"], row["proname"]
        assert "execute" not in row["prosrc"].lower(), f"{row['proname']}: never dynamic SQL in a definer"


async def test_app_user_may_not_run_the_triggers_that_look_across_accounts(
    db: asyncpg.Connection,
) -> None:
    """It may create temporary tables, and a trigger of one could raise the versions of any account."""
    rows = await db.fetch(
        "select proname, has_function_privilege('app_user', oid, 'execute') as may from pg_proc "
        "where prosecdef and prorettype = 'trigger'::regtype and pronamespace = 'public'::regnamespace"
    )
    assert {row["proname"] for row in rows} == {
        "add_catalog_versions", "count_unknown", "fill_contact_values", "raise_all_catalog_versions",
        "raise_catalog_version",
    }  # fmt: skip
    assert [row["proname"] for row in rows if row["may"]] == []


async def test_a_temporary_table_raises_no_version(settings: Settings, world: World) -> None:
    ours, theirs = await world.account(), await world.account("Globex")
    versions = "select * from catalog_versions where account_id = $1"
    before = await world.sql(versions, theirs)
    connection = await asyncpg.connect(settings.database_url)
    try:
        await connection.execute("select * from bind_account($1, null)", ours)
        await connection.execute("create temp table accounts (id uuid)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "create trigger raised after insert on pg_temp.accounts for each row "
                "execute function raise_catalog_version('tags')"
            )
        await connection.execute("insert into pg_temp.accounts values ($1)", theirs)
    finally:
        await connection.close()
    assert await world.sql(versions, theirs) == before


async def test_unique_indexes_lead_with_the_account(db: asyncpg.Connection) -> None:
    free = await names(
        db,
        "select i.indexrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indrelid "
        "left join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0] "
        "where c.relnamespace = 'public'::regnamespace and i.indisunique "
        "and a.attname is distinct from 'account_id'",
    )
    assert sorted(free) == sorted(FREE_KEYS)


async def test_references_between_tenant_tables_carry_the_account(db: asyncpg.Connection) -> None:
    rows = await db.fetch(
        "select conname, conrelid::regclass::text as source, confrelid::regclass::text as target, "
        "(select array_agg(attname order by k.n) from unnest(conkey) with ordinality k(num, n) "
        "  join pg_attribute a on a.attrelid = conrelid and a.attnum = k.num) as columns, "
        "(select array_agg(attname order by k.n) from unnest(confkey) with ordinality k(num, n) "
        "  join pg_attribute a on a.attrelid = confrelid and a.attnum = k.num) as referred "
        "from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace"
    )
    assert rows
    for row in rows:
        if row["target"] in ("accounts", "users"):
            continue
        assert row["target"] in TENANT, row["conname"]
        assert row["columns"][0] == "account_id", row["conname"]
        assert row["referred"][0] == "account_id", row["conname"]
    held = {row["source"] for row in rows}
    assert set(TENANT) - held == set(), "every tenant table hangs on its account"


@pytest.mark.parametrize("table", ["audit_logs", "workflow_versions"])
@pytest.mark.parametrize("right", ["update", "delete", "truncate"])
async def test_append_only_tables_stay_append_only(db: asyncpg.Connection, table: str, right: str) -> None:
    assert not await db.fetchval("select has_table_privilege('app_user', $1, $2)", table, right)
    if right == "update":
        assert not await db.fetchval("select has_any_column_privilege('app_user', $1, 'update')", table)


async def test_app_user_cannot_truncate_or_alter(db: asyncpg.Connection) -> None:
    for right in ("truncate", "references", "trigger"):
        may = await names(
            db,
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' "
            "and has_table_privilege('app_user', oid, $1)",
            right,
        )
        assert may == [], right
