"""Opens the database connections: `open_engine` is the entry point, and no other module opens any."""

import os
import re
from functools import lru_cache

import msgspec
from sqlalchemy import Connection, event, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, Pool, PoolProxiedConnection

from app.json_types import Json
from db.pool import MeasuredPool


def driver_url(url: str) -> str:
    """A postgresql:// address in the form that SQLAlchemy's asyncpg dialect takes."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+asyncpg://" + url.removeprefix(prefix)
    return url


def _encode(value: Json) -> str:
    return msgspec.json.encode(value).decode()


def open_engine(
    url: str,
    pool_size: int = 10,
    *,
    idle_seconds: float = 60.0,
    wait_seconds: float = 30.0,
) -> AsyncEngine:
    """A pool of connections as app_user; `pool_size` 0 opens one connection per use (tests, commands). A
    caller waits for a connection for at most `wait_seconds`.

    The server ends a transaction that runs no statement for `idle_seconds`: a process that hangs, or a
    machine that was suspended, must not keep its locks."""
    pool: dict[str, type[Pool] | float] = (
        {"poolclass": NullPool}
        if pool_size == 0
        else {
            "poolclass": MeasuredPool,
            "pool_size": pool_size,
            "max_overflow": 5,
            "pool_timeout": wait_seconds,
            "pool_recycle": 1800,
        }
    )
    # Names the process in pg_stat_activity, so that an operator can see which one holds a lock.
    name = f"switchyard {os.getpid()}"
    session = {
        "application_name": name,
        "timezone": "UTC",
        "idle_in_transaction_session_timeout": str(int(idle_seconds * 1000)),
        # A query uses one processor: with more, the searches of one account would take all of them.
        "max_parallel_workers_per_gather": "0",
        "app.counts": "on",  # see db/queries/counters.py
    }
    engine = create_async_engine(
        driver_url(url),
        json_serializer=_encode,
        json_deserializer=msgspec.json.decode,
        hide_parameters=True,  # parameters are contacts' data, and errors are logged
        connect_args={"server_settings": session, "timeout": 5},
        **pool,
    )
    if pool_size:
        event.listen(engine.sync_engine, "checkout", begin_transaction)
    event.listen(engine.sync_engine, "before_cursor_execute", note_write)
    return engine


def begin_transaction(
    connection: AsyncAdapt_asyncpg_connection, entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    """Sends BEGIN on a connection that the pool hands out again, when nothing was read or written yet. If the
    connection turns out to be dead (PostgreSQL restarted, say), the pool drops all its older connections and
    hands out a new one. So no statement is spent on asking whether a connection is alive."""
    if "used" not in entry.info:  # just opened: BEGIN goes with the first statement, as it always does
        entry.info["used"] = True
        return
    try:
        # What the first statement would do; there is no public way to do it before.
        connection.run_async(lambda _driver: connection._start_transaction())  # type: ignore[no-untyped-call]  # noqa: SLF001 -- see above
    except Exception as error:
        if not connection.driver_connection.is_closed():
            raise
        raise InvalidatePoolError from error


def note_write(
    connection: Connection,
    _cursor: DBAPICursor,
    statement: str,
    _values: object,
    context: ExecutionContext | None,
    _many: bool,
) -> None:
    """Notes that the transaction wrote or locked something: from then on it reads its account's catalogs from
    the database (`db/queries/catalogs.py`). The execution option `keeps_catalogs` marks a lock that has
    nothing to do with catalogs."""
    if context is not None and context.execution_options.get("keeps_catalogs"):
        return
    if not is_plain_read(statement):
        bound = connection.info.get("bound")
        if bound is not None:
            bound.wrote_or_locked = True


def is_plain_read(statement: str) -> bool:
    """Whether a statement neither writes nor locks anything."""
    return _reads_only(statement) if len(statement) > LONGEST_REMEMBERED else _short_reads_only(statement)


def _reads_only(statement: str) -> bool:
    return _READ.match(statement) is not None and _WRITE_OR_LOCK.search(statement) is None


_short_reads_only = lru_cache(maxsize=2048)(_reads_only)
# Characters. Longer ones are those of filters, of which there is no end: they would fill the memory.
LONGEST_REMEMBERED = 5000
_READ = re.compile(r"\s*(select|with)\b", re.IGNORECASE)
_WRITE_OR_LOCK = re.compile(
    r"\b(insert|update|delete|merge)\b|\bfor\s+(key\s+)?share\b|advisory", re.IGNORECASE
)


_PING = text("select 1")
_ROLE_CHECK = text(
    "select rolsuper, rolbypassrls, "
    "exists (select from pg_class where relname = 'contacts' and relowner = r.oid) "
    "from pg_roles r where rolname = current_user"
)


async def refuse_strong_role(connection: AsyncConnection) -> None:
    """Refuses to run as a role that row-level security does not bind: a superuser, an owner or one with
    BYPASSRLS.

    Raises SystemExit with a sentence that says which role to use."""
    superuser, bypass, owner = (await connection.execute(_ROLE_CHECK)).one()
    if superuser or bypass or owner:
        raise SystemExit(
            "DATABASE_URL signs in as a role that row-level security does not bind "
            "(superuser, owner or BYPASSRLS). Use app_user; db/bootstrap.sql makes it."
        )


async def ping(engine: AsyncEngine) -> None:
    """Runs a trivial query; raises the driver's errors."""
    async with engine.connect() as connection:
        await connection.execute(_PING)


__all__ = ["driver_url", "is_plain_read", "open_engine", "ping", "refuse_strong_role"]
