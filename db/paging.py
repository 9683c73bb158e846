"""Pages of a list in the order of ids, newest first (ids are in the order of time)."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session


async def fetch_page(
    session: AsyncSession | async_scoped_session[AsyncSession],
    query: Any,
    id_column: Any,
    *,
    after: UUID | None,
    before: UUID | None,
    limit: int,
    parameters: dict[str, Any] | None = None,
) -> tuple[list[Any], bool]:
    """At most `limit` rows of `query`, newest first, older than `after` or newer than `before`, and whether
    there are more in that direction."""
    if before is not None:
        query = query.where(id_column > before).order_by(id_column)
    else:
        query = query.where(id_column < after) if after is not None else query
        query = query.order_by(id_column.desc())
    rows = (await session.execute(query.limit(limit + 1), parameters or {})).all()
    page = list(rows[:limit])
    return (page[::-1] if before is not None else page), len(rows) > limit
