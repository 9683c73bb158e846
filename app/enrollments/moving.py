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
from app.enrollments.writing import Moves
from app.failpoints import Boundary, commit
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
_ON_EFFECT = ("effect", "retry", "hold")
# What the ledger says, as `advance` reads it; an effect under way is as good as not begun.
_OUTCOMES = {"claimed": "pending", "cancelled": "failed_permanent"}
Programs = Mapping[tuple[UUID, int], Program | CompileError]


async def move_enrollments(work: Work, most: int = BATCH) -> int:
    """Move what is due; how many enrollments were looked at. Each call is one batch of its own."""
    engine = Engine(work.session)
    rows = await engine.all(CLAIM_DUE, now=work.now, most=most)
    if not rows:
        return 0
    await _whole_or_halves(work, rows)
    return len(rows)


async def _whole_or_halves(work: Work, rows: Sequence[Any]) -> None:
    try:
        await _move(work, rows)
    except Exception as error:
        await work.session.rollback()
        if not_now(error):
            raise
        ids = [row.id for row in rows]
        if len(ids) == 1:
            await _park(work, ids[0], error)
            return
        half = len(ids) // 2
        for part in (ids[:half], ids[half:]):
            again = await Engine(work.session).all(CLAIM_THESE, now=work.now, most=len(part), ids=part)
            await _whole_or_halves(work, again)


async def _park(work: Work, enrollment_id: UUID, error: Exception) -> None:
    reason = error.orig if isinstance(error, DBAPIError) else error
    said = f"{type(reason).__name__}: {reason}"[:2000]
    log.error("enrollment.poison", enrollment=str(enrollment_id), error=said)
    engine = Engine(work.session)
    await engine.do(CLOSE_OPEN, id=enrollment_id, error=said, now=work.now)
    await engine.do(PARK_POISON, id=enrollment_id, error=said, now=work.now)
    await commit(work.session, Boundary.MOVE_PARKED)


async def _move(work: Work, rows: Sequence[Any]) -> None:
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
        decision = _decide(work, row, program, facts, effects)
        moves.add(row, decision, program if isinstance(program, Program) else None)
    await moves.write(work, engine)
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
