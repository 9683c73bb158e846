"""What the matcher reads before it decides (each contact's history in each workflow) and what it writes after
(decisions, enrollments, and the end of enrollments)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec.structs import replace

from app.engine.advancing.changeset import ChangeSet
from app.engine.advancing.loader import state_of
from app.engine.core.advance import leave
from app.engine.core.entry_rules import EntryDecision, History, Verdict
from app.engine.core.events import CONTACT_DELETED, EngineEvent, stored_event_data
from app.engine.core.trigger_index import Candidate
from app.engine.core.types import Decision, ExitReason, Status
from app.engine.matching.contact_facts import ContactFactsCache
from app.engine.program_cache import AccountContext
from app.work import Work
from db.ids import uuid7_floor
from db.queries.enrollment_batches import EnrolledContact, lock_active_enrollments
from db.queries.workflow_entries import (
    NewDecision,
    NewEnrollment,
    count_recent_entries,
    insert_decisions,
    insert_enrollments,
    read_histories,
)

WorkflowAndContact = tuple[UUID, UUID]
DAY_AND_MARGIN = timedelta(hours=25)


class EntryCandidate(msgspec.Struct):
    """One event and one workflow that it may start. `enrollment` is the id of the new enrollment, if the
    contact enters; `supersedes` are the enrollments that end for it; `superseded` says that a later event of
    the same batch ended this one."""

    event: EngineEvent
    root: UUID
    match: Candidate
    decision: EntryDecision | None = None
    enrollment: UUID | None = None
    settled_at: datetime | None = None
    supersedes: list[UUID] = []
    superseded: bool = False

    @property
    def pair(self) -> WorkflowAndContact:
        return self.match.program.version.workflow_id, self.event.subject_id


class HourlyEntries(msgspec.Struct):
    """How often one contact entered any workflow within the last hour, this batch included."""

    entries: int = 0


class EntryHistory(msgspec.Struct):
    """A contact's history in one workflow, this batch included. `live` are enrollments that have not ended,
    `fresh` those that this batch starts; `hour` is shared by all workflows of the contact."""

    hour: HourlyEntries
    here: History = History()
    live: list[UUID] = []
    fresh: list[EntryCandidate] = []

    @property
    def history(self) -> History:
        return replace(self.here, entries_anywhere=self.hour.entries)

    def entered(self, candidate: EntryCandidate) -> None:
        """Adds the candidate by which the contact enters."""
        decision, here = candidate.decision, self.here
        assert decision is not None  # noqa: S101 -- only a decided candidate enters
        live = here.live | {decision.entry_key}
        if decision.supersedes:
            live = frozenset({decision.entry_key})
            candidate.supersedes, self.live = self.live, []
            for earlier in self.fresh:
                earlier.superseded = True
            self.fresh = []
        self.fresh.append(candidate)
        self.here = History(live, True, here.last_ended_at, here.entries_last_hour + 1)
        self.hour.entries += 1


async def read_entry_histories(
    work: Work, candidates: Sequence[EntryCandidate]
) -> dict[WorkflowAndContact, EntryHistory]:
    """The history of each candidate's contact in its workflow."""
    pairs = list({candidate.pair for candidate in candidates})
    hours = {contact: HourlyEntries() for _, contact in pairs}
    histories = {pair: EntryHistory(hours[pair[1]]) for pair in pairs}
    if not pairs:
        return histories
    for row in await read_histories(work.session, pairs, work.now):
        history = histories[row.workflow_id, row.contact_id]
        history.here = History(
            frozenset(row.keys or ()), row.entered_before, row.last_ended_at, row.last_hour
        )
        history.live, history.hour.entries = list(row.live or ()), row.last_hour_anywhere
    return histories


async def count_entries_today(work: Work, candidates: Sequence[EntryCandidate]) -> dict[UUID, int]:
    """Entries of the last 24 hours into each workflow that has an entry cap; counted up to the cap."""
    caps = {
        candidate.pair[0]: cap
        for candidate in candidates
        if (cap := candidate.match.program.version.settings.entry_cap)
    }
    if not caps:
        return {}
    since = uuid7_floor(work.now - work.runtime.clock.offset - DAY_AND_MARGIN)
    return await count_recent_entries(work.session, caps, since, work.now)


async def write_decisions(
    work: Work, facts_cache: ContactFactsCache, candidates: Sequence[EntryCandidate]
) -> None:
    """Ends superseded enrollments, inserts the new ones, and stores every decision."""
    out = [enrollment for candidate in candidates for enrollment in candidate.supersedes]
    if out:
        await end_enrollments(work, out, ExitReason.SUPERSEDED)
    enrollments = [
        _enrollment_row(candidate, candidate.enrollment) for candidate in candidates if candidate.enrollment
    ]
    entered = await insert_enrollments(work.session, enrollments, work.now)
    inside = {row.id for row in entered}
    await _end_superseded(work, facts_cache.account, candidates, entered)
    facts_cache.entered(candidate.event.subject_id for candidate in candidates if candidate.enrollment)
    rows = [_decision_row(candidate, inside) for candidate in candidates if candidate.decision is not None]
    await insert_decisions(work.session, rows, work.now)


async def _end_superseded(
    work: Work,
    account: AccountContext,
    candidates: Sequence[EntryCandidate],
    entered: Sequence[EnrolledContact],
) -> None:
    """Emits the end of enrollments that this batch both started and superseded."""
    superseded = {candidate.enrollment for candidate in candidates if candidate.superseded}
    changes = ChangeSet()
    for row in entered:
        if row.id in superseded:
            changes.end(row, Decision(Status.EXITED, None, 0, exit_reason=ExitReason.SUPERSEDED))
    if changes.ended:
        await changes.write(work, account)


async def end_enrollments(work: Work, ids: Sequence[UUID], reason: ExitReason) -> None:
    """Ends those of these enrollments that are still active, and cancels what they have not sent."""
    changes = ChangeSet()
    for row in await lock_active_enrollments(work.session, sorted(ids)):
        changes.add(row, leave(state_of(row), work.now, Status.EXITED, reason))
    await changes.write(work)


def _decision_row(candidate: EntryCandidate, inserted: set[UUID]) -> NewDecision:
    decision = candidate.decision
    assert decision is not None  # noqa: S101 -- the caller passes decided candidates only
    verdict, detail = decision.verdict, decision.detail
    if candidate.enrollment is not None and candidate.enrollment not in inserted:
        verdict = Verdict.ALREADY_ACTIVE
    if decision.entry_key:
        detail = detail | {"entry_key": decision.entry_key}
    if candidate.supersedes:
        detail = detail | {"superseded": [str(enrollment) for enrollment in candidate.supersedes]}
    return NewDecision(
        event_id=candidate.event.id,
        workflow_id=candidate.pair[0],
        version=candidate.match.program.version.number,
        contact_id=candidate.pair[1],
        verdict=verdict.value,
        detail=detail,
    )


def _enrollment_row(candidate: EntryCandidate, enrollment: UUID) -> NewEnrollment:
    event_data = stored_event_data(candidate.event)
    return NewEnrollment(
        id=enrollment,
        workflow_id=candidate.pair[0],
        version=candidate.match.program.version.number,
        contact_id=candidate.pair[1],
        event_id=candidate.event.id,
        root_event_id=candidate.root,
        depth=candidate.event.depth,
        entry_key=candidate.decision.entry_key if candidate.decision else "",
        data={"event": event_data} if event_data else {},
        contact_deleted=candidate.event.kind == CONTACT_DELETED,
        superseded=candidate.superseded,
        settled_at=candidate.settled_at,
    )
