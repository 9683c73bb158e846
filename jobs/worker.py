"""The worker process. `run` is what `switchyard worker` does.

1. After a commit that made something due, a SAQ job brings a turn of the account's work to a worker.
2. Once a second the sweep also looks for due accounts in PostgreSQL: a Redis that is flushed, frozen or gone
   costs seconds and nothing else.
3. The executor (`jobs.executors`) runs turns: bounded amounts of work of one account (`jobs.turns`).
4. On SIGTERM the worker claims nothing more, finishes what is under way, and exits.
"""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.engine.recovery.restore_guard import RestoreGuard
from app.engine.recovery.retention import delete_expired_data, delete_old_events
from app.ports import TurnName
from app.runtime import Runtime, open_runtime, tune_garbage_collection
from app.settings import Settings
from app.web.logs import configure, hide_settings
from db.connection import refuse_strong_role
from db.queries.due_accounts import find_due_accounts
from db.queries.turn_counts import add_turns
from db.queries.worker_heartbeats import delete_silent_workers, record_worker
from jobs import counter_upkeep
from jobs.executors import Executor, InlineExecutor, SaqExecutor
from jobs.saq_workers import SaqWorkers
from jobs.settings import SWEEP_SECONDS
from jobs.turns import all_turns
from jobs.watchdog import watch_event_loop

log = structlog.get_logger(__name__)
GRACE_SECONDS = 10.0
QUIET_SECONDS = 30.0
FINISH_SECONDS = 0.2  # for SAQ to note the end of the last turns
LOOKUP_THREADS = 64  # DNS lookups at a time: one that hangs holds its thread
# Objects. A batch creates tens of thousands of them without reference cycles: looking for cycles at the usual
# rate takes a third of the worker's time.
BETWEEN_COLLECTIONS = 100_000


class WorkerProcess:
    """One worker process: its SAQ workers, executor, sweep and heartbeat."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.id = runtime.id
        self.stop = asyncio.Event()
        self.woken = asyncio.Event()
        self.guard = RestoreGuard(runtime)
        self.turns = all_turns(runtime)
        concurrency = {name: turns.places for name, turns in self.turns.items()}
        self.executor: Executor = (
            SaqExecutor(runtime, self.turns)
            if runtime.settings.executor == "saq"
            else InlineExecutor(self.turns)
        )
        self.saq = SaqWorkers(
            runtime.settings.redis_url,
            concurrency,
            self.on_turn,
            {
                "delete_expired_data": self.on_delete_expired_data,
                "delete_old_events": self.on_delete_old_events,
            },
            lambda error: self._warn("queue.unavailable", error),
        )
        self._warned_at = 0.0
        self._recorded_turns: dict[tuple[str, str], int] = {}

    async def on_turn(self, task: TurnName, account_id: UUID, slot: int, turn: int, hops: int) -> None:
        """A SAQ job arrived. Before the guard has looked nothing is claimed: the sweep looks at once."""
        if self.guard.checked:
            await self.executor.on_job(task, account_id, slot, turn, hops)
        else:
            self.woken.set()

    async def on_delete_expired_data(self) -> None:
        """The cron task of that name."""
        log.info("retention.expired_data_deleted", rows=await delete_expired_data(self.runtime))

    async def on_delete_old_events(self) -> None:
        """The cron task of that name."""
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
                async with self.runtime.engine.connect() as connection:
                    accounts = await find_due_accounts(connection, self.runtime.clock.offset)
                await self.executor.on_due(accounts)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                self._warn("database.unreachable", error)
            self.woken.clear()
            await _rest(self.woken, SWEEP_SECONDS)

    async def heartbeat(self) -> None:
        """Writes the heartbeat of this worker to the workers table, and the one of the restore guard."""
        while not self.stop.is_set():
            with contextlib.suppress(SQLAlchemyError, OSError, TimeoutError):
                await self.record_heartbeat()
                if self.guard.checked:
                    await self.guard.heartbeat()
            await _rest(self.stop, self.runtime.settings.gone_seconds / 3)

    async def keep_counters(self) -> None:
        """Folds the deltas of the counters, and counts what is not known."""
        while not self.stop.is_set():
            await _rest(self.stop, counter_upkeep.FOLD_SECONDS)
            try:
                await counter_upkeep.keep_counters(self.runtime)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                self._warn("database.unreachable", error)

    async def record_heartbeat(self, *, last: bool = False) -> None:
        """Writes that this worker lives, or with `last` that it ends, and the turns since the last
        heartbeat."""
        turns: dict[tuple[str, str], int] = {
            (name, via): count for name, kind in self.turns.items() for via, count in kind.counts.items()
        }
        new = {key: count - self._recorded_turns.get(key, 0) for key, count in turns.items()}
        if not last:
            host, pid = socket.gethostname(), os.getpid()
            steps = self.turns["match"].rows + self.turns["advance"].rows
            await self._write(
                lambda connection: record_worker(connection, self.id, host, pid, steps=steps, memory=memory())
            )
        await self._write(lambda connection: delete_silent_workers(connection, self.id if last else None))
        await self._write(
            lambda connection: add_turns(connection, {key: count for key, count in new.items() if count})
        )
        self._recorded_turns = turns

    async def _write(self, query: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        """Each query has a transaction of its own: two workers that delete one another's rows could block
        each other."""
        async with self.runtime.engine.begin() as connection:
            await query(connection)

    def _warn(self, event: str, error: Exception | None = None) -> None:
        if time.monotonic() - self._warned_at > QUIET_SECONDS:
            self._warned_at = time.monotonic()
            log.warning(event, error=repr(error) if error else None)

    async def run(self) -> None:
        """Works until `stop` is set, then finishes the work in progress, within GRACE_SECONDS."""
        loops = [
            self.sweep, self.heartbeat, self.keep_counters, self.saq.listen, *self.executor.loops()
        ]  # fmt: skip
        running = [asyncio.ensure_future(loop()) for loop in loops]
        log.info("worker.started", id=str(self.id), pid=os.getpid(), executor=self.runtime.settings.executor)
        await self.stop.wait()
        self.woken.set()
        busy = any(turns.running for turns in self.turns.values())
        self.saq.pause()
        for turns in self.turns.values():
            turns.stopping = True
        idle = asyncio.gather(*(turns.idle.wait() for turns in self.turns.values()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(idle, GRACE_SECONDS)
        if busy:
            await asyncio.sleep(FINISH_SECONDS)
        self.saq.stop()  # not before: it cancels the jobs under way
        for task in running:  # Redis may be away, and a job that is enqueued would try for a while
            task.cancel()
        await asyncio.wait(running, timeout=3)
        with contextlib.suppress(SQLAlchemyError, OSError, TimeoutError):
            await self.record_heartbeat(last=True)
        log.info("worker.stopped", id=str(self.id))


async def _rest(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def memory() -> int:
    """The peak memory of this process, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


async def run(settings: Settings) -> None:
    """What `switchyard worker` does."""
    configure(settings.log_format, settings.log_level)
    hide_settings(settings)
    runtime = open_runtime(settings)
    try:
        async with runtime.engine.connect() as connection:
            await refuse_strong_role(connection)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("database.unreachable", error=type(error).__name__)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUP_THREADS, "lookup"))
    tune_garbage_collection(BETWEEN_COLLECTIONS)
    worker = WorkerProcess(runtime)
    on_signals(worker.stop.set)
    try:
        async with watch_event_loop(settings.watchdog_seconds):
            await worker.run()
    finally:
        with contextlib.suppress(Exception):  # Redis may be away, which is no reason to fail
            await asyncio.wait_for(worker.saq.close(), 1)
        await runtime.close()


def on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
