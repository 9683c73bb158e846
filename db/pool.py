"""The pool of database connections of a process, with what an operator wants to know about it."""

from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

WAITS = Histogram(
    "switchyard_database_pool_wait_seconds",
    "Time until the pool handed out a connection, with the time to open one.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
TIMEOUTS = Counter(
    "switchyard_database_pool_timeouts", "Requests that got no connection from the pool in time."
)
CONNECTIONS = Gauge(
    "switchyard_database_pool_connections",
    "Connections of the pool at this scrape: most it may hold, open, and in use.",
    ["state"],
)


class MeasuredPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, which measures how long its callers wait."""

    def _do_get(self) -> ConnectionPoolEntry:
        started_at = perf_counter()
        try:
            return super()._do_get()
        except PoolTimeout:
            TIMEOUTS.inc()
            raise
        finally:
            WAITS.observe(perf_counter() - started_at)

    @property
    def most(self) -> int:
        """The connections that it opens at most."""
        return self.size() + self._max_overflow


def record_connections(engine: AsyncEngine) -> None:
    """Sets the gauges of the pool."""
    pool = engine.pool
    if isinstance(pool, MeasuredPool):
        CONNECTIONS.labels("most").set(pool.most)
        CONNECTIONS.labels("open").set(pool.size() + pool.overflow())
        CONNECTIONS.labels("in_use").set(pool.checkedout())


def share_of(engine: AsyncEngine) -> int:
    """The connections that one account may use at a time: half of the pool; without a pool there is no
    limit."""
    pool = engine.pool
    return max(2, pool.most // 2) if isinstance(pool, MeasuredPool) else NO_LIMIT


NO_LIMIT = 1_000_000
