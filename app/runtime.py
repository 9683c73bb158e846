"""The resources of a process: settings, connection pools, clock, queue, mail and HTTP clients.
`open_runtime` creates them."""

import gc
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from app.catalog_cache import CatalogCache
from app.engine.recovery.rwlock import ReadWriteLock
from app.integrations.http import OutboundHttpClient
from app.integrations.job_notifier import JobNotifier
from app.integrations.sms_chat import HttpMessageProvider
from app.integrations.smtp import SmtpMailer
from app.ports import Clock, Enqueue, HttpClient, Mailer, MessageProvider
from app.settings import Settings
from app.shared_results import SharedResults
from db.connection import open_engine
from db.ids import uuid7
from db.tenancy import session_maker


@dataclass
class SystemClock:
    """The database's clock without an offset."""

    offset: timedelta = timedelta()


@dataclass(frozen=True)
class Runtime:
    settings: Settings
    engine: AsyncEngine
    sessions: async_sessionmaker[AsyncSession]
    redis: Redis
    clock: Clock
    enqueue: Enqueue
    mailer: Mailer
    caller: HttpClient
    provider: MessageProvider
    marking: async_sessionmaker[AsyncSession]  # one connection for marks, besides that of the batch
    catalogs: CatalogCache
    id: UUID = field(default_factory=uuid7)
    batch_lock: ReadWriteLock = field(default_factory=ReadWriteLock)
    counts: SharedResults = field(default_factory=SharedResults)  # of enrollments at each step, by workflow
    link_keys: list[bytes] = field(default_factory=list)  # the key of unsubscribe links, once it was read
    left_marks: dict[UUID, list[UUID]] = field(default_factory=dict)  # by account: marks to release

    async def close(self) -> None:
        await self.engine.dispose()
        await self.marking.kw["bind"].dispose()
        await self.enqueue.close()
        await self.redis.aclose()


def open_runtime(
    settings: Settings,
    *,
    clock: Clock | None = None,
    mailer: Mailer | None = None,
    caller: HttpClient | None = None,
    provider: MessageProvider | None = None,
    pool_size: int | None = None,
    pool_wait_seconds: float = 30.0,
) -> Runtime:
    """The runtime of a process. Connections are opened at first use. The web server waits for one of the pool
    for a shorter time; the other keyword arguments are for tests and commands."""
    size = settings.database_pool_size if pool_size is None else pool_size
    idle = max(settings.lease_seconds, 1.0)  # after that time its claims are lost anyway
    engine = open_engine(settings.database_url, size, idle_seconds=idle, wait_seconds=pool_wait_seconds)
    # A short timeout: here Redis keeps a copy of the last heartbeat, and the app works without it.
    redis = Redis.from_url(settings.redis_url, socket_timeout=0.5, socket_connect_timeout=0.5)
    return Runtime(
        settings=settings,
        engine=engine,
        sessions=session_maker(engine),
        redis=redis,
        clock=clock or SystemClock(),
        enqueue=JobNotifier(settings.redis_url, settings.lease_seconds),
        mailer=mailer or SmtpMailer(settings.smtp_url, settings.mail_from),
        caller=caller or OutboundHttpClient(allow_loopback=settings.egress_allow_loopback),
        provider=provider or HttpMessageProvider(settings),
        catalogs=CatalogCache(redis),
        marking=session_maker(open_engine(settings.database_url, min(size, 1), idle_seconds=idle)),
    )


def tune_garbage_collection(objects: int) -> None:
    """Looks for reference cycles after every `objects` new objects, instead of 700, and never again among the
    objects that exist by now. Call it when a process has started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(objects, 20, 20)
