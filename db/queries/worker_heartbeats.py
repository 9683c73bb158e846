"""The heartbeats of worker processes: who runs, and since when nobody does."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from db.queries.statements import execute, fetch_all, fetch_one

_RECORD_WORKER = text("""
insert into workers (id, host, pid, started_at, last_seen_at, steps, memory)
values (:id, :host, :pid, clock_timestamp(), clock_timestamp(), :steps, :memory)
on conflict (id) do update set last_seen_at = excluded.last_seen_at, steps = excluded.steps,
   memory = excluded.memory
""")
_DELETE_WORKERS = text(
    "delete from workers where last_seen_at < clock_timestamp() - interval '1 minute' or id = :id"
)
_READ_WORKER_HEALTH = text("""
select count(*) filter (where last_seen_at > clock_timestamp() - make_interval(secs => :silent)) as alive,
       cast(extract(epoch from clock_timestamp() - max(last_seen_at)) as double precision) as seconds,
       coalesce((select i.held_at is not null from engine_state i), false) as held
  from workers
""")
_LIST_WORKERS = text("""
select id, host, pid, started_at, last_seen_at, steps, memory,
       cast(extract(epoch from clock_timestamp() - last_seen_at) as double precision) as heartbeat_age
  from workers where last_seen_at > clock_timestamp() - interval '2 minutes' order by host, pid limit 50
""")


class WorkerHealth(msgspec.Struct, frozen=True):
    """The number of workers with a recent heartbeat, and the seconds since the last heartbeat (None if there
    was none). `held`: the engine is held, so the workers do nothing."""

    alive: int
    seconds: float | None
    held: bool


class RunningWorker(msgspec.Struct, frozen=True):
    """A worker process: how many steps it has done, its memory in bytes, and the seconds since its last
    heartbeat."""

    id: UUID
    host: str
    pid: int
    started_at: datetime
    last_seen_at: datetime
    steps: int
    memory: int
    heartbeat_age: float


async def record_worker(
    connection: AsyncConnection, worker_id: UUID, host: str, pid: int, *, steps: int, memory: int
) -> None:
    """The heartbeat of a worker that has done so many steps and uses so many bytes."""
    await execute(connection, _RECORD_WORKER, id=worker_id, host=host, pid=pid, steps=steps, memory=memory)


async def delete_silent_workers(connection: AsyncConnection, ended: UUID | None = None) -> None:
    """Deletes the workers without a heartbeat for a minute, and the one that has ended."""
    await execute(connection, _DELETE_WORKERS, id=ended)


async def read_worker_health(connection: AsyncConnection, silent_seconds: float) -> WorkerHealth:
    """`alive` are those with a heartbeat in the last `silent_seconds`."""
    health = await fetch_one(connection, WorkerHealth, _READ_WORKER_HEALTH, silent=silent_seconds)
    return health or WorkerHealth(0, None, held=False)


async def list_workers(session: AsyncSession) -> list[RunningWorker]:
    """The first 50 workers that had a heartbeat in the last two minutes."""
    return await fetch_all(session, RunningWorker, _LIST_WORKERS)
