"""Migration 0016 on a database with rows: screens scan, workers count the accounts, and a process of the
release before may still write. It runs on a database of its own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from alembic import command
from alembic.config import Config

from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.work import SYSTEM, open_work
from db.queries.counters import read_counts
from db.queries.workflow_pages import count_by_place
from jobs.counter_upkeep import keep_counters
from scripts._lib.dev.postgres import Postgres
from scripts._lib.faults.counter_check import KNOWN_FAMILIES, WRONG_COUNTS
from tests.conftest import PASSWORDS

ROOT = Path(__file__).resolve().parents[3]
BEFORE = "0015"
NAME = "counters_migrated"
ACCOUNTS = (uuid4(), uuid4())
NOW = timedelta(0)
# Of each account: 60 contacts (a tenth deleted) with tags, and an enrollment with three visits each.
ROWS = """
insert into accounts (id, name) values ($1, 'Acme');
insert into tags (account_id, id, name, slug) values ($1, $2, 'vip', 'vip');
insert into segments (account_id, id, name, slug, filter) values ($1, $2, 'all', 'all', '{}');
insert into contacts (account_id, id, first_name, deleted_at)
select $1, gen_random_uuid(), 'Ann', case when n % 10 = 0 then now() end from generate_series(1, 60) n;
insert into contact_tags (account_id, contact_id, tag_id)
select $1, id, $2 from contacts where account_id = $1;
insert into segment_members (account_id, segment_id, contact_id, entered_at)
select $1, $2, id, now() from contacts where account_id = $1 and deleted_at is null;
insert into workflows (account_id, id, name) values ($1, $2, 'Welcome');
insert into workflow_versions (account_id, workflow_id, number, document, content_hash)
select $1, $2, n, '{}', '' from generate_series(1, 2) n;
insert into enrollments (account_id, id, workflow_id, version, contact_id, event_id, root_event_id, status,
                         step_key, entered_at)
select $1, gen_random_uuid(), $2, 1 + (row_number() over ()) % 2, id, id, id,
       case when row_number() over () % 3 = 0 then 'completed' else 'active' end,
       case when row_number() over () % 5 > 0 then 's2' end, now()
  from contacts where account_id = $1;
insert into enrollment_executions (account_id, enrollment_id, seq, step_key, kind, started_at, finished_at,
                                   outcome, detail)
select $1, id, n, 's' || n, 'wait', now(), case when n < 3 then now() end, case when n < 3 then 'passed' end,
       case n when 1 then '{"again": true}'::jsonb else '{"branch": "b1"}' end
  from enrollments, generate_series(1, 3) n where account_id = $1
"""


async def sql(connection: asyncpg.Connection, script: str, *values: UUID) -> None:
    for number, value in enumerate(values, 1):
        script = script.replace(f"${number}", f"'{value}'")
    await connection.execute(script)


@pytest.fixture
async def migrated(postgres: Postgres) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to a database with rows of the release before."""
    await asyncio.to_thread(postgres.bootstrap, NAME, PASSWORDS)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
    config.set_main_option("sqlalchemy.url", postgres.url("app_owner", PASSWORDS["app_owner"], NAME))
    await asyncio.to_thread(command.upgrade, config, BEFORE)
    connection = await asyncpg.connect(postgres.superuser_url(NAME))
    for account in ACCOUNTS:
        await sql(connection, ROWS, account, uuid4())
    await asyncio.to_thread(command.upgrade, config, "head")
    yield connection
    await connection.close()


@pytest.fixture
async def workers(settings: Settings, postgres: Postgres) -> AsyncIterator[Runtime]:
    url = postgres.url("app_user", PASSWORDS["app_user"], NAME)
    opened = open_runtime(msgspec.structs.replace(settings, database_url=url), pool_size=2)
    yield opened
    await opened.close()


async def test_existing_rows_are_counted_while_an_old_process_writes(
    migrated: asyncpg.Connection, workers: Runtime, postgres: Postgres
) -> None:
    account = ACCOUNTS[0]
    workflow = await migrated.fetchval("select id from workflows where account_id = $1", account)

    async def places() -> tuple[bool, list[tuple[str, int, str | None, int]]]:
        async with open_work(workers, account, SYSTEM) as work:
            available = await read_counts(work.session, "enrollments", workflow) is not None
            rows = await count_by_place(work.session, workflow)
        return available, sorted(
            ((row.status, row.version, row.step_key, row.enrollments) for row in rows), key=str
        )

    available, scanned = await places()
    assert not available
    assert sum(row[3] for row in scanned) == 60
    await keep_counters(workers)
    assert await places() == (True, scanned)
    for account_id in ACCOUNTS:
        assert len(await migrated.fetch(KNOWN_FAMILIES, account_id)) == 5
        assert await migrated.fetch(WRONG_COUNTS, account_id) == []
        assert await migrated.fetchval("select count(*) from counters where account_id = $1", account_id) > 5

    old = await asyncpg.connect(postgres.url("app_user", PASSWORDS["app_user"], NAME))
    async with old.transaction():
        await old.execute("select set_config('app.account_id', $1, true)", str(account))
        await old.execute("update enrollments set status = 'exited', step_key = null")
    await old.close()
    available, scanned = await places()
    assert not available
    assert {row[0] for row in scanned} == {"exited"}
    await keep_counters(workers)
    await keep_counters(workers, NOW)
    assert await places() == (True, scanned)
    assert await migrated.fetch(WRONG_COUNTS, account) == []
    others = {row["family"] for row in await migrated.fetch(KNOWN_FAMILIES, ACCOUNTS[1])}
    assert len(others) == 5, "the other account is not concerned"
