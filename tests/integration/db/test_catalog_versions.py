"""Every change of a catalog raises the version of its family, whoever makes it; other changes raise none."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.settings import Settings
from db.ids import uuid7
from db.queries.catalogs import FAMILIES
from tests.support.world import AccountMember, World

PATIENCE = 30.0
FIELD = "insert into custom_fields (id, key, label, type) values ($1, $2, 'Plan', 'text')"
TAG = "insert into tags (id, name, slug) values ($1, $2, $2)"
# What is done, with $1 an id and $2 a name, and the families that it raises. Each builds on the one before.
CHANGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("update accounts set name = $2 where id = current_account() and $1::uuid is not null", ("account",)),
    ("update accounts set time_zone = 'Europe/Rome' where $1::uuid is not null and $2 <> ''", ("account",)),
    ("update accounts set default_region = 'IT' where $1::uuid is not null and $2 <> ''", ("account",)),
    ("update accounts set updated_at = now() where $1::uuid is not null and $2 <> ''", ()),
    (FIELD, ("fields",)),
    ("update custom_fields set label = $2 where id = $1", ("fields",)),
    ("update custom_fields set position = 3 where id = $1 and $2 <> ''", ("fields",)),
    ("update custom_fields set options = jsonb_build_array($2::text) where id = $1", ("fields",)),
    ("delete from custom_fields where id = $1 and $2 <> ''", ("fields",)),
    (TAG, ("tags",)),
    ("update tags set name = $2 || '!' where id = $1", ("tags",)),
    ("update tags set updated_at = now() where id = $1 and $2 <> ''", ()),
    ("delete from tags where id = $1 and $2 <> ''", ("tags",)),
    (
        "insert into segments (id, name, slug, filter) values ($1, $2, $2, '{}')",
        ("segments",),
    ),
    ("update segments set name = $2 || '!' where id = $1", ("segments",)),
    ("update segments set filter = '{\"a\": 1}' where id = $1 and $2 <> ''", ("segments",)),
    ("update segments set due_at = now() where id = $1 and $2 <> ''", ()),
    ("delete from segments where id = $1 and $2 <> ''", ("segments",)),
    ("insert into workflows (id, name) values ($1, $2)", ("workflows",)),
    ("update workflows set name = $2 || '!' where id = $1", ("workflows",)),
    ("update workflows set status = 'archived' where id = $1 and $2 <> ''", ("workflows",)),
    ("update workflows set rev = 7, held = true, updated_at = now() where id = $1 and $2 <> ''", ()),
    ("delete from workflows where id = $1 and $2 <> ''", ("workflows",)),
    ("insert into contacts (id, first_name) values ($1, $2)", ()),
    ("update contacts set first_name = $2 || '!' where id = $1", ()),
    ("insert into tags (id, name, slug) select $1, $2, $2 where false", ()),
)


@pytest.fixture
async def owner(world: World) -> AccountMember:
    return await world.person()


@pytest.fixture
async def db(owner: AccountMember, settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """app_user, as the program signs in."""
    connection = await asyncpg.connect(settings.database_url)
    yield connection
    await connection.close()


async def begin(db: asyncpg.Connection, account: UUID) -> dict[str, int]:
    """Binds the transaction; returns the versions that it begins with."""
    row = await db.fetchrow("select * from bind_account($1, null)", account)
    assert row is not None
    return dict(zip(FAMILIES, row["versions"], strict=True))


async def versions_of(db: asyncpg.Connection, account: UUID) -> dict[str, int]:
    async with db.transaction():
        return await begin(db, account)


def raised(before: dict[str, int], after: dict[str, int]) -> set[str]:
    assert all(after[family] >= before[family] for family in FAMILIES)
    return {family for family in FAMILIES if after[family] > before[family]}


async def change(db: asyncpg.Connection, account: UUID, statement: str, *values: object) -> None:
    async with db.transaction():
        await begin(db, account)
        await db.execute(statement, *values)


async def test_a_change_raises_its_family_and_no_other(db: asyncpg.Connection, owner: AccountMember) -> None:
    row, name = uuid7(), "plan"
    for statement, families in CHANGES:
        before = await versions_of(db, owner.account_id)
        await change(db, owner.account_id, statement, row, name)
        assert raised(before, await versions_of(db, owner.account_id)) == set(families), statement


async def test_another_account_is_not_raised(
    db: asyncpg.Connection, owner: AccountMember, world: World
) -> None:
    other = await world.account("Globex")
    before = await versions_of(db, other)
    await change(db, owner.account_id, TAG, uuid7(), "vip")
    assert await versions_of(db, other) == before


async def test_members_and_their_names_raise_each_account_of_theirs(
    db: asyncpg.Connection, owner: AccountMember, world: World
) -> None:
    accounts = [owner.account_id, await world.account("Globex")]

    async def raised_by(statement: str, *values: object) -> list[set[str]]:
        before = [await versions_of(db, account) for account in accounts]
        await world.sql(statement, *values)
        return [
            raised(earlier, await versions_of(db, account))
            for earlier, account in zip(before, accounts, strict=True)
        ]

    joined = "insert into memberships (account_id, user_id, role) values ($1, $2, 'viewer')"
    assert await raised_by(joined, accounts[1], owner.user_id) == [set(), {"members"}]
    assert await raised_by("update users set name = 'Zoe' where id = $1", owner.user_id) == [{"members"}] * 2
    assert await raised_by("update users set email = id || '@b.example' where id = $1", owner.user_id) == [
        set(),
        set(),
    ]
    promoted = "update memberships set role = 'admin' where account_id = $1 and user_id = $2"
    assert await raised_by(promoted, accounts[1], owner.user_id) == [set(), {"members"}]
    assert await raised_by("delete from users where id = $1", owner.user_id) == [{"members"}] * 2


async def test_many_rows_raise_a_version_once_and_a_savepoint_takes_it_back(
    db: asyncpg.Connection, owner: AccountMember
) -> None:
    many = (
        "insert into tags (id, name, slug) "
        "select gen_random_uuid(), 't' || n, 't' || n from generate_series(1, 500) n"
    )
    async with db.transaction():
        before = await begin(db, owner.account_id)
        savepoint = db.transaction()
        await savepoint.start()
        await db.execute(many)
        await db.execute("set constraints all immediate")
        once = await begin(db, owner.account_id)
        assert raised(before, once) == {"tags"}
        await db.execute("delete from tags")
        assert await begin(db, owner.account_id) == once, "the transaction has raised it already"
        await savepoint.rollback()
        assert await begin(db, owner.account_id) == before
        await db.execute("set constraints all deferred")
        await db.execute(TAG, uuid7(), "vip")
    assert raised(before, await versions_of(db, owner.account_id)) == {"tags"}


async def test_writers_at_the_same_time_neither_wait_before_they_commit_nor_deadlock(
    db: asyncpg.Connection, owner: AccountMember, settings: Settings
) -> None:
    other = await asyncpg.connect(settings.database_url)
    try:
        before = await versions_of(db, owner.account_id)
        first, second = db.transaction(), other.transaction()
        await first.start()
        await second.start()
        await begin(db, owner.account_id)
        await begin(other, owner.account_id)
        await db.execute(TAG, uuid7(), "a")
        await other.execute(FIELD, uuid7(), "a")
        await db.execute(FIELD, uuid7(), "b")
        await other.execute(TAG, uuid7(), "b")  # neither waited so far
        await asyncio.gather(first.commit(), second.commit())
        assert raised(before, await versions_of(db, owner.account_id)) == {"tags", "fields"}
        async with db.transaction():
            await begin(db, owner.account_id)
            assert await db.fetchval("select count(*) from tags") == 2
    finally:
        await other.close()


async def test_each_writer_raises_the_version_that_the_other_left(
    db: asyncpg.Connection, owner: AccountMember, settings: Settings
) -> None:
    connections = [db, *[await asyncpg.connect(settings.database_url) for _ in range(4)]]
    try:
        versions = {(await versions_of(db, owner.account_id))["tags"]}

        async def write(connection: asyncpg.Connection, number: int) -> None:
            for turn in range(10):
                async with connection.transaction():
                    await begin(connection, owner.account_id)
                    await connection.execute(TAG, uuid7(), f"{number}-{turn}")
                    await connection.execute("set constraints all immediate")
                    versions.add((await begin(connection, owner.account_id))["tags"])

        await asyncio.gather(*(write(connection, number) for number, connection in enumerate(connections)))
        assert len(versions) == 51, "no two changes have one version"
        assert (await versions_of(db, owner.account_id))["tags"] == max(versions)
    finally:
        for connection in connections[1:]:
            await connection.close()


async def test_a_member_who_is_added_during_a_rename_has_no_old_name_in_a_new_version(
    db: asyncpg.Connection, owner: AccountMember, world: World
) -> None:
    joined = await world.account("Globex")
    renaming, adding = await asyncpg.connect(world.admin_url), await asyncpg.connect(world.admin_url)
    members = "select u.name from memberships m join users u on u.id = m.user_id where m.account_id = $1"

    async def names_by_version() -> dict[int, list[str]]:
        """The names of the members by the version that a reader has them for."""
        async with db.transaction():
            version = (await begin(db, joined))["members"]
            return {version: [row["name"] for row in await db.fetch(members, joined)]}

    try:
        rename = renaming.transaction()
        await rename.start()
        await renaming.execute("update users set name = 'Zoe' where id = $1", owner.user_id)
        await renaming.execute("set constraints all immediate")  # the rename has raised what it will raise
        add = asyncio.create_task(
            adding.execute(
                "insert into memberships (account_id, user_id, role) values ($1, $2, 'viewer')",
                joined, owner.user_id,
            )
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE):
            while not add.done() and not await waits_for_a_lock(world, adding):
                await asyncio.wait([add], timeout=0.01)
        during = await names_by_version()
        await rename.commit()
        await add
        after = await names_by_version()
        assert list(after.values()) == [["Zoe"]]
        assert {**during, **after} == {**after, **during}, "one version, one content"
    finally:
        await renaming.close()
        await adding.close()


async def waits_for_a_lock(world: World, connection: asyncpg.Connection) -> bool:
    waiting = "select wait_event_type from pg_stat_activity where pid = $1"
    [row] = await world.sql(waiting, connection.get_server_pid())
    return bool(row["wait_event_type"] == "Lock")


@pytest.mark.parametrize("table", ["tags", "custom_fields", "segments", "workflows", "memberships"])
async def test_truncating_a_table_raises_every_version(
    world: World, owner: AccountMember, table: str
) -> None:
    connection = await asyncpg.connect(world.admin_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        before = await begin(connection, owner.account_id)
        await connection.execute(f"truncate {table} cascade")
        assert raised(before, await begin(connection, owner.account_id)) == set(FAMILIES)
        await transaction.rollback()
    finally:
        await connection.close()


async def test_an_account_has_versions_from_the_start_and_none_after_its_end(
    db: asyncpg.Connection, world: World
) -> None:
    account = await world.account("Short")
    await change(db, account, TAG, uuid7(), "vip")
    assert len(await versions_of(db, account)) == len(FAMILIES)
    await world.sql("delete from accounts where id = $1", account)
    row = await db.fetchrow("select * from bind_account($1, null)", account)
    assert row is not None
    assert row["versions"] is None


async def test_app_user_reads_only_its_own_versions_and_changes_none(
    db: asyncpg.Connection, owner: AccountMember, world: World
) -> None:
    await world.account("Globex")
    refused: Sequence[str] = (
        "update catalog_versions set tags = 1",
        "insert into catalog_versions (account_id) values (gen_random_uuid())",
        "delete from catalog_versions",
    )
    for statement in refused:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await change(db, owner.account_id, statement)
    async with db.transaction():
        await begin(db, owner.account_id)
        rows: list[Any] = await db.fetch("select account_id from catalog_versions")
        assert [row["account_id"] for row in rows] == [owner.account_id]
    async with db.transaction():
        assert await db.fetch("select account_id from catalog_versions") == []
