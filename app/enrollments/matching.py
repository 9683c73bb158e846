"""Events to enrollments: who enters which workflow, and why not; and whom a change wakes."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog

from app.enrollments.faults import not_now
from app.enrollments.known import People
from app.enrollments.leaving import take_out_asked
from app.enrollments.letting_in import Asked, before_now, entered_today, write
from app.enrollments.programs import Live, Setting
from app.enrollments.segments import hear
from app.enrollments.waking import wake
from app.failpoints import Boundary, commit
from app.work import Work
from app.workflows.domain.entering import EntryDecision, Verdict, decide_entry
from app.workflows.domain.events import CONTACT_DELETED, Event, Source
from db.ids import uuid7
from db.repositories.engine import Engine
from db.repositories.entering import MATCHED, UNMATCHED

log = structlog.get_logger(__name__)
BATCH = 500


async def match_events(work: Work, most: int = BATCH) -> int:
    """Match the oldest events that nobody has seen, in one transaction; how many there were.

    A batch that fails is tried with half as many, down to one: that event is passed over, and the audit says
    why nobody entered by it."""
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
    for row in rows:
        log.error("event.poison", id=str(row.id), error=repr(error))
        said = f"{row.kind} could not be matched: {error!r}"[:500]
        work.audit("event.passed_over", "contact", row.subject_id, {"event": (str(row.id), said)})
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
    people = People(setting)
    if asked:
        await _decide(work, people, asked)
        await write(work, people, asked)
    await hear(work, people, rows)
    await wake(work, people, rows)
    await take_out_asked(work, engine, rows)
    await engine.do(MATCHED, ids=[row.id for row in rows], now=work.now)
    await commit(work.session, Boundary.MATCH)
    return len(rows)


def event_of(row: Any) -> Event:
    """An event as it was read."""
    return Event(row.id, row.kind, Source(row.source), row.subject_id, row.data, row.depth)


def _ask(rows: Sequence[Any], live: Live) -> list[Asked]:
    asked: list[Asked] = []
    for row in rows:
        event = event_of(row)
        asked.extend(Asked(event, row.root_event_id, found) for found in live.index.candidates(event))
    paused = [one for one in asked if one.pair[0] not in live.accepting]
    for one in paused:
        one.decision = EntryDecision(Verdict.WORKFLOW_PAUSED, {"source": one.event.source.value})
    return asked


async def _decide(work: Work, people: People, asked: Sequence[Asked]) -> None:
    """In the order of events: who enters by one event is in by the next."""
    open_ones = [one for one in asked if one.decision is None]
    await people.load(
        ((one.event.subject_id, one.candidate.program) for one in open_ones),
        gone=[one.event.subject_id for one in open_ones if one.event.kind == CONTACT_DELETED],
    )
    before = await before_now(work, people.setting.engine, open_ones)
    today = await entered_today(work, people.setting.engine, open_ones)
    for one in open_ones:
        workflow, contact = one.pair
        past = before[one.pair]
        one.decision = decide_entry(
            one.candidate,
            one.event,
            past.history,
            people.of(contact, gone=one.event.kind == CONTACT_DELETED),
            work.now,
            entries_last_day=today.get(workflow, 0),
        )
        if one.decision.verdict is Verdict.ENROLLED:
            settings = one.candidate.program.version.settings
            one.enrollment = uuid7()
            if settings.settle_seconds:
                one.settled_at = work.now + timedelta(seconds=settings.settle_seconds)
            past.entered(one)
            today[workflow] = today.get(workflow, 0) + 1
