"""Pages of a list in the order of ids, newest first (ids are in the order of time)."""

from typing import TypeVarTuple
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from db.queries.statements import StructT, fetch_all

Columns = TypeVarTuple("Columns")


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
