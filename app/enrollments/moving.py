"""Due enrollments, moved as far as they can go, a batch in one transaction. One that makes its batch fail is
parked as failed with its error."""

from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from app.enrollments.batches import run_marked, run_suspects
from app.enrollments.deciding import load, state_of
from app.enrollments.programs import Setting
from app.enrollments.suspects import Kind, Poison, any_left_behind, clear_marks
from app.enrollments.writing import Moves
from app.failpoints import Boundary, commit, step_hit
from app.redaction import redact
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


async def move_enrollments(work: Work, most: int = BATCH) -> int:
    """Move what is due; how many enrollments were looked at. Each call is one batch of its own, and some of
    those whom a dead worker left behind, one by one."""
    await clear_marks(work)
    moving = Moving(work)
    looked_at = await run_suspects(moving) if await any_left_behind(work, Kind.MOVE) else 0
    async with work.runtime.gate.beside():
        rows = await Engine(work.session).structs(Claimed, CLAIM_DUE, now=work.now, most=most)
        if rows:
            await run_marked(moving, rows)
    return looked_at + len(rows)


class Moving:
    kind = Kind.MOVE
    poison = (
        "This step stopped the worker {crashes} times. It is not tried again by itself: look at what the "
        "step does with this contact, then retry."
    )

    def __init__(self, work: Work) -> None:
        self.work = work

    async def turn(self) -> bool:
        return True

    async def claim(self, ids: Sequence[UUID]) -> Sequence[Claimed]:
        engine, now = Engine(self.work.session), self.work.now
        return await engine.structs(Claimed, CLAIM_THESE, now=now, most=len(ids), ids=list(ids))

    async def park(self, row: Claimed, error: Exception) -> None:
        """As failed, unless it went on after all (the commit was done, and only its answer was lost)."""
        work = self.work
        reason = error.orig if isinstance(error, DBAPIError) else error
        said = str(reason) if isinstance(reason, Poison) else f"{type(reason).__name__}: {reason}"
        said = redact(said)[:2000]
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

    async def run(self, rows: Sequence[Claimed], mark: UUID | None) -> None:
        work = self.work
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
