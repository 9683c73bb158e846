"""`BatchSession` reads and writes whole batches with arrays, in the session's account; the statements here
are those that several parts of the engine share.

`unnest` with one array per column is about ten times as fast as rows through the ORM. Casts are written
`cast(:x as …)`, because SQLAlchemy would read `:x::…` as part of the parameter's name.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.queries.array_params import columns, reading_text

FIND_DUE_ACCOUNTS = text(
    "select account_id, oldest from due_accounts(clock_timestamp() + cast(:ahead as interval))"
)

READ_ACCOUNT = text("select name, time_zone, default_region from accounts where id = current_account()")
INSERT_EVENTS = text("""
insert into events (id, kind, subject_id, source, data, root_event_id, depth, occurred_at)
select v.id, v.kind, v.subject_id, v.source, cast(v.data as jsonb), v.root_event_id, v.depth,
       cast(:now as timestamptz)
  from unnest(cast(:id as uuid[]), cast(:kind as text[]), cast(:subject_id as uuid[]),
              cast(:source as text[]), cast(:data as text[]), cast(:root_event_id as uuid[]),
              cast(:depth as int[]))
       v(id, kind, subject_id, source, data, root_event_id, depth)
""")


class BatchSession:
    """Reads and writes whole batches. The caller owns the transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def all(self, statement: Any, **values: Any) -> Sequence[Any]:
        return (await self.session.execute(statement, values)).all()

    async def do(self, statement: TextClause, **values: Any) -> None:
        await self.session.execute(statement, values)

    async def insert(
        self, statement: TextClause, rows: Sequence[Mapping[str, Any]], **values: Any
    ) -> Sequence[Any]:
        """Runs the statement for rows that all have the same columns; returns its rows, or () without
        rows."""
        if not rows:
            return ()
        reading, texts = reading_text(statement)
        result = await self.session.execute(reading, columns(rows, texts) | values)
        return result.all() if isinstance(result, CursorResult) and result.returns_rows else ()


async def due_accounts(engine: AsyncEngine, ahead: Any) -> list[UUID]:
    """Accounts with something due, the longest waiting first. `ahead` (timedelta) is added to the clock by
    tests.

    This is the engine's only query across accounts; it calls a definer function that returns nothing else."""
    async with engine.connect() as connection:
        rows = (await connection.execute(FIND_DUE_ACCOUNTS, {"ahead": ahead})).all()
    return [row.account_id for row in rows]


__all__ = ["BatchSession", "due_accounts"]
