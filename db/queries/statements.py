"""Runs SQL and returns typed rows: what every query function of this folder is built on.

    class DueEnrollment(msgspec.Struct, frozen=True):
        id: UUID
        due_at: datetime

    _DUE = text("select id, due_at from enrollments where … limit :limit")

    async def list_due_enrollments(session: AsyncSession, limit: int) -> list[DueEnrollment]:
        return await fetch_all(session, DueEnrollment, _DUE, limit=limit)

A struct is built from the columns of a row in their order. Each call checks that they have the names of its
fields, not that the values have their types. Reading a field of a struct is faster than reading a column of a
row."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import TypeAlias, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import CursorResult, Executable, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.json_types import Json

Scalar: TypeAlias = bool | int | float | str | bytes | UUID | date | datetime | timedelta | None
SqlValue: TypeAlias = Scalar | Sequence[Scalar] | Mapping[str, Json]
StructT = TypeVar("StructT", bound=msgspec.Struct)
ScalarT = TypeVar("ScalarT")
# SQLSTATEs
UNIQUE_VIOLATION, SERIALIZATION_FAILURE, QUERY_CANCELED = "23505", "40001", "57014"

_SET_TABLE_SCANS = text(
    "select set_config('enable_seqscan', :mode, true), set_config('enable_bitmapscan', :mode, true)"
)
_SET_PLAN_MODE = text("select set_config('plan_cache_mode', :mode, true)")
# Without sequential scans, the planner walks the order of a list where it finds no index for a condition.
_PLAN_SEARCH = text(
    "select set_config('plan_cache_mode', 'force_custom_plan', true),"
    " set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)"
)


class ColumnsDifferError(TypeError):
    """A statement returns other columns than the struct of its rows has fields."""


class StatementStopped(Exception):
    """PostgreSQL stopped a statement because it took too long."""


def sqlstate_of(error: BaseException) -> str:
    """The SQLSTATE of an error of the database; "" for any other error, and for a lost connection."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


@asynccontextmanager
async def stoppable(session: AsyncSession) -> AsyncIterator[None]:
    """A savepoint. Raises StatementStopped for a statement inside that takes too long; the transaction can go
    on without it."""
    try:
        async with session.begin_nested():
            yield
    except DBAPIError as error:
        if sqlstate_of(error) != QUERY_CANCELED:
            raise
        raise StatementStopped from error


async def fetch_all(
    session: AsyncSession | AsyncConnection,
    struct: type[StructT],
    statement: Executable,
    /,
    **values: SqlValue,
) -> list[StructT]:
    """All rows as structs. Raises ColumnsDifferError when the columns have other names than the fields of
    `struct`; the types of the values are not checked."""
    result = await session.execute(statement, values)
    columns = tuple(result.keys())
    if columns != struct.__struct_fields__:
        raise ColumnsDifferError(
            f"{struct.__name__} has the fields {struct.__struct_fields__}, its rows the columns {columns}."
        )
    return [struct(*row) for row in result.all()]


async def fetch_one(
    session: AsyncSession | AsyncConnection,
    struct: type[StructT],
    statement: Executable,
    /,
    **values: SqlValue,
) -> StructT | None:
    """The first row as a struct; None when there is none."""
    rows = await fetch_all(session, struct, statement, **values)
    return rows[0] if rows else None


async def fetch_scalars(
    session: AsyncSession | AsyncConnection,
    kind: type[ScalarT],
    statement: Executable,
    /,
    **values: SqlValue,
) -> list[ScalarT]:
    """The first column of all rows. Raises TypeError when a value is not a `kind`."""
    scalars = list((await session.execute(statement, values)).scalars())
    for scalar in scalars:
        if not isinstance(scalar, kind):
            raise TypeError(f"The statement returned {type(scalar).__name__} instead of {kind.__name__}.")
    return scalars


async def fetch_scalar(
    session: AsyncSession | AsyncConnection,
    kind: type[ScalarT],
    statement: Executable,
    /,
    **values: SqlValue,
) -> ScalarT | None:
    """The first column of the first row; None when there is no row or the value is null. Raises TypeError
    when the value is not a `kind`."""
    scalar = (await session.execute(statement, values)).scalar()
    if scalar is not None and not isinstance(scalar, kind):
        raise TypeError(f"The statement returned {type(scalar).__name__} instead of {kind.__name__}.")
    return scalar


async def execute(
    session: AsyncSession | AsyncConnection, statement: Executable, /, **values: SqlValue
) -> int:
    """Runs a statement whose rows nobody needs; returns how many rows it wrote."""
    result = await session.execute(statement, values)
    return result.rowcount if isinstance(result, CursorResult) else 0


async def plan_anew(session: AsyncSession) -> None:
    """The following statements are planned for their values, until `plan_as_usual`: a plan that was kept when
    a table was small would scan the whole table. Not for writes: the checks of foreign keys would be planned
    anew for each row."""
    await session.execute(_SET_PLAN_MODE, {"mode": "force_custom_plan"})


async def plan_search(session: AsyncSession) -> None:
    """Until the transaction ends, statements are planned for their values and read tables by indexes: lists
    and counts of contacts with conditions."""
    await session.execute(_PLAN_SEARCH)


async def scan_indexes_only(session: AsyncSession) -> None:
    """The following statements read tables through indexes in their order, until `scan_as_usual`: where a
    statement needs few rows, the planner expects to find them soon by a scan of the whole table."""
    await session.execute(_SET_TABLE_SCANS, {"mode": "off"})


async def scan_as_usual(session: AsyncSession) -> None:
    """Ends `scan_indexes_only`."""
    await session.execute(_SET_TABLE_SCANS, {"mode": "on"})


async def plan_as_usual(session: AsyncSession) -> None:
    """Ends `plan_anew`."""
    await session.execute(_SET_PLAN_MODE, {"mode": "auto"})
