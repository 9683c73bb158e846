"""Decides what the sweep does with due accounts. Pure: time and turns are handed in."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec

from app.ports import TurnName
from jobs.settings import CROWDED_SECONDS, OVERDUE_SECONDS

NO_PLACES: Mapping[TurnName, int] = {}


class Due(msgspec.Struct, frozen=True):
    """One task of an account that is due. `running`: a turn of it runs in this process. `worked_at`: when the
    last one here claimed something, by the clock of the sweep; None for never."""

    task: TurnName
    account_id: UUID
    running: bool = False
    worked_at: float | None = None


class SweepPlan(msgspec.Struct, frozen=True):
    """What the sweep enqueues, and what gets its turn in this process now."""

    enqueue: list[Due]
    run: list[Due]


class OverdueWatch:
    """Remembers since when an account has been due without a turn in this process.

    It does not trust that Redis has the job: a queue that was flushed, a job that got lost, a worker that
    died and one that hangs all leave the account due. Only while other jobs of the task wait in the queue it
    is given more time, because it most likely waits among them, and few accounts at a time run here."""

    def __init__(self) -> None:
        self._due_since: dict[tuple[TurnName, UUID], float] = {}

    def plan(
        self,
        due: Iterable[Due],
        now: float,
        places: Mapping[TurnName, int],
        idle: Mapping[TurnName, int] = NO_PLACES,
    ) -> SweepPlan:
        """`now` in seconds; `places` is how many overdue accounts of a task may run here, for the tasks whose
        jobs wait in Redis; of the others all may. `idle` is how many run here although they are not overdue.
        Those of `due` that have waited longest come first."""
        before, self._due_since = self._due_since, {}
        left, free = dict(places), dict(idle)
        plan = SweepPlan([], [])
        for entry in due:
            key = (entry.task, entry.account_id)
            since = before.get(key, now)
            if entry.running or (entry.worked_at is not None and entry.worked_at > since):
                since = now
            crowded = entry.task in places
            overdue = now - since >= (CROWDED_SECONDS if crowded else OVERDUE_SECONDS)
            if free.get(entry.task, 0) > 0:
                free[entry.task] -= 1
                plan.run.append(entry)
                since = now
            elif overdue and (not crowded or left[entry.task] > 0):
                if crowded:
                    left[entry.task] -= 1
                plan.run.append(entry)
                since = now
            elif not entry.running:
                plan.enqueue.append(entry)
            self._due_since[key] = since
        return plan
