"""The kinds of work that a worker does for an account that has something due.

Each kind has an `AccountQueue` of its own, so that a slow outbound call delays neither enrollments, nor
background jobs, nor schedules. `drain` does everything that is due at once, for tests and commands.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

import structlog

from app.engine.advancing.runner import advance_enrollments
from app.engine.effects.dispatcher import send_effects
from app.engine.matching.matcher import match_events
from app.engine.schedules.scheduler import run_schedules
from app.runtime import Runtime
from app.work import SYSTEM, open_work
from db.queries.due_accounts import due_accounts
from jobs.job_runner import run_jobs

log = structlog.get_logger(__name__)
MAX_ROUNDS = 10_000
MAX_TURNS = 2  # of one account at a time, in one queue
LARGE_TURN = 200  # items done in one turn

# A turn: one small batch of one account. Returns how many items it did.
Turn = Callable[[Runtime, UUID], Awaitable[int]]


async def match_and_advance(runtime: Runtime, account_id: UUID) -> int:
    """One batch of events, then one batch of enrollments."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        matched = await match_events(work)
    async with open_work(runtime, account_id, SYSTEM) as work:
        advanced = await advance_enrollments(work)
    return matched + advanced


TURNS_BY_QUEUE: dict[str, Turn] = {
    "schedules": run_schedules,
    "advance": match_and_advance,
    "send": send_effects,
    "jobs": run_jobs,
}


async def drain(runtime: Runtime, account_id: UUID | None = None) -> int:
    """Does everything that is due, of one account or of all, until nothing is; returns how many items."""
    done = 0
    for _ in range(MAX_ROUNDS):
        accounts = [account_id] if account_id else await due_accounts(runtime.engine, runtime.clock.offset)
        round_done = 0
        for account in accounts:
            for run_turn in TURNS_BY_QUEUE.values():
                round_done += await run_turn(runtime, account)
        if not round_done:
            return done
        done += round_done
    return done


class AccountQueue:
    """Accounts that wait for a turn of one kind of work. A turn is one small batch; after it the account goes
    to the back of the queue.

    An account waits in the queue at most once. An account with much to do has two turns at a time, so that
    one batch is decided while the database writes the other, and never more. In a `single` queue it has one:
    a turn that hangs holds up its own account only, and keeps one `serve` loop busy, not two."""

    def __init__(self, runtime: Runtime, run_turn: Turn, name: str, *, single: bool = False) -> None:
        self.runtime, self.run_turn, self.name = runtime, run_turn, name
        self.max_turns = 1 if single else MAX_TURNS
        self.turns: Counter[UUID] = Counter()  # under way, by account
        self.busy_accounts: set[UUID] = set()  # whose last turn was a large one
        self.added_meanwhile: set[UUID] = set()  # added while all their turns were under way
        self.waiting: asyncio.Queue[UUID] = asyncio.Queue()
        self.waiting_accounts: set[UUID] = set()
        self.running = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.done = 0
        self.stopping = False
        self.next_queues: list[AccountQueue] = []  # which get work from the turns of this one

    def add(self, accounts: Iterable[UUID]) -> None:
        for account in accounts:
            if self.turns[account] >= self.max_turns:
                self.added_meanwhile.add(account)
            elif account not in self.waiting_accounts and not self.stopping:
                self.waiting_accounts.add(account)
                self.waiting.put_nowait(account)

    async def serve(self) -> None:
        """Runs turn after turn, until it is canceled between two of them."""
        while True:
            account = await self.waiting.get()
            self.waiting_accounts.discard(account)
            if self.stopping:
                continue
            self.running += 1
            self.idle.clear()
            self.turns[account] += 1
            if account in self.busy_accounts and self.turns[account] < self.max_turns:
                self.add([account])
            try:
                done = await self.run_turn(self.runtime, account)
            except Exception:
                # The sweep adds this account again within a second; the other accounts continue.
                log.exception("queue.error", queue=self.name, account=str(account))
                done = 0
            finally:
                self.turns[account] -= 1
                if not self.turns[account]:
                    del self.turns[account]
                self.running -= 1
                if not self.running:
                    self.idle.set()
            self.done += done
            (self.busy_accounts.add if done >= LARGE_TURN else self.busy_accounts.discard)(account)
            if done or account in self.added_meanwhile:
                self.added_meanwhile.discard(account)
                self.add([account])
            if done:
                for queue in self.next_queues:
                    queue.add([account])


__all__ = ["TURNS_BY_QUEUE", "AccountQueue", "drain", "match_and_advance"]
