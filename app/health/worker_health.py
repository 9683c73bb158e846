"""Whether anybody works: workers beat in the database, so that a web server can say when none does."""

from collections.abc import Awaitable, Callable

import msgspec
from sqlalchemy import text

from app.runtime import Runtime

SILENT_SECONDS = 15.0  # three beats: who was not heard of for so long does not work

READ_WORKERS = text("""
select count(*) filter (where seen_at > clock_timestamp() - make_interval(secs => :silent)) as heard,
       cast(extract(epoch from clock_timestamp() - max(seen_at)) as double precision) as seconds,
       (select i.held_at is not null from installation i) as held
  from workers
""")


class WorkerHealth(msgspec.Struct, frozen=True):
    """How many workers were heard of lately, and how many seconds ago the last one; None for never. `held`:
    somebody holds the engine, so they do nothing."""

    heard: int
    seconds: float | None
    held: bool = False


def worker_health_probe(runtime: Runtime) -> Callable[[], Awaitable[WorkerHealth]]:
    """Asks the database who beats. What it raises when the database is away is the driver's."""

    async def ask() -> WorkerHealth:
        async with runtime.engine.connect() as connection:
            row = (await connection.execute(READ_WORKERS, {"silent": SILENT_SECONDS})).one()
        return WorkerHealth(row.heard, row.seconds, bool(row.held))

    return ask
