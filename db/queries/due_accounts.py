"""Which accounts have work that is due: the engine's only query across accounts."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from db.queries.statements import fetch_scalars

_DUE_ACCOUNTS = text("select account_id from due_accounts(clock_timestamp() + cast(:ahead as interval))")


async def due_accounts(engine: AsyncEngine, ahead: timedelta) -> list[UUID]:
    """Accounts with something due, the longest waiting first. `ahead` is added to the clock by tests. Calls a
    definer function that returns nothing else."""
    async with engine.connect() as connection:
        return await fetch_scalars(connection, UUID, _DUE_ACCOUNTS, ahead=ahead)
