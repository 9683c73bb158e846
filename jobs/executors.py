"""Runs the turns of this process, in one of two ways (the setting EXECUTOR).

`SaqExecutor`: each turn is a SAQ job. The sweep enqueues what is due, and runs in this process what is still
due seconds later. `InlineExecutor`: SAQ jobs only wake this process, whose own queues run the turns.

Both are given SAQ jobs (`on_job`) and due accounts (`on_due`), and have loops to serve (`loops`).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeAlias
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.ports import TurnName
from app.runtime import Runtime
from db.queries.due_accounts import DueAccount, find_due_tasks
from jobs.account_queue import AccountQueue
from jobs.overdue import Due, OverdueWatch
from jobs.settings import JOBS_PER_OVERDUE, MOST_HOPS, first_turn, following_turn
from jobs.turns import AccountTurns

log = structlog.get_logger(__name__)
ENQUEUED_AT_ONCE = 100
Loop: TypeAlias = Callable[[], Awaitable[None]]
# Which tasks may get work from a turn of a task.
NEXT_TASKS: dict[TurnName, tuple[TurnName, ...]] = {
    "match": ("advance",),
    "advance": ("match", "send"),
    "send": ("match", "advance"),
    "schedules": ("match", "jobs"),
    "jobs": ("match", "advance"),
}


class Executor(Protocol):
    """What `jobs.worker` needs of an executor."""

    async def on_job(self, task: TurnName, account_id: UUID, slot: int, turn: int, hops: int) -> None:
        """A SAQ job arrived."""

    async def on_due(self, accounts: Sequence[DueAccount]) -> None:
        """The sweep found accounts with something due."""

    def loops(self) -> list[Loop]:
        """What runs as long as the process: each is canceled at the end."""


class InlineExecutor:
    """Runs turns of one batch from the queues of this process. After a turn with rows the account goes to the
    back of its queue, and to the queues of the tasks that may follow."""

    def __init__(self, turns: dict[TurnName, AccountTurns]) -> None:
        self.turns = turns
        self.queues = {name: AccountQueue(turns[name], partial(self._run_turn, name)) for name in turns}

    async def on_job(self, task: TurnName, account_id: UUID, _slot: int, _turn: int, _hops: int) -> None:
        """Puts the account into the queue of the task."""
        self.queues[task].add([account_id])

    async def on_due(self, accounts: Sequence[DueAccount]) -> None:
        """Puts the accounts into the queues of their due tasks."""
        for name, account_id in _by_task(accounts):
            self.queues[name].add([account_id])

    def loops(self) -> list[Loop]:
        """The loops of the queues of this process."""
        return _serving(self.queues)

    async def _run_turn(self, name: TurnName, account_id: UUID) -> None:
        turns = self.turns[name]

        async def add_again() -> None:
            self.queues[name].add([account_id])

        if await turns.run(account_id, "inline", batches=1, on_large_batch=add_again):
            for following in (name, *NEXT_TASKS[name]):
                self.queues[following].add([account_id])


class SaqExecutor:
    """Runs each turn as a SAQ job, and enqueues what is due afterwards.

    What the sweep finds is enqueued too. If it stays due (see `jobs.overdue`), and at once when Redis does
    not answer, it gets its turn from a queue of this process instead."""

    def __init__(self, runtime: Runtime, turns: dict[TurnName, AccountTurns]) -> None:
        self.runtime, self.turns = runtime, turns
        self.watch = OverdueWatch()
        self.swept = False
        self.arrived: Counter[TurnName] = Counter()  # jobs since the last sweep
        # The slot and number of the last turn that this process enqueued, of what was due at the last sweep.
        self.enqueued: dict[tuple[TurnName, UUID], tuple[int, int]] = {}
        self.queues = {name: AccountQueue(turns[name], partial(self._run_overdue, name)) for name in turns}

    async def on_job(self, task: TurnName, account_id: UUID, slot: int, turn: int, hops: int) -> None:
        """Runs the turn of a SAQ job, then enqueues the next one."""
        self.arrived[task] += 1
        turns = self.turns[task]
        if turns.stopping or (hops and turns.is_full(account_id)):
            # Another process may have room, and would have nothing to do without this turn.
            await self._enqueue_turn(task, account_id, slot, following_turn(turn, time.time()), hops - 1)
            return
        if not turns.admits(account_id):
            return

        async def enqueue_second() -> None:
            await self.runtime.enqueue.beside(task, account_id)

        if not await turns.run(account_id, "saq", on_large_batch=enqueue_second):
            return
        for name in await self._tasks_after(task, account_id):
            if name == task:
                following = following_turn(turn, time.time())
                await self._enqueue_turn(name, account_id, slot, following, MOST_HOPS)
            else:
                await self._enqueue(name, account_id)

    async def on_due(self, accounts: Sequence[DueAccount]) -> None:
        """Enqueues what is due, and runs here what has been due for too long."""
        due = [
            Due(
                name,
                account_id,
                self.turns[name].running[account_id] > 0,
                self.turns[name].worked_at.get(account_id),
            )
            for name, account_id in _by_task(accounts)
        ]
        self._forget_all_but(due)
        arrived, self.arrived = self.arrived, Counter()
        depths = await self.runtime.enqueue.depths() if due else None
        places = {
            name: 1 + arrived[name] // JOBS_PER_OVERDUE
            for name, depth in (depths or {}).items()
            if depth.queued
        }
        plan = self.watch.plan(due, time.monotonic(), places, self._idle_places())
        for entry in plan.run:
            self.queues[entry.task].add([entry.account_id])
        for part in _in_parts(plan.enqueue, ENQUEUED_AT_ONCE):
            await asyncio.gather(
                *(self._enqueue_again(entry.task, entry.account_id, entry.task in places) for entry in part)
            )

    def _idle_places(self) -> dict[TurnName, int]:
        """At the first sweep all places. Redis gives a job to the loop that has waited longest, and a process
        that has just started stands last in line: what it enqueues goes to busy processes first."""
        idle = {} if self.swept else {name: turns.places for name, turns in self.turns.items()}
        self.swept = True
        return idle

    async def _enqueue_again(self, name: TurnName, account_id: UUID, crowded: bool) -> None:
        """Enqueues a turn; while other jobs wait (`crowded`) from the second time on exactly the one that
        this process enqueued last: nothing happens if it waits too, and it is there again if it got lost."""
        last = self.enqueued.get((name, account_id))
        if crowded and last is not None:
            accepted = await self.runtime.enqueue.turn(name, account_id, *last)
        else:
            self.enqueued[name, account_id] = (0, first_turn(time.time()))
            accepted = await self.runtime.enqueue.for_certain(name, account_id)
        self._or_run_here(name, account_id, accepted)

    async def _enqueue_turn(self, name: TurnName, account_id: UUID, slot: int, turn: int, hops: int) -> None:
        self.enqueued[name, account_id] = (slot, turn)
        accepted = await self.runtime.enqueue.turn(name, account_id, slot, turn, max(hops, 0))
        self._or_run_here(name, account_id, accepted)

    def _forget_all_but(self, due: Sequence[Due]) -> None:
        """Nothing is kept of accounts that are not due."""
        keys = {(entry.task, entry.account_id) for entry in due}
        self.enqueued = {key: turn for key, turn in self.enqueued.items() if key in keys}
        for name, turns in self.turns.items():
            turns.forget({account_id for task, account_id in keys if task == name})

    def loops(self) -> list[Loop]:
        """The loops of the queues of this process."""
        return _serving(self.queues)

    async def _run_overdue(self, name: TurnName, account_id: UUID) -> None:
        if await self.turns[name].run(account_id, "sweep"):
            for following in await self._tasks_after(name, account_id):
                await self._enqueue(following, account_id)

    async def _tasks_after(self, task: TurnName, account_id: UUID) -> list[TurnName]:
        """The tasks that are due after a turn that claimed something. Sending always: what a circuit breaker
        does after a probe is not announced by a row that is due."""
        try:
            async with self.runtime.engine.connect() as connection:
                names = await find_due_tasks(connection, self.runtime.clock.offset, account_id)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("database.unreachable", error=type(error).__name__)
            return []  # the sweep finds them
        return [name for name in self.turns if name in names or name == task == "send"]

    async def _enqueue(self, name: TurnName, account_id: UUID) -> None:
        self._or_run_here(name, account_id, await self.runtime.enqueue(name, account_id))

    def _or_run_here(self, name: TurnName, account_id: UUID, accepted: bool) -> None:
        if not accepted:
            self.queues[name].add([account_id])


def _serving(queues: Mapping[TurnName, AccountQueue]) -> list[Loop]:
    """As many loops for each queue as it may run turns at a time."""
    return [queue.serve for queue in queues.values() for _ in range(queue.turns.places)]


def _in_parts(entries: Sequence[Due], size: int) -> Iterator[Sequence[Due]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]


def _by_task(accounts: Iterable[DueAccount]) -> list[tuple[TurnName, UUID]]:
    """The tasks of due accounts, those of other versions left out."""
    return [
        (name, account.account_id) for account in accounts for name in NEXT_TASKS if name in account.tasks
    ]
