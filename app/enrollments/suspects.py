"""A step that kills the worker takes nobody with it and does not come back for ever.

Each batch leaves a mark while it is decided. A mark whose worker is gone names suspects: each of them is
run alone, and alone in its process. Whoever was there at three crashes is parked with its error; the others
go on.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.failpoints import Boundary, commit
from app.work import Work
from db.ids import uuid7
from db.repositories.batches import LEFT_BEHIND, MARK, SPLIT, TAKE_ALONE, UNMARK
from db.repositories.engine import Engine
from db.tenancy import begin

log = structlog.get_logger(__name__)
MOST_CRASHES = 3
POISON = (
    "This step stopped the worker {crashes} times. It is not tried again by itself: look at what the step "
    "does with this contact, then retry."
)


class Poison(Exception):
    """An enrollment that was there each time the worker died."""


class Suspect(msgspec.Struct, frozen=True):
    mark: UUID
    enrollment: UUID
    crashes: int


async def set_mark(work: Work, enrollments: Sequence[UUID]) -> UUID:
    """Says that this process moves them, through a connection of its own: the batch's holds its locks."""
    mark = uuid7()
    async with _marking(work) as session:
        await session.execute(MARK, {"id": mark, "worker": work.runtime.id, "ids": list(enrollments)})
        await commit(session, Boundary.MOVE_MARKED)
    return mark


async def take_back(work: Work, mark: UUID) -> None:
    """After a batch that did not do it itself; later, when the database is away."""
    work.runtime.left_marks.setdefault(work.account_id, []).append(mark)
    with suppress(SQLAlchemyError, OSError, TimeoutError):
        await clear_marks(work)


async def clear_marks(work: Work) -> None:
    """Take back what could not be taken back when its time was."""
    marks = work.runtime.left_marks.pop(work.account_id, [])
    if not marks:
        return
    try:
        async with _marking(work) as session:
            await session.execute(UNMARK, {"marks": marks})
            await commit(session, Boundary.MOVE_UNMARKED)
    except BaseException:
        work.runtime.left_marks.setdefault(work.account_id, []).extend(marks)
        raise


@asynccontextmanager
async def _marking(work: Work) -> AsyncIterator[AsyncSession]:
    async with work.runtime.marking() as session:
        session.info["account_id"] = work.account_id
        await begin(session)
        yield session


async def any_left_behind(work: Work) -> bool:
    """Whether a dead worker left somebody behind whom nobody else looks at now."""
    found = await Engine(work.session).all(LEFT_BEHIND, gone=work.runtime.settings.gone_seconds)
    if found:
        await work.session.rollback()
    return bool(found)


async def next_suspect(work: Work) -> Suspect | None:
    """One enrollment that a dead worker left behind, taken; None when there is none. Ends the transaction
    when there is one."""
    engine = Engine(work.session)
    settings = work.runtime.settings
    while found := await engine.all(LEFT_BEHIND, gone=settings.gone_seconds):
        left: Any = found[0]
        if len(left.ids) > 1:
            log.warning("batch.left_behind", worker=str(left.worker_id), enrollments=len(left.ids))
            await engine.do(SPLIT, id=left.id, now=work.now)
            await commit(work.session, Boundary.MOVE_SPLIT)
            continue
        taken: Any = (await engine.all(TAKE_ALONE, id=left.id, worker=work.runtime.id))[0]
        await commit(work.session, Boundary.MOVE_TAKEN_ALONE)
        return Suspect(left.id, taken.ids[0], taken.crashes)
    return None
