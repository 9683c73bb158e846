"""The first statement of a request: who may be bound to which account, tried as app_user."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.credentials import digest
from app.settings import Settings
from db.ids import uuid7
from tests.support.world import AccountMember, World

SESSION = "select * from bind_session($1, $2, true)"
TOKEN = "select * from bind_access_token($1, true)"
SECRET = "swy_secret"


@pytest.fixture
async def db(settings: Settings, app: object) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(settings.database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def ann(world: World) -> AccountMember:
    return await world.person("admin")


async def add_session(world: World, who: AccountMember) -> UUID:
    session_id = uuid7()
    await world.sql(
        "insert into sessions (id, user_id, account_id, secret_hash, expires_at) "
        "values ($1, $2, $3, 'x', now() + interval '1 day')",
        session_id, who.user_id, who.account_id,
    )  # fmt: skip
    return session_id


async def add_token(world: World, who: AccountMember) -> bytes:
    token_hash = digest(SECRET + who.user_id.hex)
    await world.sql(
        "insert into access_tokens "
        "(id, user_id, account_id, name, token_hash, token_prefix, scopes, expires_at) "
        "values ($1, $2, $3, 'script', $4, 'swy_', '[\"view\"]', now() + interval '1 day')",
        uuid7(), who.user_id, who.account_id, token_hash,
    )  # fmt: skip
    return token_hash


async def bound(db: asyncpg.Connection, statement: str, *values: object) -> Any:
    """The row of the bind and the account and user that are set after it."""
    async with db.transaction():
        row = await db.fetchrow(statement, *values)
        ids = await db.fetchrow("select current_account() as account, current_user_id() as person")
        assert ids is not None
        if row is None:
            assert tuple(ids) == (None, None)
            assert await db.fetch("select from memberships union all select from catalog_versions") == []
        else:
            assert tuple(ids) == (row["account_id"], row["user_id"])
    after = await db.fetchrow("select current_account() as account, current_user_id() as person")
    assert after is not None
    assert tuple(after) == (None, None), "it ends with the transaction"
    return row


async def test_a_session_binds_an_account_of_its_user(
    db: asyncpg.Connection, world: World, ann: AccountMember
) -> None:
    session_id, other = await add_session(world, ann), await world.account("Globex")
    row = await bound(db, SESSION, session_id, ann.account_id)
    assert (row["user_id"], row["account_id"], row["role"], row["session_id"], row["time_zone"]) == (
        ann.user_id, ann.account_id, "admin", session_id, "UTC",
    )  # fmt: skip
    assert row["token_id"] is row["scopes"] is None
    assert await bound(db, SESSION, session_id, other) is None, "not a member"
    await world.join(ann.user_id, other, "viewer")
    assert (await bound(db, SESSION, session_id, other))["role"] == "viewer"
    assert (await bound(db, SESSION, session_id, ann.account_id))["memberships"].count("account_id") == 2
    async with db.transaction():
        plain = await db.fetchrow("select * from bind_session($1, $2, false)", session_id, other)
    assert plain is not None
    assert plain["memberships"] is None


async def test_the_session_of_somebody_else_binds_nothing(
    db: asyncpg.Connection, world: World, ann: AccountMember
) -> None:
    stranger = await world.person()
    theirs = await add_session(world, stranger)
    assert await bound(db, SESSION, theirs, ann.account_id) is None
    assert await bound(db, SESSION, uuid7(), ann.account_id) is None
    assert await bound(db, SESSION, None, ann.account_id) is None
    assert await bound(db, SESSION, theirs, None) is None


async def test_a_token_binds_its_own_account(
    db: asyncpg.Connection, world: World, ann: AccountMember
) -> None:
    other = await world.account("Globex")
    await world.join(ann.user_id, other, "owner")
    token_hash = await add_token(world, ann)
    row = await bound(db, TOKEN, token_hash)
    assert (row["user_id"], row["account_id"], row["role"], row["session_id"]) == (
        ann.user_id, ann.account_id, "admin", None,
    )  # fmt: skip
    assert row["scopes"] == '["view"]'
    assert await bound(db, TOKEN, digest("swy_other")) is None
    assert await bound(db, TOKEN, b"") is None
    assert await bound(db, TOKEN, None) is None


@pytest.mark.parametrize(
    "end",
    [
        "update sessions set revoked_at = now() where user_id = $1",
        "update sessions set expires_at = now() where user_id = $1",
        "update sessions set last_seen_at = now() - interval '9 hours' where user_id = $1",
        "update users set disabled_at = now() where id = $1",
        "delete from memberships where user_id = $1",
        "delete from users where id = $1",
    ],
)
async def test_an_ended_session_binds_nothing(
    db: asyncpg.Connection, world: World, ann: AccountMember, end: str
) -> None:
    session_id = await add_session(world, ann)
    assert await bound(db, SESSION, session_id, ann.account_id) is not None
    await world.sql(end, ann.user_id)
    assert await bound(db, SESSION, session_id, ann.account_id) is None


@pytest.mark.parametrize(
    "end",
    [
        "update access_tokens set revoked_at = now() where user_id = $1",
        "update access_tokens set expires_at = now() where user_id = $1",
        "update users set disabled_at = now() where id = $1",
        "delete from memberships where user_id = $1",
    ],
)
async def test_an_ended_token_binds_nothing(
    db: asyncpg.Connection, world: World, ann: AccountMember, end: str
) -> None:
    token_hash = await add_token(world, ann)
    assert await bound(db, TOKEN, token_hash) is not None
    await world.sql(end, ann.user_id)
    assert await bound(db, TOKEN, token_hash) is None


async def test_a_role_is_the_present_one(db: asyncpg.Connection, world: World, ann: AccountMember) -> None:
    session_id = await add_session(world, ann)
    await world.sql("update memberships set role = 'viewer' where user_id = $1", ann.user_id)
    assert (await bound(db, SESSION, session_id, ann.account_id))["role"] == "viewer"


async def test_a_bind_without_a_credential_obeys_row_level_security(
    db: asyncpg.Connection, world: World, ann: AccountMember
) -> None:
    await world.sql("insert into tags (account_id, id, name, slug) values ($1, $2, 'vip', 'vip')",
                    ann.account_id, uuid7())  # fmt: skip
    other = await world.account("Globex")
    async with db.transaction():
        row = await db.fetchrow("select * from bind_account($1, $2)", other, None)
        assert row is not None
        assert len(row["versions"]) == 6
        assert await db.fetch("select * from tags") == []
    async with db.transaction():
        unset = await db.fetchrow("select * from bind_account(null, null)")
        assert unset is not None
        assert unset["versions"] is None
        assert await db.fetch("select * from tags") == []
