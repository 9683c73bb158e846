"""Runs SQL by asyncpg itself: the statements that requests run most, which are the list of contacts, one
contact, and a change of one. A small statement costs the database less than SQLAlchemy.

    _FIND = DriverStatement(ContactRow, "select id, … from contacts where account_id = $1 and id = $2")

    async def find_contact(session: AsyncSession, contact_id: UUID) -> ContactRow | None:
        return await fetch_row(session, _FIND, session.info["account_id"], contact_id)

They run on the session's own connection and in its transaction, so row-level security applies, and they see
what the statements before them wrote. Errors are those of SQLAlchemy. As with SQL as text, attributes that
were set before have to be flushed first. A jsonb parameter is JSON as text."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from db.connection import is_plain_read
from db.queries.statements import ColumnsDifferError, SqlValue, StructT
from db.tenancy import BoundTransaction, Driver, begin

T = TypeVar("T")
# The server ends the session, and tells before it closes the connection; or the connection was cut in the
# middle of a statement, and asyncpg no longer knows its state.
LOST = (
    asyncpg.PostgresConnectionError
    | asyncpg.AdminShutdownError
    | asyncpg.CrashShutdownError
    | asyncpg.InternalClientError
)


class DriverStatement(Generic[StructT]):
    """SQL with `$1`, `$2` … whose columns are the fields of `struct`, in their order. The first row shows
    whether that is so."""

    def __init__(self, struct: type[StructT], sql: str) -> None:
        self.struct, self.sql = struct, sql
        self._checked = False

    def structs(self, records: list[asyncpg.Record]) -> list[StructT]:
        """The rows as structs. Raises ColumnsDifferError."""
        struct = self.struct
        if records and not self._checked:
            columns = tuple(records[0].keys())
            if columns != struct.__struct_fields__:
                raise ColumnsDifferError(
                    f"{struct.__name__} has the fields {struct.__struct_fields__}, its rows the columns "
                    f"{columns}."
                )
            self._checked = True
        return [struct(*record) for record in records]


async def fetch_rows(
    session: AsyncSession, statement: DriverStatement[StructT], /, *values: SqlValue
) -> list[StructT]:
    """All rows as structs. Raises ColumnsDifferError."""
    sql = statement.sql
    return statement.structs(await _run(session, sql, lambda driver: driver.fetch(sql, *values)))


async def fetch_row(
    session: AsyncSession, statement: DriverStatement[StructT], /, *values: SqlValue
) -> StructT | None:
    """The first row as a struct; None when there is none."""
    rows = await fetch_rows(session, statement, *values)
    return rows[0] if rows else None


async def fetch_number(session: AsyncSession, sql: str, /, *values: SqlValue) -> int:
    """The number that a statement returns."""
    return int(await _run(session, sql, lambda driver: driver.fetchval(sql, *values)))


async def run(session: AsyncSession, sql: str, /, *values: SqlValue) -> None:
    """Runs a statement whose rows nobody needs."""
    await _run(session, sql, lambda driver: driver.fetch(sql, *values))


async def _run(session: AsyncSession, sql: str, call: Callable[[Driver], Awaitable[T]]) -> T:
    bound = await begin(session)
    if not is_plain_read(sql):  # as `note_write` does, on the same object, for SQLAlchemy's statements
        bound.wrote_or_locked = True
    try:
        return await call(bound.driver)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        lost = bound.driver.is_closed() or isinstance(error, OSError | LOST)
        if lost:
            await _invalidate(session, bound, error)
        raise _error_of(sql, error, lost=lost) from error
    except asyncio.CancelledError as error:
        await _invalidate(session, bound, error)  # the server may still be running the statement
        raise


async def _invalidate(session: AsyncSession, bound: BoundTransaction, error: BaseException) -> None:
    """Takes the connection of the transaction out of the pool."""
    if session.info.get("bound") is bound:
        await (await session.connection()).invalidate(error)


def _error_of(sql: str, error: Exception, *, lost: bool) -> DBAPIError:
    """The error as SQLAlchemy raises it."""
    kind = IntegrityError if isinstance(error, asyncpg.IntegrityConstraintViolationError) else DBAPIError
    return kind(sql, None, error, hide_parameters=True, connection_invalidated=lost)
