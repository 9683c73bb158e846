"""The worker process that the benchmark measures: the engine's own queues, started and stopped on command.

    python -m scripts._lib.bench.engine_worker move|match

It runs the queues, the sweep and the heartbeat of `jobs.worker.WorkerProcess`, with the concurrency of
`switchyard worker`. Two things differ. Redis isn't used: it only announces new work, and an account that has
more to do gets its next turn anyway. And the `move` queue only advances enrollments (`move`) or only matches
events (`match`), because the two are measured separately.

It reads the lines `go`, `stop` and `exit`, and writes one line per batch: the time of the commit (seconds of
the machine's monotonic clock) and the number of rows. After `stop` it writes the CPU seconds used since `go`.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from app.engine.advancing.runner import advance_enrollments
from app.engine.matching.matcher import match_events
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.work import SYSTEM, Work, open_work
from jobs.tasks import Turn
from jobs.worker import WorkerProcess, tune_garbage_collection

BatchFunction = Callable[[Work], Awaitable[int]]
BATCH_FUNCTIONS: dict[str, BatchFunction] = {"advance": advance_enrollments, "match": match_events}


def reporting_turn(process_batch: BatchFunction) -> Turn:
    """A turn of a queue that processes one batch and writes a line about it."""

    async def run_turn(runtime: Runtime, account_id: UUID) -> int:
        async with open_work(runtime, account_id, SYSTEM) as work:
            count = await process_batch(work)
        if count:
            print(time.monotonic(), count, flush=True)
        return count

    return run_turn


def start_worker(runtime: Runtime, kind: str) -> list[asyncio.Task[None]]:
    """Start the sweep, the heartbeat and the servers of each queue."""
    worker = WorkerProcess(runtime)
    worker.queues["advance"].run_turn = reporting_turn(BATCH_FUNCTIONS[kind])
    tasks = [asyncio.create_task(worker.sweep()), asyncio.create_task(worker.heartbeat())]
    for queue in worker.queues.values():
        tasks += [asyncio.create_task(queue.serve()) for _ in range(runtime.settings.worker_concurrency)]
    return tasks


async def main(kind: str) -> None:
    """Serve until `exit` or the end of the input."""
    runtime = open_runtime(Settings.from_env())
    tune_garbage_collection()
    print("ready", flush=True)
    tasks: list[asyncio.Task[None]] = []
    cpu_at_start = 0.0
    while (line := (await asyncio.to_thread(sys.stdin.readline)).strip()) not in ("", "exit"):
        if line == "go":
            cpu_at_start = time.process_time()
            tasks = start_worker(runtime, kind)
        else:
            print("stopped", time.process_time() - cpu_at_start, flush=True)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    await runtime.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
