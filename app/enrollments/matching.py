"""Events to enrollments: who enters which workflow, and why not; and whom a change wakes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import structlog
from msgspec.structs import replace

from app.enrollments.faults import not_now
from app.enrollments.programs import Live, Setting
from app.failpoints import Boundary, commit
from app.work import Work
from app.workflows.domain.entering import Candidate, EntryDecision, History, Verdict, decide_entry
from app.workflows.domain.events import Event, Source
from app.workflows.domain.version import Program
from db.ids import uuid7
from db.repositories.engine import (
    DECIDED,
    ENROLL,
    HISTORY,
    LISTENING,
    MATCHED,
    UNMATCHED,
    WAKE,
    WAKE_ALL_OF,
    Engine,
)

log = structlog.get_logger(__name__)
BATCH = 500
CHANGES = ("contact.created", "contact.updated", "tag.added", "tag.removed")
Pair = tuple[UUID, UUID]


class _Asked(msgspec.Struct):
    """One event and one workflow that may care; `enrollment` is set when the contact enters."""

    event: Event
    root: UUID
    candidate: Candidate
    decision: EntryDecision | None = None
    enrollment: UUID | None = None

    @property
    def pair(self) -> Pair:
        return self.candidate.program.version.workflow_id, self.event.subject_id


async def match_events(work: Work, most: int = BATCH) -> int:
    """Match the oldest events that nobody has seen, in one transaction; how many there were.

    A batch that fails is tried with half as many, down to one: that event is passed over and said so."""
    while True:
        try:
            return await _match(work, most)
        except Exception as error:
            await work.session.rollback()
            if not_now(error):
                raise
            if most == 1:
                return await _pass_over(work, error)
            most //= 2


async def _pass_over(work: Work, error: Exception) -> int:
    engine = Engine(work.session)
    if not await engine.only_matcher():
        return 0
    rows = await engine.all(UNMATCHED, most=1)
    log.error("event.poison", id=str(rows[0].id) if rows else None, error=repr(error))
    await engine.do(MATCHED, ids=[row.id for row in rows], now=work.now)
    await commit(work.session, Boundary.MATCH_PASSED_OVER)
    return len(rows)


async def _match(work: Work, most: int) -> int:
    engine = Engine(work.session)
    if not await engine.only_matcher():
        return 0
    rows = await engine.all(UNMATCHED, most=most)
    if not rows:
        return 0
    setting = await Setting.of(work)
    asked = _ask(rows, await setting.live())
    if asked:
        await _decide(work, setting, asked)
        await _write(work, engine, asked)
    await _wake(work, setting, rows)
    await engine.do(MATCHED, ids=[row.id for row in rows], now=work.now)
    await commit(work.session, Boundary.MATCH)
    return len(rows)


def _ask(rows: Sequence[Any], live: Live) -> list[_Asked]:
    asked: list[_Asked] = []
    for row in rows:
        event = Event(row.id, row.kind, Source(row.source), row.subject_id, row.data, row.depth)
        asked.extend(
            _Asked(event, row.root_event_id, candidate) for candidate in live.index.candidates(event)
        )
    paused = [one for one in asked if one.pair[0] not in live.accepting]
    for one in paused:
        one.decision = EntryDecision(Verdict.WORKFLOW_PAUSED, {"source": one.event.source.value})
    return asked


async def _decide(work: Work, setting: Setting, asked: list[_Asked]) -> None:
    """In the order of events: who enters by one event is in by the next."""
    history = await _history(work, setting.engine, asked)
    facts = await setting.facts(one.event.subject_id for one in asked)
    for one in asked:
        known = facts.get(one.event.subject_id)
        if one.decision is not None or known is None:
            continue
        before = history.get(one.pair, History())
        one.decision = decide_entry(one.candidate, one.event, before, known, work.now)
        if one.decision.verdict is Verdict.ENROLLED:
            one.enrollment = uuid7()
            history[one.pair] = replace(
                before, active=True, entered_before=True, entries_last_hour=before.entries_last_hour + 1
            )


async def _history(work: Work, engine: Engine, asked: list[_Asked]) -> dict[Pair, History]:
    pairs = list({one.pair for one in asked})
    rows = await engine.all(
        HISTORY, workflows=[pair[0] for pair in pairs], contacts=[pair[1] for pair in pairs], now=work.now
    )
    return {
        (row.workflow_id, row.contact_id): History(row.active, True, row.last_ended_at, row.last_hour)
        for row in rows
    }


async def _write(work: Work, engine: Engine, asked: list[_Asked]) -> None:
    entered = await engine.insert(ENROLL, [_enrollment(one) for one in asked if one.enrollment], now=work.now)
    inside = {row.id for row in entered}
    rows = []
    for one in asked:
        if one.decision is None:
            continue
        verdict = one.decision.verdict
        if one.enrollment is not None and one.enrollment not in inside:
            verdict = Verdict.ALREADY_ACTIVE
        rows.append(
            {
                "event_id": one.event.id,
                "workflow_id": one.pair[0],
                "version": one.candidate.program.version.number,
                "contact_id": one.pair[1],
                "verdict": verdict.value,
                "detail": one.decision.detail,
            }
        )
    await engine.insert(DECIDED, rows, now=work.now)


def _enrollment(one: _Asked) -> dict[str, Any]:
    return {
        "id": one.enrollment,
        "workflow_id": one.pair[0],
        "version": one.candidate.program.version.number,
        "contact_id": one.pair[1],
        "event_id": one.event.id,
        "root_event_id": one.root,
        "depth": one.event.depth,
    }


async def _wake(work: Work, setting: Setting, rows: Sequence[Any]) -> None:
    """Goals listen from entry: whoever waits in a version with goals and was changed is looked at now. Those
    whose contact is gone leave."""
    engine = setting.engine
    gone = [row.subject_id for row in rows if row.kind == "contact.deleted"]
    if gone:
        await engine.do(WAKE_ALL_OF, ids=gone, now=work.now)
    changed = list({row.subject_id for row in rows if row.kind in CHANGES})
    waiting = await engine.all(LISTENING, ids=changed, now=work.now) if changed else ()
    programs = await setting.programs((row.workflow_id, row.version) for row in waiting)
    listening = [row.id for row in waiting if _has_goals(programs.get((row.workflow_id, row.version)))]
    if listening:
        await engine.do(WAKE, ids=sorted(listening), now=work.now)


def _has_goals(program: object) -> bool:
    return isinstance(program, Program) and program.has_goals
