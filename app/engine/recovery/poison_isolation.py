"""What kills the worker, a step or an event, takes nobody with it and does not come back for ever.

Each batch leaves a mark while it is decided. A mark whose worker is gone names suspects: each of them is
run alone, and alone in its process. Whoever was there at three crashes is parked with its error; the others
go on.

Events are matched in order, by one worker at a time: an account has one batch of them under way, and while
a mark of it stands nobody else matches there. Suspects among events are taken in their order.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.failpoints import Boundary, commit
from app.work import Work
from db.ids import uuid7
from db.queries.batch_session import BatchSession
from db.queries.inflight_batches import (
    DELETE_MARKS,
    INSERT_MARK,
    LOCK_LEFT_BEHIND_MARK,
    SPLIT_ENROLLMENT_MARK,
    SPLIT_EVENT_MARK,
    TAKE_SUSPECT,
)
from db.tenancy import begin

log = structlog.get_logger(__name__)


class BatchKind(StrEnum):
    """What a mark names: enrollments that are moved, or events that are matched."""

    MOVE = "move"
    MATCH = "match"


SPLIT_STATEMENTS = {BatchKind.MOVE: SPLIT_ENROLLMENT_MARK, BatchKind.MATCH: SPLIT_EVENT_MARK}
# Who is parked is seen and can be tried again by a person. An event that is passed over lets nobody in: where
# workers are killed for other reasons, being there three times is still chance.
MOST_CRASHES = {BatchKind.MOVE: 3, BatchKind.MATCH: 6}


class PoisonError(Exception):
    """What was there each time the worker died."""


class Suspect(msgspec.Struct, frozen=True):
    """`id` is that of an enrollment or an event."""

    mark: UUID
    id: UUID
    crashes: int


async def set_mark(work: Work, kind: BatchKind, ids: Sequence[UUID]) -> UUID | None:
    """Says that this process does them, through a connection of its own: the batch's holds its locks. None
    when events of this account have a mark already."""
    mark = uuid7()
    mark_row = {"id": mark, "kind": kind, "worker": work.runtime.id, "ids": list(ids)}
    try:
        async with _mark_session(work) as session:
            inserted = (await session.execute(INSERT_MARK, mark_row)).all()
            await commit(session, Boundary.MARKED)
    except BaseException:  # it may be there all the same, and its worker lives
        work.runtime.left_marks.setdefault(work.account_id, []).append(mark)
        raise
    return mark if inserted else None


async def remove_mark(work: Work, mark: UUID) -> None:
    """After a batch that did not do it itself; later, when the database is away."""
    work.runtime.left_marks.setdefault(work.account_id, []).append(mark)
    with suppress(SQLAlchemyError, OSError, TimeoutError):
        await remove_left_marks(work)


async def remove_left_marks(work: Work) -> None:
    """Take back what could not be taken back when its time was."""
    marks = work.runtime.left_marks.pop(work.account_id, [])
    if not marks:
        return
    try:
        async with _mark_session(work) as session:
            await session.execute(DELETE_MARKS, {"marks": marks})
            await commit(session, Boundary.UNMARKED)
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
    """Whether a dead worker left something behind that nobody else looks at now."""
    gone = work.runtime.settings.gone_seconds
    marks = await BatchSession(work.session).all(LOCK_LEFT_BEHIND_MARK, kind=kind, gone=gone)
    if marks:
        await work.session.rollback()
    return bool(marks)


async def next_suspect(work: Work, kind: BatchKind) -> Suspect | None:
    """One that a dead worker left behind, taken; None when there is none. The work's own transaction goes
    on."""
    gone = work.runtime.settings.gone_seconds
    async with _mark_session(work) as session:
        db = BatchSession(session)
        while marks := await db.all(LOCK_LEFT_BEHIND_MARK, kind=kind, gone=gone):
            left: Any = marks[0]
            if len(left.ids) > 1:
                log.warning("batch.left_behind", kind=kind, worker=str(left.worker_id), count=len(left.ids))
                await db.do(SPLIT_STATEMENTS[kind], id=left.id, now=work.now)
                await commit(session, Boundary.MARK_SPLIT)
                continue
            taken: Any = (await db.all(TAKE_SUSPECT, id=left.id, worker=work.runtime.id))[0]
            await commit(session, Boundary.MARK_TAKEN_ALONE)
            return Suspect(left.id, taken.ids[0], taken.crashes)
    return None
