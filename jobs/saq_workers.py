"""The SAQ workers of a process: one for each queue, because all tasks of a SAQ worker share one concurrency.

`SaqWorkers.listen` takes jobs: it hands turns to the executor and calls what SAQ's cron schedules.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from saq import CronJob
from saq import Worker as SaqWorker
from saq.queue.redis import RedisQueue
from saq.types import Context, PartialTimersDict

from app.ports import TurnName
from jobs.settings import CRON_TASKS, RETENTION_QUEUE, queue_name

DEQUEUE_SECONDS = 2.0
SHORTEST_DEQUEUE_SECONDS = 1.2
REDIS_TIMEOUT = DEQUEUE_SECONDS + 2.0  # of a blocking read, too; a Redis that is frozen holds a job no longer
REST_SECONDS = 1.0
TIMERS: PartialTimersDict = {"schedule": 10, "worker_info": 10, "sweep": 60, "abort": 60}

OnTurn: TypeAlias = Callable[[TurnName, UUID, int, int, int], Awaitable[None]]
CronHandler: TypeAlias = Callable[[], Awaitable[None]]
TurnFunction: TypeAlias = Callable[..., Awaitable[None]]


class _RestingSaqWorker(SaqWorker[Context]):
    """SAQ's own loop runs at full speed while Redis is away; this one rests after a round that failed."""

    jobs_received = 0
    paused = False

    async def process(self) -> bool:
        if self.paused:
            await self.event.wait()
            return False
        before, started = self.jobs_received, time.monotonic()
        # Redis serves who has waited longest. With equal timeouts all loops of a process would stand next to
        # one another, and a turn that a process passes on would come back to it.
        self.dequeue_timeout = random.uniform(SHORTEST_DEQUEUE_SECONDS, DEQUEUE_SECONDS)  # noqa: S311 -- no secret
        try:
            result = await super().process()
        except Exception:  # noqa: BLE001 -- Redis went away while a job ended: what the job did is committed
            result = False
        waited = time.monotonic() - started
        if self.jobs_received == before and waited < DEQUEUE_SECONDS / 2 and not self.event.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.event.wait(), REST_SECONDS)
        return result


class SaqWorkers:
    """Takes jobs from the queues of the turns and of retention. `concurrency` is how many turns of each task
    run at a time; `cron_handlers` are what the tasks of `CRON_TASKS` call."""

    def __init__(
        self,
        redis_url: str,
        concurrency: Mapping[TurnName, int],
        on_turn: OnTurn,
        cron_handlers: Mapping[str, CronHandler],
        on_unavailable: Callable[[Exception], None],
    ) -> None:
        self.redis = Redis.from_url(
            redis_url,
            socket_timeout=REDIS_TIMEOUT,
            socket_connect_timeout=REST_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self.on_turn, self.on_unavailable = on_turn, on_unavailable
        self.stopping = False
        logging.getLogger("saq").setLevel(logging.CRITICAL)  # it logs each second that Redis is away
        self.workers = [self._turn_worker(task, places) for task, places in concurrency.items()]
        self.workers.append(self._retention_worker(cron_handlers))

    async def listen(self) -> None:
        """Takes jobs until `stop`."""
        await asyncio.gather(*(self._listen(worker) for worker in self.workers))

    def pause(self) -> None:
        """Takes no more jobs, and lets those under way end. A loop that already waits for a job may still
        take one."""
        for worker in self.workers:
            worker.paused = True

    def stop(self) -> None:
        """Takes no more jobs, and cancels those under way."""
        self.stopping = True
        for worker in self.workers:
            worker.event.set()

    async def close(self) -> None:
        """Closes the connections."""
        for worker in self.workers:
            await worker.queue.disconnect()

    async def _listen(self, worker: _RestingSaqWorker) -> None:
        """Runs one SAQ worker, and starts it again if it ends by itself: it also ends when it is canceled."""
        while not self.stopping:
            try:
                await worker.start()
            except Exception as error:  # noqa: BLE001 -- whatever is wrong with Redis, the sweep goes on
                self.on_unavailable(error)
            if not self.stopping:
                await asyncio.sleep(REST_SECONDS)

    def _turn_worker(self, task: TurnName, places: int) -> _RestingSaqWorker:
        async def run_turn(_context: Context, *, account_id: str, slot: int, turn: int, hops: int) -> None:
            worker.jobs_received += 1
            await self.on_turn(task, UUID(account_id), slot, turn, hops)

        worker = self._worker(queue_name(task), places, functions=[(task, run_turn)])
        return worker

    def _retention_worker(self, handlers: Mapping[str, CronHandler]) -> _RestingSaqWorker:
        crons = [
            CronJob(
                self._cron_function(task.name, handlers[task.name]),
                cron=task.cron,
                timeout=task.timeout,
                retries=task.retries,
                ttl=task.ttl,
            )
            for task in CRON_TASKS
        ]
        return self._worker(RETENTION_QUEUE, len(crons), crons=crons)

    def _cron_function(self, name: str, handler: CronHandler) -> TurnFunction:
        async def run(_context: Context) -> None:
            self.workers[-1].jobs_received += 1
            await handler()

        run.__qualname__ = name  # SAQ enqueues and finds the function by it
        return run

    def _worker(
        self,
        queue: str,
        places: int,
        *,
        functions: Sequence[tuple[str, TurnFunction]] = (),
        crons: Sequence[CronJob[Context]] = (),
    ) -> _RestingSaqWorker:
        worker = _RestingSaqWorker(
            RedisQueue(self.redis, name=queue),
            functions=functions,
            cron_jobs=crons,
            concurrency=places,
            timers=TIMERS,
            dequeue_timeout=DEQUEUE_SECONDS,
            # The worker process waits for its turns itself before it stops SAQ.
            shutdown_grace_period_s=0,
        )
        worker.SIGNALS = []  # otherwise it handles SIGTERM by itself
        return worker
