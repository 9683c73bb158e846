"""A worker process that is told when to begin: the queues, the sweep and the heartbeat of
`jobs.worker.Worker`, with as many servers per lane as `litestar worker` has. The bell is left out (nobody
rings while a queue is drained: an account with more to do rings itself), and its `move` lane only moves
(`move`) or only matches (`match`), because moving and matching are measured apart.

It reads `go`, `hold` and `exit`, and writes one line per batch: when it was committed (seconds of the
machine's monotonic clock), how many there were; after `hold` one line with the CPU seconds since `go`.
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

PARTS: dict[str, Callable[[Work], Awaitable[int]]] = {"move": advance_enrollments, "match": match_events}


def told(part: Callable[[Work], Awaitable[int]]) -> Turn:
    """A lane's slice that writes a line for every batch."""

    async def slice_of(runtime: Runtime, account_id: UUID) -> int:
        async with open_work(runtime, account_id, SYSTEM) as work:
            found = await part(work)
        if found:
            print(time.monotonic(), found, flush=True)
        return found

    return slice_of


async def main(kind: str) -> None:
    """Until `exit` or the end of its input."""
    runtime = open_runtime(Settings.from_env())
    tune_garbage_collection()
    print("ready", flush=True)
    running: list[asyncio.Task[None]] = []
    began = 0.0
    while (line := (await asyncio.to_thread(sys.stdin.readline)).strip()) not in ("", "exit"):
        if line == "go":
            began = time.process_time()
            shell = WorkerProcess(runtime)
            shell.queues["move"].run_turn = told(PARTS[kind])
            running = [asyncio.create_task(shell.sweep()), asyncio.create_task(shell.heartbeat())]
            for queue in shell.queues.values():
                for _ in range(runtime.settings.worker_concurrency):
                    running.append(asyncio.create_task(queue.serve()))
        else:
            print("held", time.process_time() - began, flush=True)
            for task in running:
                task.cancel()
            await asyncio.wait(running)
    await runtime.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
