"""Due enrollments, moved as far as they can go, a batch in one transaction. One that makes its batch fail is
parked as failed with its error."""

from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from app.engine.advancing.changeset import Moves
from app.engine.advancing.loader import load, state_of
from app.engine.core.advance import leave
from app.engine.core.step_titles import titles
from app.engine.core.types import ExitReason, Status
from app.engine.core.version import Program
from app.engine.program_cache import Setting
from app.engine.recovery.batch_runner import run_marked, run_suspects
from app.engine.recovery.poison_isolation import Kind, Poison, any_left_behind, clear_marks
from app.failpoints import Boundary, commit, step_hit
from app.redaction import redact
from app.work import Work
from db.queries.batch_session import Engine
from db.queries.enrollment_batches import (
    CLAIM_DUE,
    CLAIM_THESE,
    CLOSE_OPEN,
    FAILED_VISIT,
    PARK_POISON,
    Claimed,
)
from db.queries.inflight_batches import UNMARK
from db.queries.step_side_effects import APPROVALS_CLOSED

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
    # Filled in twice: what the batches know, then the step.
    poison = (
        "The step “{{step}}” stopped the worker {crashes} times. It is not tried again by itself: look at "
        "what the step does with this contact, then retry."
    )

    def __init__(self, work: Work) -> None:
        self.work = work

    async def turn(self) -> bool:
        return True

    async def claim(self, ids: Sequence[UUID]) -> Sequence[Claimed]:
        engine, now = Engine(self.work.session), self.work.now
        return await engine.structs(Claimed, CLAIM_THESE, now=now, most=len(ids), ids=list(ids))

    async def park(self, row: Claimed, error: Exception) -> None:
        """As failed at the step where it stands, unless it went on after all (the commit was done, and only
        its answer was lost)."""
        work = self.work
        engine = Engine(work.session)
        step, kind, title = await self._step_of(row)
        reason = error.orig if isinstance(error, DBAPIError) else error
        said = f"{type(reason).__name__}: {reason}"
        if isinstance(reason, Poison):
            said = str(reason).format(step=title)
        said = redact(said)[:2000]
        log.error("enrollment.poison", enrollment=str(row.id), step=step, error=said)
        visit = row.wait_reason is None and kind != ""  # it was not begun: the path names it all the same
        where = {"id": row.id, "fence": row.fence, "step": step, "visits": int(visit)}
        if await engine.all(PARK_POISON, **where, error=said, now=work.now):
            await engine.do(CLOSE_OPEN, id=row.id, error=said, now=work.now)
            if visit:
                await engine.do(FAILED_VISIT, id=row.id, step=step, kind=kind, error=said, now=work.now)
            asked = {"enrollment_id": row.id, "seq": row.seq, "status": "withdrawn"}
            await engine.insert(APPROVALS_CLOSED, [asked])
            moves = Moves()
            moves.end(row, leave(state_of(row), work.now, Status.FAILED, ExitReason.FAILED_PERMANENT, said))
            await moves.write(work, engine)
        await commit(work.session, Boundary.MOVE_PARKED)

    async def _step_of(self, row: Claimed) -> tuple[str | None, str, str]:
        """Key, kind and title of the step where it stands, or of the first one before it began."""
        setting = await Setting.of(self.work)
        version = (row.workflow_id, row.version)
        program = (await setting.programs([version])).get(version)
        if not isinstance(program, Program) or not program.nodes:
            return row.step_key, "", row.step_key or ""
        node = program.nodes[program.by_key.get(row.step_key or "", program.start)]
        return node.key, node.kind, titles(program.version).get(node.key, node.key)

    async def run_alone(self, row: Claimed) -> None:
        while True:
            goes_on = await self._run([row], None, one_step=True)
            rows = await self.claim([row.id]) if goes_on else ()
            if not rows:
                return
            row = rows[0]

    async def run(self, rows: Sequence[Claimed], mark: UUID | None) -> None:
        await self._run(rows, mark)

    async def _run(self, rows: Sequence[Claimed], mark: UUID | None, *, one_step: bool = False) -> bool:
        """Whether one of them stands before its next step."""
        work = self.work
        engine = Engine(work.session)
        setting = await Setting.of(work)
        known = await load(setting, rows)
        moves, goes_on = Moves(), False
        for row in rows:
            step_hit(known.facts.get(row.contact_id))
            decision = known.decide(row, work.now, one_step)
            goes_on = goes_on or (decision.status is Status.ACTIVE and decision.wait_reason is None)
            program = known.programs.get((row.workflow_id, row.version))
            moves.add(row, decision, program if isinstance(program, Program) else None)
        await known.keep(engine)
        await moves.write(work, engine, setting)
        if mark is not None:
            await engine.do(UNMARK, marks=[mark])
        await commit(work.session, Boundary.MOVE)
        return goes_on
