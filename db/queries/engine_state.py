"""The single row of the engine's state: its heartbeat, its link key, and its hold."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from db.queries.statements import StructT, fetch_one, fetch_scalars

_READ_ENGINE_STATE = text("""
select id, heartbeat_at, held_at, held_by, held_reason, gap_from, gap_to from engine_state
""")
_READ_LINK_KEY = text("select link_key from engine_state")
_RECORD_HEARTBEAT = text("""
update engine_state set heartbeat_at = greatest(heartbeat_at, clock_timestamp()) returning id, heartbeat_at
""")
_HOLD_ENGINE = text("""
update engine_state set held_at = clock_timestamp(), held_by = :by, held_reason = :reason,
       gap_from = cast(:gap_from as timestamptz), gap_to = cast(:gap_to as timestamptz)
 where held_at is null returning held_at
""")
# Accepts the newest heartbeat known outside, or the next check would hold the engine again.
_RELEASE_ENGINE = text("""
update engine_state set heartbeat_at = greatest(heartbeat_at, clock_timestamp(), gap_to), held_at = null,
       held_by = null, held_reason = null, gap_from = null, gap_to = null
 where held_at is not null returning heartbeat_at
""")


class EngineStatus(msgspec.Struct, frozen=True):
    """The row without its link key. `id` is that of the installation; `held_at` is null unless the engine is
    held, the gap is the time about which the database knows nothing."""

    id: UUID
    heartbeat_at: datetime
    held_at: datetime | None
    held_by: str | None
    held_reason: str | None
    gap_from: datetime | None
    gap_to: datetime | None


class Heartbeat(msgspec.Struct, frozen=True):
    """The newest heartbeat of this installation."""

    id: UUID
    heartbeat_at: datetime


async def read_engine_state(connection: AsyncConnection | AsyncSession) -> EngineStatus:
    return _existing(await fetch_one(connection, EngineStatus, _READ_ENGINE_STATE))


async def read_link_key(session: AsyncSession) -> bytes:
    """The key of the links in emails."""
    [key] = await fetch_scalars(session, bytes, _READ_LINK_KEY)
    return key


async def record_heartbeat(connection: AsyncConnection) -> Heartbeat:
    """Writes the database's clock as the newest heartbeat, unless it is behind."""
    return _existing(await fetch_one(connection, Heartbeat, _RECORD_HEARTBEAT))


async def hold(
    connection: AsyncConnection, by: str, reason: str, gap_from: datetime | None, gap_to: datetime | None
) -> bool:
    """Holds the engine; False when it was held already."""
    held = await fetch_scalars(
        connection, datetime, _HOLD_ENGINE, by=by, reason=reason, gap_from=gap_from, gap_to=gap_to
    )
    return bool(held)


async def release(connection: AsyncConnection) -> bool:
    """Ends the hold; False when the engine was not held."""
    return bool(await fetch_scalars(connection, datetime, _RELEASE_ENGINE))


def _existing(row: StructT | None) -> StructT:
    if row is None:
        raise LookupError("The table engine_state has no row: the migrations have not run.")
    return row
