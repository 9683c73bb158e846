"""The worker process, and the only file that knows SAQ beside the bell.

SAQ wakes us after a commit; once a second we also look into PostgreSQL ourselves, so that a Redis that is
flushed, frozen or gone costs a second and nothing else. SIGTERM: claim nothing more, finish, leave when idle.
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
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app import failpoints
from app.engine.effects.dispatcher import send_effects
from app.engine.recovery.restore_guard import RestoreGuard
from app.engine.recovery.retention import delete_expired_data, delete_old_events
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.web.logs import configure, hide_settings
from db.connection import refuse_strong_role
from db.queries.batch_session import due_accounts
from jobs.job_runner import run_jobs
from jobs.settings import QUEUE, SWEEP_SECONDS, TASKS
from jobs.tasks import TASKS_BY_QUEUE, AccountQueue, Slice
from jobs.watchdog import watch_event_loop

log = structlog.get_logger(__name__)
GRACE_SECONDS = 10.0
QUIET_SECONDS = 30.0
REST_SECONDS = 1.0
SENDER_FACTOR = 8  # times as many turns of sending as of other work: they wait for others nearly all the time
LOOKUP_THREADS = 64  # names looked up at a time: one that hangs holds a thread

RECORD_WORKER = text("""
insert into workers (id, host, pid, started_at, seen_at, steps, memory)
values (:id, :host, :pid, clock_timestamp(), clock_timestamp(), :steps, :memory)
on conflict (id) do update set seen_at = excluded.seen_at, steps = excluded.steps, memory = excluded.memory
""")
DELETE_WORKERS = text(
    "delete from workers where seen_at < clock_timestamp() - interval '1 minute' or id = :id"
)


class _RestingSaqWorker(SaqWorker[Any]):
    """SAQ's own loop turns at full speed while Redis is away; this one rests after a turn without a job."""

    heard = 0

    async def process(self) -> bool:
        before = self.heard
        result = await super().process()
        if self.heard == before and not self.event.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.event.wait(), REST_SECONDS)
        return result


class Worker:
    """One worker process: the bell's other end, the sweep, the heartbeat, and the lanes."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.id = runtime.id
        self.stop = asyncio.Event()
        self.rung = asyncio.Event()
        parts: dict[str, Slice] = {
            **TASKS_BY_QUEUE,
            "send": partial(send_effects, going_on=lambda: not self.stop.is_set()),
            "jobs": partial(run_jobs, going_on=lambda: not self.stop.is_set()),
        }
        self.lanes = {
            name: AccountQueue(runtime, part, name, single=name == "send") for name, part in parts.items()
        }
        after = {"clocks": ["jobs", "move"], "move": ["send"], "send": ["move"], "jobs": ["move"]}
        for name, makes in after.items():
            self.lanes[name].after = [self.lanes[other] for other in makes]
        self.queue = Queue.from_url(runtime.settings.redis_url, name=QUEUE)
        doing = {"drain": self.on_drain, "upkeep": self.on_upkeep, "forget": self.on_forget}
        self.saq = _RestingSaqWorker(
            self.queue,
            functions=list(doing.items()),
            cron_jobs=[
                CronJob(
                    doing[task.name], cron=task.cron, timeout=task.timeout, retries=task.retries, ttl=task.ttl
                )
                for task in TASKS
                if task.cron
            ],
            concurrency=2,
            # What is under way there is a ring or upkeep, both of which may be cut. Its timers sleep for up
            # to a minute and would be waited for.
            shutdown_grace_period_s=0,
            dequeue_timeout=2.0,
        )
        self.saq.SIGNALS = []  # or it takes SIGTERM for itself
        self.guard = RestoreGuard(runtime)
        self._complained = 0.0

    async def on_drain(self, _context: Any, *, account_id: str | None = None) -> None:
        """A ring: carries at most an account's id, never state."""
        self.saq.heard += 1
        if account_id is None or not self.guard.passed:
            self.rung.set()
            return
        for lane in self.lanes.values():
            lane.ring([UUID(account_id)])

    async def on_upkeep(self, _context: Any) -> None:
        self.saq.heard += 1
        log.info("upkeep.done", rows=await delete_expired_data(self.runtime))

    async def on_forget(self, _context: Any) -> None:
        self.saq.heard += 1
        log.info("forget.done", rows=await delete_old_events(self.runtime))

    async def _sql(self, statement: Any, **values: Any) -> None:
        async with self.runtime.engine.begin() as connection:
            await connection.execute(statement, values)

    async def sweep(self) -> None:
        """Look for what is due, at least each second: every worker by itself, no leader."""
        while not self.stop.is_set():
            try:
                first = not self.guard.passed
                if await self.guard.look():
                    self._complain("engine.held")
                if first:
                    # Before anything is claimed: who sends and dies at once must have left a mark.
                    await self.guard.beat()
                accounts = await due_accounts(self.runtime.engine, self.runtime.clock.offset)
                for lane in self.lanes.values():
                    lane.ring(accounts)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                self._complain("database.unreachable", error)
            self.rung.clear()
            await self._rest(self.rung, SWEEP_SECONDS)

    async def ring(self) -> None:
        """Wake whichever worker is listening: the answer to a ring that was lost."""
        while not self.stop.is_set():
            await self.runtime.enqueue("drain", {})
            await self._rest(self.stop, SWEEP_SECONDS)

    async def beat(self) -> None:
        host, pid = socket.gethostname(), os.getpid()
        while not self.stop.is_set():
            with contextlib.suppress(SQLAlchemyError, OSError, TimeoutError):
                await self._sql(
                    RECORD_WORKER,
                    id=self.id,
                    host=host,
                    pid=pid,
                    steps=self.lanes["move"].done,
                    memory=memory(),
                )
                await self._sql(DELETE_WORKERS, id=None)
                if self.guard.passed:
                    await self.guard.beat()
            await self._rest(self.stop, self.runtime.settings.gone_seconds / 3)

    async def listen(self) -> None:
        """SAQ, started again if it should ever end by itself."""
        while not self.stop.is_set():
            try:
                await self.saq.start()
            except Exception as error:  # noqa: BLE001 -- Redis only rings; the sweep goes on without it
                self._complain("bell.deaf", error)
            await self._rest(self.stop, REST_SECONDS)

    async def _rest(self, event: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)

    def _complain(self, what: str, error: Exception | None = None) -> None:
        if time.monotonic() - self._complained > QUIET_SECONDS:
            self._complained = time.monotonic()
            log.warning(what, error=repr(error) if error else None)

    async def run(self) -> None:
        """Until `stop` is set; then what is under way is finished, within the grace."""
        count = max(1, self.runtime.settings.worker_concurrency)
        loops = [self.sweep, self.ring, self.beat, self.listen]
        running = [asyncio.create_task(loop()) for loop in loops]
        serving = [
            asyncio.create_task(lane.serve())
            for name, lane in self.lanes.items()
            for _ in range(count * SENDER_FACTOR if name == "send" else count)
        ]
        log.info("worker.started", id=str(self.id), pid=os.getpid())
        await self.stop.wait()
        self.rung.set()
        for lane in self.lanes.values():
            lane.stopping = True
        idle = asyncio.gather(*(lane.idle.wait() for lane in self.lanes.values()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(idle, GRACE_SECONDS)
        self.saq.event.set()
        for task in (*serving, *running):  # Redis may be away, and a ring would try for a while
            task.cancel()
        await asyncio.wait([*serving, *running], timeout=3)
        with contextlib.suppress(SQLAlchemyError, OSError, TimeoutError):
            await self._sql(DELETE_WORKERS, id=self.id)
        log.info("worker.stopped", id=str(self.id))


def memory() -> int:
    """The most memory this process has used, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def tune_garbage_collection() -> None:
    """A batch makes tens of thousands of short-lived objects, none in a circle: looking for circles at the
    usual rate takes a third of the worker's time. What was loaded by now is not looked at any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


async def run(settings: Settings) -> None:
    """What `litestar worker` does."""
    configure(settings.log_format, settings.log_level)
    hide_settings(settings)
    logging.getLogger("saq").setLevel(logging.CRITICAL)  # it says each second that Redis is away
    failpoints.from_env(settings.database_url, settings.redis_url)
    runtime = open_runtime(settings)
    try:
        async with runtime.engine.connect() as connection:
            await refuse_strong_role(connection)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("database.unreachable", error=type(error).__name__)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUP_THREADS, "lookup"))
    tune_garbage_collection()
    worker = Worker(runtime)
    on_signals(worker.stop.set)
    try:
        async with watch_event_loop(settings.watchdog_seconds):
            await worker.run()
    finally:
        with contextlib.suppress(Exception):  # Redis may be away, which is no reason to fail
            await asyncio.wait_for(worker.queue.disconnect(), 1)
        await runtime.close()


def on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
