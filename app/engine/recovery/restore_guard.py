"""Detects a database that was restored from a backup, and holds the engine until an operator releases it.

A restored database does not know what was sent after the backup, and the engine must not send that again by
itself. Each worker writes its heartbeat to PostgreSQL first, and then outside of it: to Redis, to a file in
DATA_DIR and to its own memory. If PostgreSQL's heartbeat is older than one of those, it was restored.

A worker calls `RestoreGuard.check` before it claims anything, and `heartbeat` every few seconds.
"""

import getpass
import socket
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import structlog
from redis.exceptions import RedisError

from app.runtime import Runtime
from db.queries import engine_state
from db.queries.engine_state import EngineStatus, read_engine_state, record_heartbeat

log = structlog.get_logger(__name__)
SLACK = timedelta(seconds=1)
# Where the newest heartbeat is kept outside of PostgreSQL. Earlier releases know only the second names:
# both are written and read, so that a restore is noticed during an upgrade and after going back.
REDIS_KEYS = ("switchyard:heartbeat:", "switchyard:beat:")
FILES = ("heartbeat-", "beat-")
RESTORED = "The database is older than the work its workers have recorded: it was restored from a backup."


class HoldStatus(msgspec.Struct):
    """Whether the engine is held, since when, by whom and why. The gap is the time between the database's
    last heartbeat and the newest one known outside: what was sent then is unknown to the database."""

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
        """What screens and the command line say; empty when the engine is not held."""
        if not self.held:
            return ""
        gap = ""
        if self.gap_from and self.gap_to:
            between = f"{_utc_text(self.gap_from)} and {_utc_text(self.gap_to)}"
            gap = f" Anything sent between {between} is missing from it."
        return f"The engine is on hold: nothing moves or is sent. {self.held_reason or ''}{gap}".strip()


def _utc_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def operator_name() -> str:
    """The user and host that run a command."""
    return f"{getpass.getuser()} on {socket.gethostname()}"


async def hold_status(runtime: Runtime) -> HoldStatus:
    """The hold as PostgreSQL has it now."""
    async with runtime.engine.connect() as connection:
        return hold_status_of(await read_engine_state(connection))


def hold_status_of(state: EngineStatus) -> HoldStatus:
    return HoldStatus(state.held_at, state.held_by, state.held_reason, state.gap_from, state.gap_to)


async def hold_engine(runtime: Runtime, by: str, reason: str) -> bool:
    """Holds the engine: nothing is claimed or sent until it is released. False when it was held already."""
    return await _hold(runtime, by, reason, None, None)


async def _hold(
    runtime: Runtime, by: str, reason: str, gap_from: datetime | None, gap_to: datetime | None
) -> bool:
    async with runtime.engine.begin() as connection:
        done = await engine_state.hold(connection, by, reason, gap_from, gap_to)
    if done:
        log.warning("engine.held", by=by, reason=reason, gap_from=str(gap_from), gap_to=str(gap_to))
    return done


async def release_engine(runtime: Runtime, by: str) -> bool:
    """Ends the hold; False when the engine was not held."""
    async with runtime.engine.begin() as connection:
        done = await engine_state.release(connection)
    if done:
        log.warning("engine.released", by=by)
    return done


class RestoreGuard:
    """One per worker process: compares heartbeats before the worker claims anything, and writes new ones."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.last_heartbeats: dict[str, datetime] = {}  # by installation id
        self.checked = False  # at least once: until then the worker claims nothing

    async def check(self) -> bool:
        """Holds the engine if the database is behind; returns whether the engine is held now.

        The heartbeats outside are read before the one in the database. Other workers write heartbeats
        meanwhile, but each of them to the database first: unless it was restored, the database has all that
        was read outside."""
        installation_id = str((await self._read()).id)
        outside = [
            await self._redis_heartbeat(installation_id),
            self._file_heartbeat(installation_id),
            self.last_heartbeats.get(installation_id),
        ]
        row = await self._read()
        newest = max([row.heartbeat_at, *(outside_at for outside_at in outside if outside_at)])
        held = row.held_at is not None
        if not held and newest > row.heartbeat_at + SLACK:
            await _hold(self.runtime, "Switchyard", RESTORED, row.heartbeat_at, newest)
            held = True
        self.checked = True
        return held

    async def _read(self) -> EngineStatus:
        async with self.runtime.engine.connect() as connection:
            return await read_engine_state(connection)

    async def heartbeat(self) -> None:
        """Writes the next heartbeat, first to PostgreSQL and then outside. Call it only after `check`."""
        async with self.runtime.engine.begin() as connection:
            newest = await record_heartbeat(connection)
        installation_id, heartbeat_at = str(newest.id), newest.heartbeat_at.isoformat()
        self.last_heartbeats[installation_id] = newest.heartbeat_at
        for path in self._paths(installation_id):
            with suppress(OSError):
                path.write_text(heartbeat_at)
        with suppress(RedisError, OSError, TimeoutError):
            await self.runtime.redis.mset({key + installation_id: heartbeat_at for key in REDIS_KEYS})

    async def _redis_heartbeat(self, installation_id: str) -> datetime | None:
        """The newest heartbeat in Redis under any of its names."""
        with suppress(RedisError, OSError, TimeoutError):
            stored = await self.runtime.redis.mget([key + installation_id for key in REDIS_KEYS])
            return _newest(value.decode() for value in stored if value)
        return None

    def _file_heartbeat(self, installation_id: str) -> datetime | None:
        """The newest heartbeat in a file of DATA_DIR."""
        texts = []
        for path in self._paths(installation_id):
            with suppress(OSError, ValueError):
                texts.append(path.read_text())
        return _newest(texts)

    def _paths(self, installation_id: str) -> list[Path]:
        return [self.runtime.settings.data_dir / (prefix + installation_id) for prefix in FILES]


def _newest(texts: Iterable[str]) -> datetime | None:
    """The newest of the heartbeats that can be read."""
    heartbeats = []
    for text in texts:
        with suppress(ValueError):
            heartbeats.append(datetime.fromisoformat(text))
    return max(heartbeats, default=None)
