"""Pages of a list in the order of ids, newest first (ids are in the order of time). `fetch_page_of` takes a
query and gives structs, `get_page_of` takes a repository and gives its rows."""

from typing import TypeVar, TypeVarTuple
from uuid import UUID

from advanced_alchemy.filters import LimitOffset
from sqlalchemy import ColumnElement, Select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from db.models.base import Base
from db.queries.statements import StructT, fetch_all
from db.tenancy import TenantRepository

Columns = TypeVarTuple("Columns")
RowT = TypeVar("RowT", bound=Base)


async def fetch_page_of(
    session: AsyncSession,
    struct: type[StructT],
    query: Select[*Columns],
    id_column: InstrumentedAttribute[UUID],
    *,
    after: UUID | None,
    before: UUID | None,
    limit: int,
) -> tuple[list[StructT], bool]:
    """At most `limit` rows of `query` as structs, newest first, older than `after` or newer than `before`,
    and whether there are more in that direction."""
    if before is not None:
        query = query.where(id_column > before).order_by(id_column)
    else:
        query = query.where(id_column < after) if after is not None else query
        query = query.order_by(id_column.desc())
    rows = await fetch_all(session, struct, query.limit(limit + 1))
    page = rows[:limit]
    return (page[::-1] if before is not None else page), len(rows) > limit


async def get_page_of(
    repository: TenantRepository[RowT],
    id_column: InstrumentedAttribute[UUID],
    *conditions: ColumnElement[bool],
    after: UUID | None,
    before: UUID | None,
    limit: int,
) -> tuple[list[RowT], bool]:
    """At most `limit` rows of a repository, newest first, older than `after` or newer than `before`, and
    whether there are more in that direction."""
    if before is not None:
        conditions += (id_column > before,)
    elif after is not None:
        conditions += (id_column < after,)
    rows = await repository.get_many(*conditions, LimitOffset(limit + 1, 0), order_by=("id", before is None))
    page = rows[:limit]
    return (page[::-1] if before is not None else page), len(rows) > limit
