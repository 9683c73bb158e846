"""Isolates poison items: enrollments and events that kill the worker.

While a batch is processed, a mark names its rows. If the worker dies, the mark stays, and its rows are
suspects: another worker runs each of them alone, with no other batch in its process. A row that was there at
several crashes (`MOST_CRASHES`) is parked with its error; all others continue.

Events are matched in order, by one worker at a time. An account has at most one marked batch of events: while
its mark exists, no other worker matches events of the account. Suspect events run in their order."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.fault_hook import Boundary, commit
from app.work import Work
from db.ids import uuid7
from db.queries.inflight_batches import (
    BatchKind,
    delete_marks,
    insert_mark,
    lock_left_mark,
    split_mark,
    take_suspect,
)
from db.tenancy import begin

log = structlog.get_logger(__name__)

# A parked enrollment is shown on a screen and a member can retry it. A skipped event is lost for every
# workflow, and where workers are killed for other reasons, being there three times can still be chance.
MOST_CRASHES = {BatchKind.ADVANCE: 3, BatchKind.MATCH: 6}


class PoisonError(Exception):
    """The error of an item that was there each time the worker died."""


class Suspect(msgspec.Struct, frozen=True):
    """One item that a dead worker left behind. `id` is that of an enrollment or an event."""

    mark: UUID
    id: UUID
    crashes: int


async def set_mark(work: Work, kind: BatchKind, ids: Sequence[UUID]) -> UUID | None:
    """Writes a mark: this process works on these rows. It uses a connection of its own, because the batch's
    connection is in a transaction. None when events of this account have a mark already."""
    mark = uuid7()
    try:
        async with _mark_session(work) as session:
            inserted = await insert_mark(session, mark, kind, work.runtime.id, ids)
            await commit(session, Boundary.MARK_SET)
    except BaseException:  # the mark may have been written all the same, and this worker lives
        work.runtime.left_marks.setdefault(work.account_id, []).append(mark)
        raise
    return mark if inserted else None


async def remove_mark(work: Work, mark: UUID) -> None:
    """Removes the mark of a batch that did not commit as a whole; later, if the database is away now."""
    work.runtime.left_marks.setdefault(work.account_id, []).append(mark)
    with suppress(SQLAlchemyError, OSError, TimeoutError):
        await remove_left_marks(work)


async def remove_left_marks(work: Work) -> None:
    """Removes the marks that could not be removed when their batches ended."""
    marks = work.runtime.left_marks.pop(work.account_id, [])
    if not marks:
        return
    try:
        async with _mark_session(work) as session:
            await delete_marks(session, marks)
            await commit(session, Boundary.MARK_REMOVED)
    except BaseException:
        work.runtime.left_marks.setdefault(work.account_id, []).extend(marks)
        raise


@asynccontextmanager
async def _mark_session(work: Work) -> AsyncIterator[AsyncSession]:
    async with work.runtime.marking() as session:
        session.info["account_id"] = work.account_id
        await begin(session)
        yield session


async def has_suspects(work: Work, kind: BatchKind) -> bool:
    """Whether a dead worker left a mark that no other worker holds now."""
    mark = await lock_left_mark(work.session, kind, work.runtime.settings.gone_seconds)
    if mark is not None:
        await work.session.rollback()
    return mark is not None


async def next_suspect(work: Work, kind: BatchKind) -> Suspect | None:
    """Takes the next suspect, or None. A mark of several rows is split into one per row first. The
    transaction of `work` continues."""
    gone = work.runtime.settings.gone_seconds
    async with _mark_session(work) as session:
        while (mark := await lock_left_mark(session, kind, gone)) is not None:
            if len(mark.ids) > 1:
                log.warning("batch.abandoned", kind=kind, worker=str(mark.worker_id), count=len(mark.ids))
                await split_mark(session, kind, mark.id, work.now)
                await commit(session, Boundary.MARK_SPLIT)
                continue
            suspect = await take_suspect(session, mark.id, work.runtime.id)
            await commit(session, Boundary.MARK_CLAIMED)
            if suspect is not None:  # locked above, so it is there
                return Suspect(mark.id, suspect.ids[0], suspect.crashes)
    return None
