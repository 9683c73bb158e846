"""The worker process. `run` is what `switchyard worker` does. Besides app/integrations/job_notifier.py this
is the only module that uses SAQ.

 1. A SAQ job wakes the worker after a commit that made something due.
 2. Once a second the sweep also looks for due accounts in PostgreSQL: a Redis that is flushed, frozen or gone
    costs a second and nothing else.
 3. Due accounts go into the account queues of `jobs.tasks`, which run small turns.
 4. On SIGTERM the worker claims nothing more, finishes what is under way, and exits.
"""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from saq import CronJob, Queue
from saq import Worker as SaqWorker
from sqlalchemy.exc import SQLAlchemyError

from app.engine.effects.dispatcher import send_effects
from app.engine.recovery.restore_guard import RestoreGuard
from app.engine.recovery.retention import delete_expired_data, delete_old_events
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.web.logs import configure, hide_settings
from db.connection import refuse_strong_role
from db.queries.due_accounts import due_accounts
from db.queries.worker_heartbeats import delete_silent_workers, record_worker
from jobs.job_runner import run_jobs
from jobs.settings import QUEUE, SWEEP_SECONDS, TASKS
from jobs.tasks import TURNS_BY_QUEUE, AccountQueue, Turn
from jobs.watchdog import watch_event_loop

log = structlog.get_logger(__name__)
GRACE_SECONDS = 10.0
QUIET_SECONDS = 30.0
REST_SECONDS = 1.0
SENDER_FACTOR = 8  # so many times as many servers for sending as for other work: they mostly wait
LOOKUP_THREADS = 64  # DNS lookups at a time: one that hangs holds its thread


class _RestingSaqWorker(SaqWorker[Any]):
    """SAQ's own loop runs at full speed while Redis is away; this one rests after a round without a job."""

    jobs_received = 0

    async def process(self) -> bool:
        before = self.jobs_received
        result = await super().process()
        if self.jobs_received == before and not self.event.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.event.wait(), REST_SECONDS)
        return result


class WorkerProcess:
    """One worker process: its SAQ worker, sweep, heartbeat and account queues."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.id = runtime.id
        self.stop = asyncio.Event()
        self.woken = asyncio.Event()
        turns: dict[str, Turn] = {
            **TURNS_BY_QUEUE,
            "send": partial(send_effects, keep_going=lambda: not self.stop.is_set()),
            "jobs": partial(run_jobs, keep_going=lambda: not self.stop.is_set()),
        }
        self.queues = {
            name: AccountQueue(runtime, run_turn, name, single=name == "send")
            for name, run_turn in turns.items()
        }
        next_queues = {
            "schedules": ["jobs", "advance"],
            "advance": ["send"],
            "send": ["advance"],
            "jobs": ["advance"],
        }
        for name, following in next_queues.items():
            self.queues[name].next_queues = [self.queues[other] for other in following]
        self.saq_queue = Queue.from_url(runtime.settings.redis_url, name=QUEUE)
        handlers = {
            "wake": self.on_wake,
            "delete_expired_data": self.on_delete_expired_data,
            "delete_old_events": self.on_delete_old_events,
        }
        self.saq = _RestingSaqWorker(
            self.saq_queue,
            functions=list(handlers.items()),
            cron_jobs=[
                CronJob(
                    handlers[task.name],
                    cron=task.cron,
                    timeout=task.timeout,
                    retries=task.retries,
                    ttl=task.ttl,
                )
                for task in TASKS
                if task.cron
            ],
            concurrency=2,
            # The jobs under way there are wake-ups and retention, which may both be cut off. Its timers sleep
            # for up to a minute, and a shutdown would wait for them.
            shutdown_grace_period_s=0,
            dequeue_timeout=2.0,
        )
        self.saq.SIGNALS = []  # otherwise it handles SIGTERM by itself
        self.guard = RestoreGuard(runtime)
        self._warned_at = 0.0

    async def on_wake(self, _context: Any, *, account_id: str | None = None) -> None:
        """A wake-up: carries at most an account's id, never state."""
        self.saq.jobs_received += 1
        if account_id is None or not self.guard.checked:
            self.woken.set()
            return
        for queue in self.queues.values():
            queue.add([UUID(account_id)])

    async def on_delete_expired_data(self, _context: Any) -> None:
        self.saq.jobs_received += 1
        log.info("retention.expired_data_deleted", rows=await delete_expired_data(self.runtime))

    async def on_delete_old_events(self, _context: Any) -> None:
        self.saq.jobs_received += 1
        log.info("retention.old_events_deleted", rows=await delete_old_events(self.runtime))

    async def sweep(self) -> None:
        """Looks for due accounts at least once a second. Every worker does so by itself; there is no
        leader."""
        while not self.stop.is_set():
            try:
                first = not self.guard.checked
                if await self.guard.check():
                    self._warn("engine.held")
                if first:
                    # Before anything is claimed: a worker that sends and dies at once must have left a
                    # heartbeat.
                    await self.guard.heartbeat()
                accounts = await due_accounts(self.runtime.engine, self.runtime.clock.offset)
                for queue in self.queues.values():
                    queue.add(accounts)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                self._warn("database.unreachable", error)
            self.woken.clear()
            await self._rest(self.woken, SWEEP_SECONDS)

    async def wake_workers(self) -> None:
        """Wakes whichever worker is listening, once a second, in case a wake-up got lost."""
        while not self.stop.is_set():
            await self.runtime.enqueue("wake", {})
            await self._rest(self.stop, SWEEP_SECONDS)

    async def heartbeat(self) -> None:
        """Writes the heartbeat of this worker to the workers table, and the one of the restore guard."""
        while not self.stop.is_set():
            with contextlib.suppress(SQLAlchemyError, OSError, TimeoutError):
                await self._record_heartbeat()
                await self._delete_silent_workers()
                if self.guard.checked:
                    await self.guard.heartbeat()
            await self._rest(self.stop, self.runtime.settings.gone_seconds / 3)

    async def _record_heartbeat(self) -> None:
        steps = self.queues["advance"].done
        async with self.runtime.engine.begin() as connection:
            await record_worker(
                connection, self.id, socket.gethostname(), os.getpid(), steps=steps, memory=memory()
            )

    async def _delete_silent_workers(self, ended: UUID | None = None) -> None:
        async with self.runtime.engine.begin() as connection:
            await delete_silent_workers(connection, ended)

    async def listen(self) -> None:
        """Runs the SAQ worker, and starts it again if it ends by itself."""
        while not self.stop.is_set():
            try:
                await self.saq.start()
            except Exception as error:  # noqa: BLE001 -- Redis only wakes workers; the sweep goes on
                self._warn("queue.unavailable", error)
            await self._rest(self.stop, REST_SECONDS)

    async def _rest(self, event: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)

    def _warn(self, event: str, error: Exception | None = None) -> None:
        if time.monotonic() - self._warned_at > QUIET_SECONDS:
            self._warned_at = time.monotonic()
            log.warning(event, error=repr(error) if error else None)

    async def run(self) -> None:
        """Works until `stop` is set, then finishes the work in progress, within GRACE_SECONDS."""
        count = max(1, self.runtime.settings.worker_concurrency)
        loops = [self.sweep, self.wake_workers, self.heartbeat, self.listen]
        running = [asyncio.create_task(loop()) for loop in loops]
        serving = [
            asyncio.create_task(queue.serve())
            for name, queue in self.queues.items()
            for _ in range(count * SENDER_FACTOR if name == "send" else count)
        ]
        log.info("worker.started", id=str(self.id), pid=os.getpid())
        await self.stop.wait()
        self.woken.set()
        for queue in self.queues.values():
            queue.stopping = True
        idle = asyncio.gather(*(queue.idle.wait() for queue in self.queues.values()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(idle, GRACE_SECONDS)
        self.saq.event.set()
        for task in (*serving, *running):  # Redis may be away, and a wake-up would try for a while
            task.cancel()
        await asyncio.wait([*serving, *running], timeout=3)
        with contextlib.suppress(SQLAlchemyError, OSError, TimeoutError):
            await self._delete_silent_workers(ended=self.id)
        log.info("worker.stopped", id=str(self.id))


def memory() -> int:
    """The peak memory of this process, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def tune_garbage_collection() -> None:
    """Collects less often. A batch creates tens of thousands of short-lived objects without reference cycles:
    looking for cycles at the usual rate takes a third of the worker's time. Objects that exist by now are
    never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


async def run(settings: Settings) -> None:
    """What `switchyard worker` does."""
    configure(settings.log_format, settings.log_level)
    hide_settings(settings)
    logging.getLogger("saq").setLevel(logging.CRITICAL)  # it logs each second that Redis is away
    runtime = open_runtime(settings)
    try:
        async with runtime.engine.connect() as connection:
            await refuse_strong_role(connection)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("database.unreachable", error=type(error).__name__)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUP_THREADS, "lookup"))
    tune_garbage_collection()
    worker = WorkerProcess(runtime)
    on_signals(worker.stop.set)
    try:
        async with watch_event_loop(settings.watchdog_seconds):
            await worker.run()
    finally:
        with contextlib.suppress(Exception):  # Redis may be away, which is no reason to fail
            await asyncio.wait_for(worker.saq_queue.disconnect(), 1)
        await runtime.close()


def on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
