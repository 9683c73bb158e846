"""Due enrollments, moved as far as they can go, a batch in one transaction.

A batch that fails is done again in halves until the one that makes it fail stands alone: that one is parked
as failed with its error, the others go on. What is wrong with the database is nobody's fault and is raised.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

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
from app.filters.facts import Facts
from app.work import Work
from app.workflows.domain.machine import advance, leave
from app.workflows.domain.outcomes import (
    Decision,
    EffectOutcome,
    Enrollment,
    ExitReason,
    Status,
    WaitReason,
)
from app.workflows.domain.steps import AddTag, RemoveTag, UpdateField
from app.workflows.domain.version import CompileError, Program
from db.repositories.batches import UNMARK
from db.repositories.engine import Engine
from db.repositories.moving import (
    CLAIM_DUE,
    CLAIM_THESE,
    CLOSE_OPEN,
    EFFECTS_OF,
    PARK_POISON,
)

log = structlog.get_logger(__name__)
BATCH = 500
ALONE_AT_ONCE = 25
_ON_EFFECT = ("effect", "retry", "hold")
# What the ledger says, as `advance` reads it; an effect under way is as good as not begun.
_OUTCOMES = {"claimed": "pending", "cancelled": "failed_permanent"}
Programs = Mapping[tuple[UUID, int], Program | CompileError]


async def move_enrollments(work: Work, most: int = BATCH) -> int:
    """Move what is due; how many enrollments were looked at. Each call is one batch of its own, and some of
    those whom a dead worker left behind, one by one."""
    await clear_marks(work)
    looked_at = await _suspects(work) if await any_left_behind(work) else 0
    async with work.runtime.gate.beside():
        rows = await Engine(work.session).all(CLAIM_DUE, now=work.now, most=most)
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


async def _claim(work: Work, ids: Sequence[UUID]) -> Sequence[Any]:
    return await Engine(work.session).all(CLAIM_THESE, now=work.now, most=len(ids), ids=list(ids))


async def _marked(work: Work, rows: Sequence[Any], mark: UUID) -> None:
    try:
        if not await _whole_or_halves(work, rows, mark):
            await take_back(work, mark)
    except BaseException:
        await take_back(work, mark)
        raise


async def _whole_or_halves(work: Work, rows: Sequence[Any], mark: UUID | None) -> bool:
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


async def _park(work: Work, row: Any, error: Exception) -> None:
    """As failed, unless it went on after all (the commit was done, and only its answer was lost)."""
    reason = error.orig if isinstance(error, DBAPIError) else error
    said = str(reason) if isinstance(reason, Poison) else f"{type(reason).__name__}: {reason}"[:2000]
    log.error("enrollment.poison", enrollment=str(row.id), error=said)
    engine = Engine(work.session)
    if await engine.all(PARK_POISON, id=row.id, seq=row.seq, error=said, now=work.now):
        await engine.do(CLOSE_OPEN, id=row.id, error=said, now=work.now)
    await commit(work.session, Boundary.MOVE_PARKED)


async def _move(work: Work, rows: Sequence[Any], mark: UUID | None) -> None:
    if not rows:
        return
    engine = Engine(work.session)
    setting = await Setting.of(work)
    programs = await setting.programs((row.workflow_id, row.version) for row in rows)
    facts = await setting.facts(
        (row.contact_id for row in rows),
        lock=(
            row.contact_id for row in rows if changes_contacts(programs.get((row.workflow_id, row.version)))
        ),
    )
    effects = await _effects(engine, rows)
    moves = Moves()
    for row in rows:
        program = programs.get((row.workflow_id, row.version))
        step_hit(facts.get(row.contact_id))
        decision = _decide(work, row, program, facts, effects)
        moves.add(row, decision, program if isinstance(program, Program) else None)
    await moves.write(work, engine)
    if mark is not None:
        await engine.do(UNMARK, marks=[mark])
    await commit(work.session, Boundary.MOVE)


def changes_contacts(program: Program | CompileError | None) -> bool:
    """Whether a step of it writes to the contact: then the contact is locked while steps are decided."""
    return isinstance(program, Program) and any(
        isinstance(node.config, AddTag | RemoveTag | UpdateField) for node in program.nodes
    )


def _decide(
    work: Work,
    row: Any,
    program: Program | CompileError | None,
    facts: Mapping[UUID, Facts],
    effects: Mapping[UUID, EffectOutcome],
) -> Decision:
    state = Enrollment(
        row.id,
        row.contact_id,
        row.step_key,
        row.seq,
        WaitReason(row.wait_reason) if row.wait_reason else None,
        row.wait_until,
        row.goal_key,
        effects.get(row.id),
    )
    known = facts.get(row.contact_id)
    if known is None:
        return leave(state, work.now, Status.EXITED, ExitReason.SUBJECT_DELETED)
    if row.workflow_status == "archived":
        return leave(state, work.now, Status.EXITED, ExitReason.WORKFLOW_ARCHIVED)
    if not isinstance(program, Program):
        said = str(program or "The version is gone.")
        return leave(state, work.now, Status.FAILED, ExitReason.FAILED_PERMANENT, said)
    return advance(program, state, known, work.now)


async def _effects(engine: Engine, rows: Sequence[Any]) -> dict[UUID, EffectOutcome]:
    waiting = [row for row in rows if row.wait_reason in _ON_EFFECT]
    if not waiting:
        return {}
    found = await engine.all(EFFECTS_OF, ids=[row.id for row in waiting], seqs=[row.seq for row in waiting])
    return {row.enrollment_id: _outcome(row) for row in found}


def _outcome(row: Any) -> EffectOutcome:
    status: Any = _OUTCOMES.get(row.status, row.status)
    next_at = row.due_at if status == "retry" else None
    return EffectOutcome(status, next_at, row.error, row.result or {})
