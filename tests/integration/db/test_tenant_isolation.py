"""Row-level security as app_user meets it: every tenant table, every verb, from another account."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.settings import Settings
from app.work import SYSTEM, open_work
from db.connection import open_engine
from db.ids import uuid7
from tests.support.sample_account import Cast, cast_of
from tests.support.tenant_tables import OWN_RULES, TENANT
from tests.support.world import World

WALLED = sorted(set(TENANT) - set(OWN_RULES))


@pytest.fixture
async def ours(world: World) -> Cast:
    return await cast_of(world)


@pytest.fixture
async def stranger(world: World, settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """app_user in the transaction of an account that has nothing."""
    other = await world.account("Globex")
    connection = await asyncpg.connect(settings.database_url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("select set_config('app.account_id', $1, true)", str(other))
    yield connection
    await transaction.rollback()
    await connection.close()


async def verdict(connection: asyncpg.Connection, statement: str, *values: Any) -> str:
    """What became of a statement: its status line, or `refused`."""
    try:
        async with connection.transaction():
            return str(await connection.execute(statement, *values))
    except asyncpg.InsufficientPrivilegeError:
        return "refused"


def _new_id(stored: Any) -> Any:
    return uuid7() if isinstance(stored, UUID) else stored + 1_000_000


def test_the_cast_has_a_row_of_every_table() -> None:
    assert set(WALLED) - set(Cast.TABLES) == set()


@pytest.mark.parametrize("table", WALLED)
async def test_rows_of_another_account_are_invisible(
    table: str, ours: Cast, world: World, stranger: asyncpg.Connection
) -> None:
    mine = f"account_id = '{ours.account}'"
    assert (await world.sql(f"select count(*) as n from {table} where {mine}"))[0]["n"] >= 1  # noqa: S608 -- our names
    foreign = f"select count(*) from {table} where account_id <> current_account()"  # noqa: S608 -- our names
    assert await stranger.fetchval(foreign) == 0
    took = f"update {table} set account_id = current_account() where {mine}"  # noqa: S608 -- a name of ours
    assert await verdict(stranger, took) in ("UPDATE 0", "refused")
    gone = f"delete from {table} where {mine}"  # noqa: S608 -- a name of ours
    assert await verdict(stranger, gone) in ("DELETE 0", "refused")
    assert (await world.sql(f"select count(*) as n from {table} where {mine}"))[0]["n"] >= 1  # noqa: S608 -- our names


@pytest.mark.parametrize("table", WALLED)
async def test_writes_into_another_account_are_refused(
    table: str, ours: Cast, world: World, stranger: asyncpg.Connection
) -> None:
    """A copy of the row with a new key, still in the other account."""
    columns = [
        row["column_name"]
        for row in await world.sql(
            "select column_name from information_schema.columns where table_schema = 'public' "
            "and table_name = $1 and is_generated = 'NEVER'",
            table,
        )
    ]
    row = (await world.sql(f"select * from {table} where account_id = $1 limit 1", ours.account))[0]  # noqa: S608 -- our names
    values = [_new_id(row[column]) if column == "id" else row[column] for column in columns]
    names = ", ".join(f'"{column}"' for column in columns)
    places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    insert = f"insert into {table} ({names}) values ({places})"  # noqa: S608 -- names of ours
    assert await verdict(stranger, insert, *values) == "refused"


@pytest.mark.parametrize("table", WALLED)
async def test_without_an_account_there_are_no_rows(table: str, ours: Cast, settings: Settings) -> None:
    connection = await asyncpg.connect(settings.database_url)
    try:
        assert await connection.fetchval(f"select count(*) from {table}") == 0  # noqa: S608 -- a name of ours
    finally:
        await connection.close()


async def test_a_reference_into_another_account_is_refused(
    ours: Cast, world: World, stranger: asyncpg.Connection
) -> None:
    """Foreign-key checks bypass row security: only the composite key stops this."""
    tag = await stranger.fetchval(
        "insert into tags (id, name, slug) values ($1, 'x', 'x') returning id", uuid7()
    )
    link = "insert into contact_tags (contact_id, tag_id) values ($1, $2)"
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await stranger.execute(link, ours.contact, tag)


async def test_users_of_another_account_are_invisible(ours: Cast, stranger: asyncpg.Connection) -> None:
    for table in OWN_RULES:
        visible = await stranger.fetchval(f"select count(*) from {table}")  # noqa: S608 -- a name of ours
        assert visible == (1 if table == "accounts" else 0), table
    renamed = await verdict(stranger, "update accounts set name = 'x' where id = $1", ours.account)
    assert renamed == "UPDATE 0"


async def test_pooled_connection_does_not_keep_the_account(ours: Cast, settings: Settings) -> None:
    """The pool holds one connection; after a tenant's transaction it sees nothing."""
    engine = open_engine(settings.database_url, 1)
    try:
        for end in ("commit", "rollback"):
            async with engine.connect() as connection:
                await connection.exec_driver_sql(
                    "select set_config('app.account_id', $1, true)", (str(ours.account),)
                )
                visible = await connection.exec_driver_sql("select count(*) from contacts")
                assert visible.scalar_one() >= 1
                await getattr(connection, end)()
                visible = await connection.exec_driver_sql("select count(*) from contacts")
                assert visible.scalar_one() == 0
            async with engine.connect() as connection:
                visible = await connection.exec_driver_sql("select count(*) from contacts")
                assert visible.scalar_one() == 0
    finally:
        await engine.dispose()


async def test_work_keeps_its_account_after_a_commit(ours: Cast, world: World) -> None:
    async with open_work(world.runtime, ours.account, SYSTEM) as work:
        assert await count(work.session) >= 1
        await work.commit()
        assert await count(work.session) >= 1
    async with open_work(world.runtime, await world.account(), SYSTEM) as work:
        assert await count(work.session) == 0


async def count(session: Any) -> int:
    connection = await session.connection()
    return int((await connection.exec_driver_sql("select count(*) from contacts")).scalar_one())


async def test_due_accounts_returns_only_ids_and_times(ours: Cast, settings: Settings) -> None:
    """The workers of the release before call it until they are replaced."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        rows = await connection.fetch("select * from due_accounts(clock_timestamp() + interval '1 hour')")
    finally:
        await connection.close()
    assert ours.account in {row["account_id"] for row in rows}
    assert all(set(row.keys()) == {"account_id", "oldest"} for row in rows)
    assert isinstance(rows[0]["account_id"], UUID)


async def test_due_work_returns_only_ids_tasks_and_times(ours: Cast, settings: Settings) -> None:
    connection = await asyncpg.connect(settings.database_url)
    try:
        rows = await connection.fetch("select * from due_work(clock_timestamp() + interval '1 hour', null)")
    finally:
        await connection.close()
    assert ours.account in {row["account_id"] for row in rows}
    assert all(set(row.keys()) == {"account_id", "tasks", "oldest"} for row in rows)
    assert isinstance(rows[0]["account_id"], UUID)
