"""Caches the catalogs of accounts (`db/queries/catalogs.py`): in the process, and in Redis for all processes.

An entry is valid for one combination of versions, which each transaction reads when it begins. So nothing has
to be told to other processes, and an entry is never stale. The lifetimes are a safety net only."""

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import cast
from uuid import UUID

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncSession

from app.patience import patience
from db.queries.catalogs import Catalog, Rows, Value, Versions

log = structlog.get_logger(__name__)
FORMAT = 2  # raise it when the rows of a catalog get another meaning with the same fields
PATIENCE_SECONDS = 0.1
AWAY_SECONDS = 2.0  # how long Redis is not asked after it did not answer
LIFETIME_SECONDS = 600.0
SHARED_LIFETIME_SECONDS = 3600
MOST_ENTRIES = 4096
MOST_BYTES = 32_000_000  # of all entries, as they are encoded; in memory they take three times as much
MOST_SHARED_BYTES = 1_000_000  # of an entry in Redis


class _CachedCatalog:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.versions: Versions = ()
        self.value: object = None  # each catalog has a type of its own, which `get` knows
        self.until = 0.0
        self.size = 0


class CatalogCache:
    """The caches of a process. `reads` counts by catalog and where it was found: process, redis, database,
    or uncached (after a write). Without `redis` only the process keeps it, and not even that with `lifetime`
    0."""

    def __init__(
        self,
        redis: Redis | None,
        lifetime: float = LIFETIME_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.redis, self.lifetime, self.clock = redis, lifetime, clock
        self.reads: Counter[tuple[str, str]] = Counter()
        self._entries: OrderedDict[tuple[UUID, str], _CachedCatalog] = OrderedDict()
        self._size = 0
        self._away_until = 0.0

    def note_uncached(self, catalog: str) -> None:
        """See `CatalogReader`."""
        self.reads[catalog, "uncached"] += 1

    async def get(
        self, account_id: UUID, catalog: Catalog[Rows, Value], versions: Versions, session: AsyncSession
    ) -> Value:
        """See `CatalogReader`. While one caller reads a catalog, others wait for it."""
        key = (account_id, catalog.name)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _CachedCatalog()
        if not self._holds(entry, versions):
            async with entry.lock:
                if not self._holds(entry, versions):
                    return await self._load(key, entry, catalog, versions, session)
        self.reads[catalog.name, "process"] += 1
        if key in self._entries:
            self._entries.move_to_end(key)
        return cast("Value", entry.value)

    def _holds(self, entry: _CachedCatalog, versions: Versions) -> bool:
        return entry.versions == versions and entry.until > self.clock()

    async def _load(
        self,
        key: tuple[UUID, str],
        entry: _CachedCatalog,
        catalog: Catalog[Rows, Value],
        versions: Versions,
        session: AsyncSession,
    ) -> Value:
        name = f"catalog:{_format_of(catalog)}:{catalog.name}:{key[0].hex}"
        head = ("-".join(map(str, versions)) + ":").encode()
        encoded = await self._fetch(name, head)
        rows = _decode(encoded, catalog.rows) if encoded is not None else None
        if encoded is not None and rows is not None:
            self.reads[catalog.name, "redis"] += 1
        else:
            rows = await catalog.read(session)
            self.reads[catalog.name, "database"] += 1
            encoded = msgspec.json.encode(rows)  # not MessagePack, which refuses the long numbers of a filter
            await self._store(name, head + encoded)
        value = catalog.build(rows)
        self._size += len(encoded) - entry.size
        entry.versions, entry.value, entry.size = versions, value, len(encoded)
        entry.until = self.clock() + self.lifetime
        self._drop_oldest(key, entry)
        return value

    def _drop_oldest(self, key: tuple[UUID, str], entry: _CachedCatalog) -> None:
        """Makes this entry the newest one, and keeps the cache within its limits."""
        another = self._entries.get(key)
        if another is not None and another is not entry:  # this one was dropped while it was read
            self._size -= another.size
            another.size = 0  # it may be read again at the moment, and is counted anew then
        self._entries[key] = entry
        self._entries.move_to_end(key)
        while len(self._entries) > MOST_ENTRIES or (self._size > MOST_BYTES and len(self._entries) > 1):
            _, dropped = self._entries.popitem(last=False)
            self._size -= dropped.size
            dropped.size, dropped.until = 0, 0.0

    async def _fetch(self, name: str, head: bytes) -> bytes | None:
        """What Redis has under this name with these versions; None also when it does not answer."""
        if self.redis is None or self.clock() < self._away_until:
            return None
        try:
            async with patience(PATIENCE_SECONDS):
                stored: bytes | None = await self.redis.get(name)
        except (RedisError, OSError, TimeoutError) as error:
            self._leave_alone(error)
            return None
        return stored[len(head) :] if stored and stored.startswith(head) else None

    async def _store(self, name: str, stored: bytes) -> None:
        if self.redis is None or self.clock() < self._away_until or len(stored) > MOST_SHARED_BYTES:
            return
        try:
            async with patience(PATIENCE_SECONDS):
                await self.redis.set(name, stored, ex=SHARED_LIFETIME_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            self._leave_alone(error)

    def _leave_alone(self, error: Exception) -> None:
        self._away_until = self.clock() + AWAY_SECONDS
        log.debug("catalogs.redis_away", error=type(error).__name__)


@lru_cache(maxsize=64)
def _format_of(catalog: Catalog[Rows, Value]) -> str:
    """What another program version must have the same of to read the rows of a catalog: the names and types
    of their fields."""
    rows = catalog.rows
    schema = msgspec.json.encode(msgspec.json.schema(rows), order="deterministic")
    return f"{FORMAT}-{hashlib.sha256(schema).hexdigest()[:12]}"


def _decode(encoded: bytes, rows: type[Rows]) -> Rows | None:
    """The rows; None when they can't be read, so that they are read from the database."""
    try:
        return msgspec.json.decode(encoded, type=rows)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
