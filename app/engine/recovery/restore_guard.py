"""A database that was restored from a backup does not know what was sent after it. The engine must not send
that again by itself: it is held until a person has looked and releases it.

Each beat of a worker is written to PostgreSQL first and then outside of it: to Redis, to a file in DATA_DIR,
and kept in the process. A PostgreSQL that is behind what is known outside was restored.
"""

import getpass
import socket
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import structlog
from redis.exceptions import RedisError

from app.runtime import Runtime
from db.queries.engine_state import HOLD_ENGINE, READ_ENGINE_STATE, RECORD_HEARTBEAT, RELEASE_ENGINE

log = structlog.get_logger(__name__)
SLACK = timedelta(seconds=1)
RESTORED = "The database is older than what its workers have done: it was restored from a backup."


class HoldStatus(msgspec.Struct):
    """Whether the engine is held, since when, by whom and why; the gap is what the database does not know."""

    held_at: datetime | None = None
    held_by: str | None = None
    held_reason: str | None = None
    gap_from: datetime | None = None
    gap_to: datetime | None = None

    @property
    def held(self) -> bool:
        return self.held_at is not None

    @property
    def sentence(self) -> str:
        """For people; empty when the engine is not held."""
        if not self.held:
            return ""
        gap = ""
        if self.gap_from and self.gap_to:
            between = f"{_utc_text(self.gap_from)} and {_utc_text(self.gap_to)}"
            gap = f" What was sent between {between} is not known to it."
        return f"The engine is held: nobody moves and nothing is sent. {self.held_reason or ''}{gap}".strip()


def _utc_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def operator_name() -> str:
    """Whoever runs a command."""
    return f"{getpass.getuser()} on {socket.gethostname()}"


async def hold_status(runtime: Runtime) -> HoldStatus:
    """As it is in PostgreSQL."""
    async with runtime.engine.connect() as connection:
        return hold_status_of((await connection.execute(READ_ENGINE_STATE)).one())


def hold_status_of(row: Any) -> HoldStatus:
    return HoldStatus(row.held_at, row.held_by, row.held_reason, row.gap_from, row.gap_to)


async def hold_engine(runtime: Runtime, by: str, reason: str) -> bool:
    """Holds the engine; False when it was held already."""
    return await _hold(runtime, by, reason, None, None)


async def _hold(
    runtime: Runtime, by: str, reason: str, gap_from: datetime | None, gap_to: datetime | None
) -> bool:
    values = {"by": by, "reason": reason, "gap_from": gap_from, "gap_to": gap_to}
    async with runtime.engine.begin() as connection:
        done = (await connection.execute(HOLD_ENGINE, values)).all()
    if done:
        log.warning("engine.held", by=by, reason=reason, gap_from=str(gap_from), gap_to=str(gap_to))
    return bool(done)


async def release_engine(runtime: Runtime, by: str) -> bool:
    """Lets the engine go on; False when it was not held."""
    async with runtime.engine.begin() as connection:
        done = (await connection.execute(RELEASE_ENGINE)).all()
    if done:
        log.warning("engine.released", by=by)
    return bool(done)


class RestoreGuard:
    """One per worker process: looks for a gap before anything is claimed, and beats."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.seen: dict[str, datetime] = {}  # by installation
        self.passed = False  # looked at least once: until then nothing is claimed

    async def look(self) -> bool:
        """Holds the engine when the database is behind; whether it is held now.

        What is outside is read before the database: others beat meanwhile, and what they had written outside
        by then is in a database that was not restored."""
        installation_id = str((await self._read()).id)
        outside = [
            await self._redis(installation_id),
            self._file(installation_id),
            self.seen.get(installation_id),
        ]
        row = await self._read()
        newest = max([row.beat_at, *(moment for moment in outside if moment)])
        held = row.held_at is not None
        if not held and newest > row.beat_at + SLACK:
            await _hold(self.runtime, "Switchyard", RESTORED, row.beat_at, newest)
            held = True
        self.passed = True
        return held

    async def _read(self) -> Any:
        async with self.runtime.engine.connect() as connection:
            return (await connection.execute(READ_ENGINE_STATE)).one()

    async def beat(self) -> None:
        """The next mark, first in PostgreSQL and then outside. Only after `look`."""
        async with self.runtime.engine.begin() as connection:
            row = (await connection.execute(RECORD_HEARTBEAT)).one()
        installation_id = str(row.id)
        self.seen[installation_id] = row.beat_at
        with suppress(OSError):
            self._path(installation_id).write_text(row.beat_at.isoformat())
        with suppress(RedisError, OSError, TimeoutError):
            await self.runtime.redis.set(f"switchyard:beat:{installation_id}", row.beat_at.isoformat())

    async def _redis(self, installation_id: str) -> datetime | None:
        with suppress(RedisError, OSError, TimeoutError, ValueError):
            stored = await self.runtime.redis.get(f"switchyard:beat:{installation_id}")
            return datetime.fromisoformat(stored.decode()) if stored else None
        return None

    def _file(self, installation_id: str) -> datetime | None:
        with suppress(OSError, ValueError):
            return datetime.fromisoformat(self._path(installation_id).read_text())
        return None

    def _path(self, installation_id: str) -> Path:
        return self.runtime.settings.data_dir / f"beat-{installation_id}"
