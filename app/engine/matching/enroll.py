"""What the matcher reads before it decides and writes after it: the past of each contact in each workflow,
enrollments, and the decisions."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from app.engine.advancing.changeset import ChangeSet
from app.engine.advancing.loader import state_of
from app.engine.core.advance import leave
from app.engine.core.entry_rules import EntryDecision, History, Verdict
from app.engine.core.events import CONTACT_DELETED, Event, carried
from app.engine.core.trigger_index import Candidate
from app.engine.core.types import Decision, ExitReason, Status
from app.engine.matching.contact_facts import People
from app.engine.program_cache import AccountContext
from app.work import Work
from db.ids import uuid7_floor
from db.queries.batch_session import BatchSession
from db.queries.event_matching import (
    COUNT_ENTRIES_TODAY,
    INSERT_DECISIONS,
    INSERT_ENROLLMENTS,
    LOCK_ACTIVE_ENROLLMENTS,
    READ_ENTRY_HISTORIES,
)

WorkflowAndContact = tuple[UUID, UUID]
DAY_AND_MARGIN = timedelta(hours=25)


class EntryCandidate(msgspec.Struct):
    """One event and one workflow that may care. `enrollment` is set when the contact enters; `supersedes`
    are those that are taken out for it; `superseded` that a later event of the batch took out this one."""

    event: Event
    root: UUID
    candidate: Candidate
    decision: EntryDecision | None = None
    enrollment: UUID | None = None
    settled_at: datetime | None = None
    supersedes: list[UUID] = []
    superseded: bool = False

    @property
    def pair(self) -> WorkflowAndContact:
        return self.candidate.program.version.workflow_id, self.event.subject_id


class HourlyEntries(msgspec.Struct):
    """How often one contact entered any workflow within the hour, as the batch goes on."""

    entries: int = 0


class EntryHistory(msgspec.Struct):
    """A contact's past in a workflow, as the batch goes on. `live` are enrollments that have not ended,
    `fresh` those that this batch lets in; `hour` is one for all workflows."""

    hour: HourlyEntries
    here: History = History()
    live: list[UUID] = []
    fresh: list[EntryCandidate] = []

    @property
    def history(self) -> History:
        return replace(self.here, entries_anywhere=self.hour.entries)

    def entered(self, one: EntryCandidate) -> None:
        """The contact enters by it."""
        decision, here = one.decision, self.here
        assert decision is not None  # noqa: S101 -- only who was decided on enters
        live = here.live | {decision.entry_key}
        if decision.supersedes:
            live = frozenset({decision.entry_key})
            one.supersedes, self.live = self.live, []
            for earlier in self.fresh:
                earlier.superseded = True
            self.fresh = []
        self.fresh.append(one)
        self.here = History(live, True, here.last_ended_at, here.entries_last_hour + 1)
        self.hour.entries += 1


async def read_entry_histories(
    work: Work, engine: BatchSession, asked: Sequence[EntryCandidate]
) -> dict[WorkflowAndContact, EntryHistory]:
    """Each contact's past in each workflow."""
    pairs = list({one.pair for one in asked})
    hours = {contact: HourlyEntries() for _, contact in pairs}
    past = {pair: EntryHistory(hours[pair[1]]) for pair in pairs}
    if not pairs:
        return past
    rows = await engine.planned(
        READ_ENTRY_HISTORIES,
        workflows=[pair[0] for pair in pairs],
        contacts=[pair[1] for pair in pairs],
        now=work.now,
    )
    for row in rows:
        one = past[row.workflow_id, row.contact_id]
        one.here = History(frozenset(row.keys or ()), row.entered_before, row.last_ended_at, row.last_hour)
        one.live, one.hour.entries = list(row.live or ()), row.last_hour_anywhere
    return past


async def count_entries_today(
    work: Work, engine: BatchSession, asked: Sequence[EntryCandidate]
) -> dict[UUID, int]:
    """How many entered each workflow that has a cap, in the last 24 hours; counted up to the cap."""
    caps = {one.pair[0]: cap for one in asked if (cap := one.candidate.program.version.settings.entry_cap)}
    if not caps:
        return {}
    rows = await engine.all(
        COUNT_ENTRIES_TODAY,
        workflows=list(caps),
        caps=list(caps.values()),
        since=uuid7_floor(work.now - work.runtime.clock.offset - DAY_AND_MARGIN),
        now=work.now,
    )
    return {row.id: row.entered for row in rows}


async def write_decisions(work: Work, people: People, asked: Sequence[EntryCandidate]) -> None:
    """Takes out whom a restart supersedes, lets in who enters, and notes every decision."""
    engine = people.setting.engine
    out = [enrollment for one in asked for enrollment in one.supersedes]
    if out:
        await end_enrollments(work, engine, out, ExitReason.SUPERSEDED)
    entered = await engine.insert(
        INSERT_ENROLLMENTS, [_enrollment_row(one) for one in asked if one.enrollment], now=work.now
    )
    inside = {row.id for row in entered}
    await _end_superseded(work, people.setting, asked, entered)
    people.entered(one.event.subject_id for one in asked if one.enrollment)
    rows = [_decision_row(one, inside) for one in asked if one.decision is not None]
    await engine.insert(INSERT_DECISIONS, rows, now=work.now)


async def _end_superseded(
    work: Work, setting: AccountContext, asked: Sequence[EntryCandidate], entered: Sequence[Any]
) -> None:
    """The end of those whom the same batch let in and took out again is told like that of others."""
    superseded = {one.enrollment for one in asked if one.superseded}
    moves = ChangeSet()
    for row in entered:
        if row.id in superseded:
            moves.end(row, Decision(Status.EXITED, None, 0, exit_reason=ExitReason.SUPERSEDED))
    if moves.ended:
        await moves.write(work, setting.engine, setting)


async def end_enrollments(work: Work, engine: BatchSession, ids: Sequence[UUID], reason: ExitReason) -> None:
    """Ends those of these enrollments that still live; what they have not sent is not sent."""
    moves = ChangeSet()
    for row in await engine.all(LOCK_ACTIVE_ENROLLMENTS, ids=sorted(ids)):
        moves.add(row, leave(state_of(row), work.now, Status.EXITED, reason), None)
    await moves.write(work, engine)


def _decision_row(one: EntryCandidate, inside: set[UUID]) -> dict[str, Any]:
    decision = one.decision
    assert decision is not None  # noqa: S101 -- the caller picked those that were decided
    verdict, detail = decision.verdict, decision.detail
    if one.enrollment is not None and one.enrollment not in inside:
        verdict = Verdict.ALREADY_ACTIVE
    if decision.entry_key:
        detail = detail | {"entry_key": decision.entry_key}
    if one.supersedes:
        detail = detail | {"superseded": [str(enrollment) for enrollment in one.supersedes]}
    return {
        "event_id": one.event.id,
        "workflow_id": one.pair[0],
        "version": one.candidate.program.version.number,
        "contact_id": one.pair[1],
        "verdict": verdict.value,
        "detail": detail,
    }


def _enrollment_row(one: EntryCandidate) -> dict[str, Any]:
    said = carried(one.event)
    return {
        "id": one.enrollment,
        "workflow_id": one.pair[0],
        "version": one.candidate.program.version.number,
        "contact_id": one.pair[1],
        "event_id": one.event.id,
        "root_event_id": one.root,
        "depth": one.event.depth,
        "entry_key": one.decision.entry_key if one.decision else "",
        "data": {"event": said} if said else {},
        "of_deleted": one.event.kind == CONTACT_DELETED,
        "superseded": one.superseded,
        "settled_at": one.settled_at,
    }
