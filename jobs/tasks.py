"""What a worker does for an account that has something due: lanes, so that a slow call holds up neither the
people who move nor the jobs that somebody waits for, nor the clocks."""

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
from db.queries.batch_session import due_accounts
from jobs.job_runner import run_jobs

log = structlog.get_logger(__name__)
MAX_ROUNDS = 10_000
MAX_TURNS = 2  # turns of one account in one lane
LARGE_TURN = 200  # found in one turn

# A slice: one small batch of one account; how much it found to do.
Slice = Callable[[Runtime, UUID], Awaitable[int]]


async def match_and_advance(runtime: Runtime, account_id: UUID) -> int:
    """One batch of events, then one batch of enrollments."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        matched = await match_events(work)
    async with open_work(runtime, account_id, SYSTEM) as work:
        moved = await advance_enrollments(work)
    return matched + moved


TASKS_BY_QUEUE: dict[str, Slice] = {
    "clocks": run_schedules,
    "move": match_and_advance,
    "send": send_effects,
    "jobs": run_jobs,
}


async def drain(runtime: Runtime, account_id: UUID | None = None) -> int:
    """Do everything that is due, of one account or of all, in turn until nothing is; how much was done."""
    done = 0
    for _ in range(MAX_ROUNDS):
        accounts = [account_id] if account_id else await due_accounts(runtime.engine, runtime.clock.offset)
        round_done = 0
        for account in accounts:
            for part in TASKS_BY_QUEUE.values():
                round_done += await part(runtime, account)
        if not round_done:
            return done
        done += round_done
    return done


class AccountQueue:
    """Accounts waiting for their turn in one kind of work: a small batch each, then to the back of the line.
    An account is in the line once, whoever rings for it. One with much to do has two turns at a time, so that
    one batch is decided while the database writes the other, and never more. In a `single` lane it has one:
    a slice that hangs holds up its own account and takes no second turn."""

    def __init__(self, runtime: Runtime, part: Slice, name: str, *, single: bool = False) -> None:
        self.runtime, self.part, self.name = runtime, part, name
        self.at_once = 1 if single else MAX_TURNS
        self.served: Counter[UUID] = Counter()  # turns under way
        self.much: set[UUID] = set()  # whose last turn was a big one
        self.again: set[UUID] = set()  # rung for while they are served
        self.line: asyncio.Queue[UUID] = asyncio.Queue()
        self.waiting: set[UUID] = set()
        self.busy = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.done = 0
        self.stopping = False
        self.after: list[AccountQueue] = []  # lanes for which this one makes work

    def ring(self, accounts: Iterable[UUID]) -> None:
        for account in accounts:
            if self.served[account] >= self.at_once:
                self.again.add(account)
            elif account not in self.waiting and not self.stopping:
                self.waiting.add(account)
                self.line.put_nowait(account)

    async def serve(self) -> None:
        """Turn after turn, until cancelled between two of them."""
        while True:
            account = await self.line.get()
            self.waiting.discard(account)
            if self.stopping:
                continue
            self.busy += 1
            self.idle.clear()
            self.served[account] += 1
            if account in self.much and self.served[account] < self.at_once:
                self.ring([account])
            try:
                done = await self.part(self.runtime, account)
            except Exception:
                # One account's trouble is looked at again in a second.
                log.exception("lane.error", lane=self.name, account=str(account))
                done = 0
            finally:
                self.served[account] -= 1
                if not self.served[account]:
                    del self.served[account]
                self.busy -= 1
                if not self.busy:
                    self.idle.set()
            self.done += done
            (self.much.add if done >= LARGE_TURN else self.much.discard)(account)
            if done or account in self.again:
                self.again.discard(account)
                self.ring([account])
            if done:
                for lane in self.after:
                    lane.ring([account])


__all__ = ["TASKS_BY_QUEUE", "AccountQueue", "drain", "match_and_advance"]
