"""The turns of a worker: what each task does for one account, in a bounded amount of work.

`AccountTurns` runs the turns of one task in this process, however they come: by a SAQ job, by the queue of
this process or by the sweep. `drain` does everything that is due at once, for tests.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from typing import Literal, TypeAlias
from uuid import UUID

import structlog

from app.engine.advancing.runner import advance_enrollments
from app.engine.effects.dispatcher import send_effects
from app.engine.matching.matcher import match_events
from app.engine.schedules.scheduler import run_schedules
from app.ports import TurnName
from app.runtime import Runtime
from app.work import SYSTEM, open_work
from db.queries.due_accounts import find_due_accounts
from jobs.job_runner import run_jobs
from jobs.settings import SENDER_FACTOR, TURN_BATCHES, TURN_SECONDS, TURN_TASKS, TurnTask

log = structlog.get_logger(__name__)
MAX_ROUNDS = 10_000
LARGE_BATCH = 200  # rows; an account with such batches gets its second turn

KeepGoing: TypeAlias = Callable[[], bool]
# One batch of one account. Returns how many rows it claimed; begins nothing more when `keep_going()` is
# false.
RunBatch: TypeAlias = Callable[[Runtime, UUID, KeepGoing], Awaitable[int]]
Via: TypeAlias = Literal["saq", "sweep", "inline"]


async def match_batch(runtime: Runtime, account_id: UUID, _keep_going: KeepGoing) -> int:
    """Matches one batch of events."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        return await match_events(work)


async def advance_batch(runtime: Runtime, account_id: UUID, _keep_going: KeepGoing) -> int:
    """Advances one batch of enrollments."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        return await advance_enrollments(work)


async def send_batch(runtime: Runtime, account_id: UUID, keep_going: KeepGoing) -> int:
    """Sends one batch of effects."""
    return await send_effects(runtime, account_id, keep_going=keep_going)


async def schedules_batch(runtime: Runtime, account_id: UUID, _keep_going: KeepGoing) -> int:
    """Does one batch of each kind of work that is due by time alone."""
    return await run_schedules(runtime, account_id)


async def jobs_batch(runtime: Runtime, account_id: UUID, keep_going: KeepGoing) -> int:
    """Runs some batches of one background job."""
    return await run_jobs(runtime, account_id, keep_going=keep_going)


BATCHES: dict[TurnName, RunBatch] = {
    "match": match_batch,
    "advance": advance_batch,
    "send": send_batch,
    "schedules": schedules_batch,
    "jobs": jobs_batch,
}


async def match_and_advance(runtime: Runtime, account_id: UUID) -> int:
    """One batch of events, then one batch of enrollments."""
    matched = await match_batch(runtime, account_id, lambda: True)
    return matched + await advance_batch(runtime, account_id, lambda: True)


async def drain(runtime: Runtime, account_id: UUID | None = None) -> int:
    """Does everything that is due, of one account or of all, until nothing is; returns how many rows."""
    done = 0
    for _ in range(MAX_ROUNDS):
        accounts = [account_id] if account_id else await _due_accounts(runtime)
        round_done = 0
        for account in accounts:
            for name in ("schedules", "match", "advance", "send", "jobs"):
                round_done += await BATCHES[name](runtime, account, lambda: True)
        if not round_done:
            return done
        done += round_done
    return done


async def _due_accounts(runtime: Runtime) -> list[UUID]:
    async with runtime.engine.connect() as connection:
        return [due.account_id for due in await find_due_accounts(connection, runtime.clock.offset)]


class AccountTurns:
    """The turns of one task in this process: as many at a time as the setting WORKER_CONCURRENCY says,
    however they come. An account has `task.slots` of them and never more: two, so that one batch is decided
    while the database writes the other; one for sending, so that a server that hangs holds up its own account
    only."""

    def __init__(self, runtime: Runtime, task: TurnTask, run_batch: RunBatch) -> None:
        self.runtime, self.task, self.run_batch = runtime, task, run_batch
        self.places = max(1, runtime.settings.worker_concurrency) * (SENDER_FACTOR if task.senders else 1)
        self._free_places = asyncio.Semaphore(self.places)
        self.running: Counter[UUID] = Counter()
        self.asked_meanwhile: set[UUID] = set()  # while all turns of the account were under way
        self.large: set[UUID] = set()  # accounts whose last batch was a large one
        self.worked_at: dict[UUID, float] = {}  # by time.monotonic(): when a turn last claimed something
        self.counts: Counter[Via] = Counter()  # turns that claimed something
        self.rows = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.stopping = False

    def keep_going(self) -> bool:
        """Whether a new batch may begin."""
        return not self.stopping

    def is_full(self, account: UUID) -> bool:
        """Whether the account has all its turns here."""
        return self.running[account] >= self.task.slots

    def forget(self, due: AbstractSet[UUID]) -> None:
        """Keeps nothing of accounts that are neither due nor running."""
        self.large &= due | self.running.keys()
        self.worked_at = {account: at for account, at in self.worked_at.items() if account in due}

    def admits(self, account: UUID) -> bool:
        """Whether the account may have another turn now; if not, its running turns look once more."""
        if not self.is_full(account):
            return not self.stopping
        self.asked_meanwhile.add(account)
        return False

    async def run(
        self,
        account: UUID,
        via: Via,
        *,
        batches: int = TURN_BATCHES,
        on_large_batch: Callable[[], Awaitable[None]] | None = None,
    ) -> bool:
        """Runs one turn; whether the account may have more to do. `on_large_batch` is awaited once, before a
        batch, if the account's last batch was a large one and there is room for a second turn. An error is
        logged: what failed is still due."""
        self.idle.clear()
        self.running[account] += 1
        rows = 0
        try:
            rows = await self._run_batches(account, batches, on_large_batch)
        except Exception:
            # The sweep finds this account again within a second; the other accounts continue.
            log.exception("turn.error", task=self.task.name, account=str(account))
        finally:
            self._release(account)
        if rows:
            self.counts[via] += 1
            self.worked_at[account] = time.monotonic()
        look_again = rows > 0 or account in self.asked_meanwhile
        self.asked_meanwhile.discard(account)
        return look_again

    async def _run_batches(
        self, account: UUID, batches: int, on_large_batch: Callable[[], Awaitable[None]] | None
    ) -> int:
        """Returns how many rows were claimed. If a batch fails, those before it are committed all the
        same."""
        rows = 0
        async with self._free_places:
            end = time.monotonic() + TURN_SECONDS
            for _ in range(batches):
                if self.stopping:
                    break
                if on_large_batch and account in self.large and self._has_room(account):
                    await on_large_batch()
                    on_large_batch = None
                batch = await self.run_batch(self.runtime, account, self.keep_going)
                rows, self.rows = rows + batch, self.rows + batch
                (self.large.add if batch >= LARGE_BATCH else self.large.discard)(account)
                if batch < self.task.full_batch or time.monotonic() >= end:
                    break
        return rows

    def _has_room(self, account: UUID) -> bool:
        """Whether the account may have another turn, and nobody else waits for a place."""
        return not self.is_full(account) and not self._free_places.locked()

    def _release(self, account: UUID) -> None:
        self.running[account] -= 1
        if not self.running[account]:
            del self.running[account]
        if not self.running:
            self.idle.set()


def all_turns(runtime: Runtime) -> dict[TurnName, AccountTurns]:
    """The turns of every task of `jobs.settings.TURN_TASKS`, by the task's name."""
    by_name = {task.name: task for task in TURN_TASKS}
    return {name: AccountTurns(runtime, by_name[name], run_batch) for name, run_batch in BATCHES.items()}
