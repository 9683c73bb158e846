"""Tells from the workers' heartbeats in the database whether any worker is running."""

from collections.abc import Awaitable, Callable

import msgspec
from sqlalchemy import text

from app.runtime import Runtime

SILENT_SECONDS = 15.0  # three heartbeats: a worker that is silent for longer counts as dead

READ_WORKERS = text("""
select count(*) filter (where last_seen_at > clock_timestamp() - make_interval(secs => :silent)) as alive,
       cast(extract(epoch from clock_timestamp() - max(last_seen_at)) as double precision) as seconds,
       (select i.held_at is not null from engine_state i) as held
  from workers
""")


class WorkerHealth(msgspec.Struct, frozen=True):
    """The number of workers with a recent heartbeat, and the seconds since the last heartbeat (None if there
    was none). `held`: the engine is held, so the workers do nothing."""

    alive: int
    seconds: float | None
    held: bool = False


def worker_health_probe(runtime: Runtime) -> Callable[[], Awaitable[WorkerHealth]]:
    """Returns a function that reads the heartbeats. It raises the driver's errors when the database is
    unavailable."""

    async def probe() -> WorkerHealth:
        async with runtime.engine.connect() as connection:
            row = (await connection.execute(READ_WORKERS, {"silent": SILENT_SECONDS})).one()
        return WorkerHealth(row.alive, row.seconds, bool(row.held))

    return probe
