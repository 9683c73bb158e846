"""How a batch is run, whatever is done in it: marked, in halves when it fails, alone when its worker died.

A batch that fails is done again in halves until the one that makes it fail stands alone. Alone it is done
once more in its smallest parts, so that it is known which of them fails; then it is parked with its error,
and the others go on. What is wrong with the database is nobody's fault and is raised.
"""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from app.engine.recovery.poison_isolation import (
    MOST_CRASHES,
    BatchKind,
    PoisonError,
    next_suspect,
    remove_mark,
    set_mark,
)
from app.engine.recovery.transient_errors import is_transient
from app.work import Work

SUSPECTS_PER_TURN = 25
Rows = Sequence[Any]


class BatchTask(Protocol):
    """What is done in batches of rows, each with an `id`. `poison` says what a row did that stopped the
    worker `{crashes}` times."""

    work: Work
    kind: BatchKind
    poison: str

    async def turn(self) -> bool:
        """Whether this worker may look for suspects now; what it takes for that holds until the transaction
        ends."""

    async def claim(self, ids: Sequence[UUID]) -> Rows:
        """Those of them for whom there is still something to do, locked."""

    async def run(self, rows: Rows, mark: UUID | None) -> None:
        """All of them in one transaction, committed; the mark goes with it."""

    async def run_alone(self, row: Any) -> None:
        """One of them in its smallest parts, each committed: what is claimed again after an error, or by the
        next worker, stands before the part that is to blame. Its mark stays."""

    async def park(self, row: Any, error: Exception) -> None:
        """It is not tried again by itself, and why is said; committed."""


async def run_marked(task: BatchTask, rows: Rows) -> bool:
    """Run what was claimed; False when somebody else's mark is in the way and nothing was done."""
    mark = await set_mark(task.work, task.kind, [row.id for row in rows])
    if mark is None:
        return False
    await _run_under_mark(task, rows, mark)
    return True


async def run_suspects_alone(task: BatchTask) -> int:
    """Some of those whom a dead worker left behind, one after the other, while this process does nothing else
    that could be harmed; how many."""
    async with task.work.runtime.gate.alone():
        for number in range(SUSPECTS_PER_TURN):
            suspect = await next_suspect(task.work, task.kind) if await task.turn() else None
            if suspect is None:
                return number
            rows = await task.claim([suspect.id])
            if not rows:  # not due any more
                await remove_mark(task.work, suspect.mark)
            elif suspect.crashes >= MOST_CRASHES[task.kind]:
                await task.park(rows[0], PoisonError(task.poison.format(crashes=suspect.crashes)))
                await remove_mark(task.work, suspect.mark)
            else:
                await _run_suspect(task, rows[0], suspect.mark)
    return SUSPECTS_PER_TURN


async def _run_suspect(task: BatchTask, row: Any, mark: UUID) -> None:
    """The mark goes last: until then a crash is on the account of this one."""
    try:
        await _run_alone_or_park(task, row)
    finally:
        await remove_mark(task.work, mark)


async def _run_alone_or_park(task: BatchTask, row: Any) -> None:
    try:
        await task.run_alone(row)
    except Exception as error:
        await task.work.session.rollback()
        if is_transient(error):
            raise
        for same in await task.claim([row.id]):
            await task.park(same, error)


async def _run_under_mark(task: BatchTask, rows: Rows, mark: UUID) -> None:
    try:
        if not await _run_or_bisect(task, rows, mark):
            await remove_mark(task.work, mark)
    except BaseException:
        await remove_mark(task.work, mark)
        raise


async def _run_or_bisect(task: BatchTask, rows: Rows, mark: UUID | None) -> bool:
    """Whether it went whole: then the mark is gone with it."""
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
            for same in await task.claim(ids):
                await _run_alone_or_park(task, same)
            return False
        half = len(ids) // 2
        for part in (ids[:half], ids[half:]):
            await _run_or_bisect(task, await task.claim(part), None)
        return False
