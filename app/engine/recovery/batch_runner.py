"""Runs a batch so that one bad row cannot stop the others. `run_marked` runs every batch of events and of
enrollments; `run_suspects_alone` runs what a dead worker left behind.

1. A mark names the rows of the batch, so that they are known if the worker dies.
2. The batch runs in one transaction.
3. If it fails, each half runs by itself, down to the single row that fails.
4. That row runs once more in its smallest parts, which shows which part fails. Then it is parked with its
   error, and all other rows continue.

Transient errors of the database are raised instead: no row is to blame, and the batch is tried again."""

from collections.abc import Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from app.engine.recovery.poison_isolation import (
    MOST_CRASHES,
    PoisonError,
    next_suspect,
    remove_mark,
    set_mark,
)
from app.engine.recovery.transient_errors import is_transient
from app.work import Work
from db.queries.inflight_batches import BatchKind

SUSPECTS_PER_TURN = 25


class BatchRow(Protocol):
    """A claimed row."""

    @property
    def id(self) -> UUID: ...


RowT = TypeVar("RowT", bound=BatchRow)


class BatchTask(Protocol[RowT]):
    """Work that is done in batches of rows, each with an `id`. `poison` is the error of a row that stopped
    the worker `{crashes}` times."""

    work: Work
    kind: BatchKind
    poison: str

    async def turn(self) -> bool:
        """Whether this worker may run suspects now. A lock taken here is held until the transaction ends."""

    async def claim(self, ids: Sequence[UUID]) -> Sequence[RowT]:
        """Locks and returns those of these rows that are still due."""

    async def run(self, rows: Sequence[RowT], mark: UUID | None) -> None:
        """Processes all rows in one transaction and commits it; the commit also deletes the mark."""

    async def run_alone(self, row: RowT) -> None:
        """Processes one row in its smallest parts and commits each. After an error or a crash the row is
        still before the part that failed. The mark stays."""

    async def park(self, row: RowT, error: Exception) -> None:
        """Stores the error and commits: the row is not tried again unless a member retries it."""


async def run_marked(task: BatchTask[RowT], rows: Sequence[RowT]) -> bool:
    """Runs the claimed rows. False, with nothing done, when another worker's mark is in the way."""
    mark = await set_mark(task.work, task.kind, [row.id for row in rows])
    if mark is None:
        return False
    await _run_under_mark(task, rows, mark)
    return True


async def run_suspects_alone(task: BatchTask[RowT]) -> int:
    """Runs up to 25 rows that a dead worker left behind, one by one, while this process runs no other batch
    that a crash could harm. Returns how many."""
    async with task.work.runtime.batch_lock.exclusive():
        for number in range(SUSPECTS_PER_TURN):
            suspect = await next_suspect(task.work, task.kind) if await task.turn() else None
            if suspect is None:
                return number
            rows = await task.claim([suspect.id])
            if not rows:  # not due anymore
                await remove_mark(task.work, suspect.mark)
            elif suspect.crashes >= MOST_CRASHES[task.kind]:
                await task.park(rows[0], PoisonError(task.poison.format(crashes=suspect.crashes)))
                await remove_mark(task.work, suspect.mark)
            else:
                await _run_suspect(task, rows[0], suspect.mark)
    return SUSPECTS_PER_TURN


async def _run_suspect(task: BatchTask[RowT], row: RowT, mark: UUID) -> None:
    """The mark is removed last: until then a crash counts against this row."""
    try:
        await _run_alone_or_park(task, row)
    finally:
        await remove_mark(task.work, mark)


async def _run_alone_or_park(task: BatchTask[RowT], row: RowT) -> None:
    try:
        await task.run_alone(row)
    except Exception as error:
        await task.work.session.rollback()
        if is_transient(error):
            raise
        for current in await task.claim([row.id]):
            await task.park(current, error)


async def _run_under_mark(task: BatchTask[RowT], rows: Sequence[RowT], mark: UUID) -> None:
    try:
        if not await _run_or_bisect(task, rows, mark):
            await remove_mark(task.work, mark)
    except BaseException:
        await remove_mark(task.work, mark)
        raise


async def _run_or_bisect(task: BatchTask[RowT], rows: Sequence[RowT], mark: UUID | None) -> bool:
    """Whether the batch committed as a whole; its mark is deleted then."""
    if not rows:
        return False
    try:
        await task.run(rows, mark)
        return True
    except Exception as error:
        await task.work.session.rollback()
        if is_transient(error):
            raise
        ids = [row.id for row in rows]
        if len(ids) == 1:
            for current in await task.claim(ids):
                await _run_alone_or_park(task, current)
            return False
        half = len(ids) // 2
        for part in (ids[:half], ids[half:]):
            await _run_or_bisect(task, await task.claim(part), None)
        return False
