"""The worker process that the benchmark measures: the engine's own executor, started and stopped on command.

    python -m scripts._lib.bench.engine_worker advance|match

It runs the SAQ workers, the executor (the setting EXECUTOR), the sweep and the heartbeat of
`jobs.worker.WorkerProcess`, with the concurrency of `switchyard worker`. One thing differs: it only advances
enrollments (`advance`) or only matches events (`match`), because the two are measured separately.

It reads the lines `go`, `stop` and `exit`, and writes one line per batch: the time of the commit (seconds of
the machine's monotonic clock) and the number of rows. After `stop` it writes the CPU seconds used since `go`.
"""

import asyncio
import sys
import time
from uuid import UUID

from app.runtime import Runtime, open_runtime, tune_garbage_collection
from app.settings import Settings
from jobs.turns import KeepGoing, RunBatch, advance_batch, match_batch
from jobs.worker import BETWEEN_COLLECTIONS, WorkerProcess

BATCHES_BY_TASK: dict[str, RunBatch] = {"advance": advance_batch, "match": match_batch}


def reporting(run_batch: RunBatch) -> RunBatch:
    """The same batch, which also writes a line about it."""

    async def run(runtime: Runtime, account_id: UUID, keep_going: KeepGoing) -> int:
        count = await run_batch(runtime, account_id, keep_going)
        if count:
            print(time.monotonic(), count, flush=True)
        return count

    return run


async def do_nothing(_runtime: Runtime, _account_id: UUID, _keep_going: KeepGoing) -> int:
    """The batch of the tasks that are not measured."""
    return 0


def start_worker(runtime: Runtime, measured: str) -> tuple[WorkerProcess, list[asyncio.Future[None]]]:
    """Start the SAQ workers, the executor, the sweep and the heartbeat."""
    worker = WorkerProcess(runtime)
    for name, turns in worker.turns.items():
        turns.run_batch = reporting(BATCHES_BY_TASK[name]) if name == measured else do_nothing
    loops = [worker.saq.listen, worker.sweep, worker.heartbeat, *worker.executor.loops()]
    return worker, [asyncio.ensure_future(loop()) for loop in loops]


async def main(measured: str) -> None:
    """Serve until `exit` or the end of the input."""
    runtime = open_runtime(Settings.from_env())
    tune_garbage_collection(BETWEEN_COLLECTIONS)
    print("ready", flush=True)
    worker, tasks = None, list[asyncio.Future[None]]()
    cpu_at_start = 0.0
    while (line := (await asyncio.to_thread(sys.stdin.readline)).strip()) not in ("", "exit"):
        if line == "go":
            cpu_at_start = time.process_time()
            worker, tasks = start_worker(runtime, measured)
        else:
            print("stopped", time.process_time() - cpu_at_start, flush=True)
            if worker is not None:
                worker.saq.stop()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            if worker is not None:
                await worker.saq.close()
    await runtime.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
