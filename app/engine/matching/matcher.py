"""Matches new events of an account with its live workflows. Entry point: `match_events`, one batch per call.

1. Claim the oldest unmatched events; one worker at a time per account.
2. The trigger index names candidates: workflows that an event may start.
3. `core.entry_rules` decides on each candidate, in the order of the events.
4. `enroll` stores the decisions and the new enrollments.
5. `segment_membership` updates watched segments, `wake` wakes enrollments that wait for these events, and
   `exits` ends the ones that a step asked to end.
6. Mark the events as matched and commit.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from app.engine.core.entry_rules import EntryDecision, Verdict, decide_entry
from app.engine.core.events import CONTACT_DELETED, EngineEvent, Source
from app.engine.matching.contact_facts import ContactFactsCache
from app.engine.matching.enroll import (
    EntryCandidate,
    count_entries_today,
    read_entry_histories,
    write_decisions,
)
from app.engine.matching.exits import end_requested
from app.engine.matching.segment_membership import update_membership
from app.engine.matching.wake import wake
from app.engine.program_cache import AccountContext, LiveWorkflows
from app.engine.recovery.batch_runner import run_marked, run_suspects_alone
from app.engine.recovery.poison_isolation import PoisonError, has_suspects, remove_left_marks
from app.fault_hook import Boundary, Moment, commit, hit
from app.redaction import redact
from app.work import Work
from db.ids import uuid7
from db.queries.event_matching import (
    ClaimedEvent,
    claim_events_by_id,
    claim_unmatched_events,
    mark_events_matched,
    take_matcher_lock,
    try_matcher_lock,
)
from db.queries.inflight_batches import BatchKind, delete_marks

log = structlog.get_logger(__name__)
BATCH = 500


async def match_events(work: Work, most: int = BATCH) -> int:
    """Matches the oldest unmatched events in one transaction; returns how many there were.

    An event that makes its batch fail is skipped, and an audit entry says why it started no workflow. Events
    that a dead worker left behind come first, one by one."""
    await remove_left_marks(work)
    matching = MatchTask(work)
    async with work.runtime.batch_lock.shared():
        if not await matching.turn():
            return 0
        rows = await claim_unmatched_events(work.session, most)
        if not rows:
            return 0
        if await run_marked(matching, rows):
            return len(rows)
        await work.session.rollback()
    return await run_suspects_alone(matching) if await has_suspects(work, BatchKind.MATCH) else 0


class MatchTask:
    """Matching as `recovery.batch_runner` runs it."""

    kind = BatchKind.MATCH
    poison = "it stopped the worker {crashes} times"

    def __init__(self, work: Work) -> None:
        self.work = work

    async def turn(self) -> bool:
        return await try_matcher_lock(self.work.session)

    async def claim(self, ids: Sequence[UUID]) -> Sequence[ClaimedEvent]:
        await take_matcher_lock(self.work.session)
        return await claim_events_by_id(self.work.session, ids)

    async def run_alone(self, row: ClaimedEvent) -> None:
        await self.run([row], None)

    async def park(self, row: ClaimedEvent, error: Exception) -> None:
        """Skips the event, if it is still unmatched."""
        work = self.work
        for event in await self.claim([row.id]):
            log.error("event.poison", id=str(event.id), error=repr(error))
            _audit_skipped_event(work, event, "could not be matched", error)
            await mark_events_matched(work.session, [event.id], work.now)
        await commit(work.session, Boundary.MATCH_SKIPPED)

    async def run(self, rows: Sequence[ClaimedEvent], mark: UUID | None) -> None:
        work = self.work
        account = await AccountContext.of(work)
        candidates = _entry_candidates(rows, await account.live())
        facts_cache = ContactFactsCache(account)
        if candidates:
            await _decide(work, facts_cache, candidates, alone=len(rows) == 1)
            await write_decisions(work, facts_cache, candidates)
        await update_membership(work, facts_cache, rows)
        await wake(work, facts_cache, rows)
        await end_requested(work, rows)
        await mark_events_matched(work.session, [row.id for row in rows], work.now)
        if mark is not None:
            await delete_marks(work.session, [mark])
        await commit(work.session, Boundary.MATCH)


def _audit_skipped_event(work: Work, event: ClaimedEvent | EngineEvent, what: str, error: Exception) -> None:
    """Writes the audit entry."""
    reason = str(error) if isinstance(error, PoisonError) else redact(repr(error))
    description = f"{event.kind} {what}: {reason}"[:500]
    work.audit("event.skipped", "contact", event.subject_id, {"event": (str(event.id), description)})


def event_of(row: ClaimedEvent) -> EngineEvent:
    """The event of a row."""
    return EngineEvent(row.id, row.kind, Source(row.source), row.subject_id, row.data, row.depth)


def _entry_candidates(rows: Sequence[ClaimedEvent], live: LiveWorkflows) -> list[EntryCandidate]:
    candidates: list[EntryCandidate] = []
    for row in rows:
        event = event_of(row)
        candidates.extend(
            EntryCandidate(event, row.root_event_id, candidate) for candidate in live.index.candidates(event)
        )
    paused = [candidate for candidate in candidates if candidate.pair[0] not in live.accepting]
    for candidate in paused:
        candidate.decision = EntryDecision(Verdict.WORKFLOW_PAUSED, {"source": candidate.event.source.value})
    return candidates


async def _decide(
    work: Work, facts_cache: ContactFactsCache, candidates: Sequence[EntryCandidate], *, alone: bool
) -> None:
    """Decides in the order of the events: a contact that enters by one event is in the workflow at the next.
    If the batch is one event (`alone`), only the workflow that fails is skipped, with an audit entry."""
    undecided = [candidate for candidate in candidates if candidate.decision is None]
    await facts_cache.load(
        ((candidate.event.subject_id, candidate.match.program) for candidate in undecided),
        gone=[
            candidate.event.subject_id for candidate in undecided if candidate.event.kind == CONTACT_DELETED
        ],
    )
    before = await read_entry_histories(work, undecided)
    today = await count_entries_today(work, undecided)
    for candidate in undecided:
        workflow, contact = candidate.pair
        past = before[candidate.pair]
        facts = facts_cache.of(contact, gone=candidate.event.kind == CONTACT_DELETED)
        hit(Moment.MATCH_CONTACT, facts)
        try:
            candidate.decision = decide_entry(
                candidate.match,
                candidate.event,
                past.history,
                facts,
                work.now,
                entries_last_day=today.get(workflow, 0),
            )
        except Exception as error:
            if not alone:
                raise
            log.exception("event.candidate_failed", id=str(candidate.event.id), workflow=str(workflow))
            _audit_skipped_event(work, candidate.event, f"could not start workflow {workflow}", error)
            continue
        if candidate.decision.verdict is Verdict.ENROLLED:
            settings = candidate.match.program.version.settings
            candidate.enrollment = uuid7()
            if settings.settle_seconds:
                candidate.settled_at = work.now + timedelta(seconds=settings.settle_seconds)
            past.entered(candidate)
            today[workflow] = today.get(workflow, 0) + 1
