"""Statements by the driver itself are in the session's transaction, and fail as those of SQLAlchemy do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.settings import Settings
from app.web.problems import problem_of
from db.connection import open_engine
from db.ids import uuid7
from db.queries.driver_statements import (
    DriverStatement,
    _run,
    fetch_number,
    fetch_row,
    fetch_rows,
    run,
)
from db.queries.statements import ColumnsDifferError, execute
from db.tenancy import Driver, begin, session_maker
from tests.support.world import World

INSERT = "insert into contacts (id, email) values ($1, $2)"


class NamedContact(msgspec.Struct, frozen=True):
    id: UUID
    email: str | None


_ALL = DriverStatement(NamedContact, "select id, email from contacts order by email")
_COUNT = "select count(*) from contacts"


@asynccontextmanager
async def session_of(settings: Settings, account: UUID) -> AsyncIterator[AsyncSession]:
    """A session of an account on a pool of one connection."""
    engine = open_engine(settings.database_url, 1)
    async with session_maker(engine)() as session:
        session.info["account_id"] = account
        await begin(session)
        yield session
    await engine.dispose()


async def test_they_share_the_transaction_and_row_level_security(world: World, settings: Settings) -> None:
    mine, other = await world.account(), await world.account()
    await world.sql(
        "insert into contacts (account_id, id, email) values ($1, $2, 'o@x.example')", other, uuid7()
    )
    async with session_of(settings, mine) as session:
        await run(session, INSERT, uuid7(), "a@x.example")
        await execute(
            session, text("insert into contacts (id, email) values (:id, 'b@x.example')"), id=uuid7()
        )
        rows = await fetch_rows(session, _ALL)
        assert [row.email for row in rows] == ["a@x.example", "b@x.example"]
        assert await fetch_number(session, _COUNT) == 2
        await session.rollback()
        assert await fetch_number(session, _COUNT) == 0
        assert await fetch_row(session, _ALL) is None


async def test_other_columns_than_the_struct_are_refused(world: World, settings: Settings) -> None:
    swapped = DriverStatement(NamedContact, "select email, id from contacts")
    async with session_of(settings, await world.account()) as session:
        await run(session, INSERT, uuid7(), "a@x.example")
        with pytest.raises(ColumnsDifferError, match="the columns"):
            await fetch_rows(session, swapped)


async def test_errors_are_those_of_sqlalchemy(world: World, settings: Settings) -> None:
    async with session_of(settings, await world.account()) as session:
        await run(session, INSERT, uuid7(), "a@x.example")
        with pytest.raises(IntegrityError) as taken:
            await run(session, INSERT, uuid7(), "a@x.example")
        assert problem_of(taken.value).status == 409
        await session.rollback()
        await run(session, "set local statement_timeout = '20ms'")
        with pytest.raises(DBAPIError) as late:
            await run(session, "select pg_sleep(5)")
        assert not late.value.connection_invalidated
        assert problem_of(late.value).status == 503
        assert "a@x.example" not in str(taken.value.params)


async def test_a_lost_connection_leaves_the_pool(world: World, settings: Settings) -> None:
    async with session_of(settings, await world.account()) as session:
        pid = await fetch_number(session, "select pg_backend_pid()")
        await world.sql("select pg_terminate_backend($1, 5000)", pid)  # waits for its end
        with pytest.raises(DBAPIError) as lost:
            await fetch_rows(session, _ALL)
        assert lost.value.connection_invalidated
        assert problem_of(lost.value).status == 503
        await session.rollback()
        assert await fetch_number(session, "select pg_backend_pid()") != pid


async def test_a_driver_that_lost_track_of_its_connection_leaves_the_pool(
    world: World, settings: Settings
) -> None:
    async def cut(_driver: Driver) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    async with session_of(settings, await world.account()) as session:
        pid = await fetch_number(session, "select pg_backend_pid()")
        with pytest.raises(DBAPIError) as lost:
            await _run(session, "select 1", cut)
        assert lost.value.connection_invalidated
        assert problem_of(lost.value).status == 503
        await session.rollback()
        assert await fetch_number(session, "select pg_backend_pid()") != pid


async def test_a_canceled_statement_ends_its_connection(world: World, settings: Settings) -> None:
    async with session_of(settings, await world.account()) as session:
        pid = await fetch_number(session, "select pg_backend_pid()")
        task = asyncio.create_task(run(session, "select pg_sleep(30)"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await session.rollback()
        assert await fetch_number(session, "select pg_backend_pid()") != pid
        left = await world.sql("select pid from pg_stat_activity where pid = $1 and state = 'active'", pid)
        assert left == []
