"""Due enrollments, moved as far as they can go, a batch in one transaction.

A batch that fails is done again in halves until the one that makes it fail stands alone: that one is parked
as failed with its error, the others go on. What is wrong with the database is nobody's fault and is raised.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from app.enrollments.deciding import load, state_of
from app.enrollments.faults import not_now
from app.enrollments.programs import Setting
from app.enrollments.suspects import (
    MOST_CRASHES,
    POISON,
    Poison,
    any_left_behind,
    clear_marks,
    next_suspect,
    set_mark,
    take_back,
)
from app.enrollments.writing import Moves
from app.failpoints import Boundary, commit, step_hit
from app.work import Work
from app.workflows.domain.machine import leave
from app.workflows.domain.outcomes import ExitReason, Status
from app.workflows.domain.version import Program
from db.repositories.around import APPROVALS_CLOSED
from db.repositories.batches import UNMARK
from db.repositories.engine import Engine
from db.repositories.moving import (
    CLAIM_DUE,
    CLAIM_THESE,
    CLOSE_OPEN,
    PARK_POISON,
    Claimed,
)

log = structlog.get_logger(__name__)
BATCH = 500
ALONE_AT_ONCE = 25


async def move_enrollments(work: Work, most: int = BATCH) -> int:
    """Move what is due; how many enrollments were looked at. Each call is one batch of its own, and some of
    those whom a dead worker left behind, one by one."""
    await clear_marks(work)
    looked_at = await _suspects(work) if await any_left_behind(work) else 0
    async with work.runtime.gate.beside():
        rows = await Engine(work.session).structs(Claimed, CLAIM_DUE, now=work.now, most=most)
        if rows:
            mark = await set_mark(work, [row.id for row in rows])
            await _marked(work, rows, mark)
    return looked_at + len(rows)


async def _suspects(work: Work) -> int:
    """One after the other, while this process does nothing else that could be harmed."""
    async with work.runtime.gate.alone():
        for number in range(ALONE_AT_ONCE):
            suspect = await next_suspect(work)
            if suspect is None:
                return number
            rows = await _claim(work, [suspect.enrollment])
            if not rows:  # not due any more
                await take_back(work, suspect.mark)
            elif suspect.crashes >= MOST_CRASHES:
                await _park(work, rows[0], Poison(POISON.format(crashes=suspect.crashes)))
                await take_back(work, suspect.mark)
            else:
                await _marked(work, rows, suspect.mark)
    return ALONE_AT_ONCE


async def _claim(work: Work, ids: Sequence[UUID]) -> Sequence[Claimed]:
    engine = Engine(work.session)
    return await engine.structs(Claimed, CLAIM_THESE, now=work.now, most=len(ids), ids=list(ids))


async def _marked(work: Work, rows: Sequence[Claimed], mark: UUID) -> None:
    try:
        if not await _whole_or_halves(work, rows, mark):
            await take_back(work, mark)
    except BaseException:
        await take_back(work, mark)
        raise


async def _whole_or_halves(work: Work, rows: Sequence[Claimed], mark: UUID | None) -> bool:
    """Whether it went whole: then the mark is gone with it."""
    try:
        await _move(work, rows, mark)
        return True
    except Exception as error:
        await work.session.rollback()
        if not_now(error):
            raise
        ids = [row.id for row in rows]
        if len(ids) == 1:
            await _park(work, rows[0], error)
            return False
        half = len(ids) // 2
        for part in (ids[:half], ids[half:]):
            again = await _claim(work, part)
            await _whole_or_halves(work, again, None)
        return False


async def _park(work: Work, row: Claimed, error: Exception) -> None:
    """As failed, unless it went on after all (the commit was done, and only its answer was lost)."""
    reason = error.orig if isinstance(error, DBAPIError) else error
    said = str(reason) if isinstance(reason, Poison) else f"{type(reason).__name__}: {reason}"[:2000]
    log.error("enrollment.poison", enrollment=str(row.id), error=said)
    engine = Engine(work.session)
    if await engine.all(PARK_POISON, id=row.id, fence=row.fence, error=said, now=work.now):
        await engine.do(CLOSE_OPEN, id=row.id, error=said, now=work.now)
        asked = {"enrollment_id": row.id, "seq": row.seq, "status": "withdrawn"}
        await engine.insert(APPROVALS_CLOSED, [asked])
        moves = Moves()
        moves.end(row, leave(state_of(row), work.now, Status.FAILED, ExitReason.FAILED_PERMANENT, said))
        await moves.write(work, engine)
    await commit(work.session, Boundary.MOVE_PARKED)


async def _move(work: Work, rows: Sequence[Claimed], mark: UUID | None) -> None:
    if not rows:
        return
    engine = Engine(work.session)
    setting = await Setting.of(work)
    known = await load(setting, rows)
    moves = Moves()
    for row in rows:
        step_hit(known.facts.get(row.contact_id))
        decision = known.decide(row, work.now)
        program = known.programs.get((row.workflow_id, row.version))
        moves.add(row, decision, program if isinstance(program, Program) else None)
    await known.keep(engine)
    await moves.write(work, engine, setting)
    if mark is not None:
        await engine.do(UNMARK, marks=[mark])
    await commit(work.session, Boundary.MOVE)
