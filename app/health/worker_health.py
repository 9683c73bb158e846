"""Tells from the workers' heartbeats in the database whether any worker is running."""

from collections.abc import Awaitable, Callable

from app.runtime import Runtime
from db.queries.turn_counts import CountedTurns, read_turns
from db.queries.worker_heartbeats import WorkerHealth, read_worker_health

SILENT_SECONDS = 15.0  # three heartbeats: a worker that is silent for longer counts as dead


def worker_health_probe(runtime: Runtime) -> Callable[[], Awaitable[WorkerHealth]]:
    """Returns a function that reads the heartbeats. It raises the driver's errors when the database is
    unavailable."""

    async def probe() -> WorkerHealth:
        async with runtime.engine.connect() as connection:
            return await read_worker_health(connection, SILENT_SECONDS)

    return probe


def turn_counts_probe(runtime: Runtime) -> Callable[[], Awaitable[list[CountedTurns]]]:
    """Returns a function that reads how many turns the workers did. It raises the driver's errors when the
    database is unavailable."""

    async def probe() -> list[CountedTurns]:
        async with runtime.engine.connect() as connection:
            return await read_turns(connection)

    return probe


__all__ = ["SILENT_SECONDS", "CountedTurns", "WorkerHealth", "turn_counts_probe", "worker_health_probe"]
