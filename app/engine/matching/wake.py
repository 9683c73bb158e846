"""Wakes waiting enrollments: those that wait for an event, those whose goal or condition it made true, and
those whose contact was deleted. Entry point: `wake`."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.engine.core.events import CONTACT_DELETED, EngineEvent, Source, index_keys_of
from app.engine.core.steps import Wait
from app.engine.core.timing.wait_times import wait_end_changed
from app.engine.core.types import WaitReason
from app.engine.core.version import Program
from app.engine.matching.contact_facts import ContactFactsCache
from app.filters.facts import Facts
from app.work import Work
from db.queries.enrollment_wake import (
    ActiveEnrollment,
    EndedWait,
    end_event_waits,
    lock_enrollments,
    read_active_enrollments,
    wake_enrollments,
    wake_enrollments_of_contacts,
)
from db.queries.event_matching import ClaimedEvent

# Every change of the contact. Only these can make a filter true, except filters on workflows or on history.
CONTACT_CHANGES = ("contact.created", "contact.updated", "tag.added", "tag.removed")
# Waits that a goal can interrupt. An effect in doubt is not one of them: a member settles it. Whether a call
# is under way, which is never cut off, is checked when the enrollment advances.
_INTERRUPTIBLE = frozenset(
    {
        WaitReason.TIMER,
        WaitReason.WINDOW,
        WaitReason.EVENT,
        WaitReason.CONDITION,
        WaitReason.APPROVAL,
        WaitReason.DRIP_SLOT,
        WaitReason.EFFECT,
        WaitReason.RETRY,
        WaitReason.BREAKER_OPEN,
    }
)


class _ContactEvents:
    """The events of one contact in this batch, with the time of each."""

    def __init__(self) -> None:
        self.events: list[tuple[EngineEvent, datetime]] = []
        self.kinds: set[str] = set()
        self.offers: set[tuple[str, str]] = set()

    def add(self, event: EngineEvent, at: datetime) -> None:
        self.events.append((event, at))
        self.kinds.add(event.kind)
        self.offers.update(index_keys_of(event))

    def concerns(self, program: Program) -> bool:
        """Whether these events can wake an enrollment of this program."""
        return not self.offers.isdisjoint(program.listens) or (program.watches and self.changes(program))

    def changes(self, program: Program) -> bool:
        """Whether a filter of the program may give another answer now. For filters on history or workflows
        any event may change it."""
        return (
            bool(program.asks_history) or program.asks_workflows or not self.kinds.isdisjoint(CONTACT_CHANGES)
        )


async def wake(work: Work, facts_cache: ContactFactsCache, rows: Sequence[ClaimedEvent]) -> None:
    """Makes the enrollments due that these events wake."""
    gone = [row.subject_id for row in rows if row.kind == CONTACT_DELETED]
    if gone:
        await wake_enrollments_of_contacts(work.session, gone, work.now)
    events_by_contact: dict[UUID, _ContactEvents] = {}
    for claimed in rows:
        event = EngineEvent(
            claimed.id,
            claimed.kind,
            Source(claimed.source),
            claimed.subject_id,
            claimed.data,
            claimed.depth,
        )
        events_by_contact.setdefault(event.subject_id, _ContactEvents()).add(event, claimed.occurred_at)
    waits = await _settled_waits(work, facts_cache, events_by_contact)
    if not waits:
        return
    await facts_cache.load((row.contact_id, program) for row, program in waits)
    woken: list[UUID] = []
    fulfilled: list[EndedWait] = []
    for row, program in waits:
        facts = facts_cache.of(row.contact_id)
        if facts is None:
            continue
        event_id = _awaited_event(row, program, events_by_contact[row.contact_id], facts, work.now)
        if event_id is not None:
            fulfilled.append(EndedWait(row.id, row.seq, event_id))
        elif events_by_contact[row.contact_id].changes(program) and _would_advance(
            row, program, facts, work.now
        ):
            woken.append(row.id)
    if fulfilled or woken:  # in one order, as everywhere where several are locked
        await lock_enrollments(work.session, [*(wait.id for wait in fulfilled), *woken])
    await end_event_waits(work.session, fulfilled, work.now)
    if woken:
        await wake_enrollments(work.session, woken, work.now)


async def _settled_waits(
    work: Work, facts_cache: ContactFactsCache, events_by_contact: dict[UUID, _ContactEvents]
) -> list[tuple[ActiveEnrollment, Program]]:
    """The waiting enrollments that these events may wake. Enrollments that a worker is advancing are waited
    for: they may come to wait for one of these events in this very moment."""
    concerned = await _concerned_waits(work, facts_cache, events_by_contact)
    due_ids = [row.id for row, _ in concerned if row.due]
    if due_ids:
        await lock_enrollments(work.session, due_ids)
        concerned = await _concerned_waits(work, facts_cache, events_by_contact)
    return [(row, program) for row, program in concerned if row.wait_reason in _INTERRUPTIBLE]


async def _concerned_waits(
    work: Work, facts_cache: ContactFactsCache, events_by_contact: dict[UUID, _ContactEvents]
) -> list[tuple[ActiveEnrollment, Program]]:
    rows = await read_active_enrollments(work.session, list(events_by_contact), work.now)
    programs = await facts_cache.account.programs((row.workflow_id, row.version) for row in rows)
    concerned: list[tuple[ActiveEnrollment, Program]] = []
    for row in rows:
        program = programs.get((row.workflow_id, row.version))
        if isinstance(program, Program) and events_by_contact[row.contact_id].concerns(program):
            concerned.append((row, program))
    return concerned


def _awaited_event(
    row: ActiveEnrollment, program: Program, contact_events: _ContactEvents, facts: Facts, now: datetime
) -> UUID | None:
    """The id of the first event that the enrollment waits for: of its kind, about its subject, after the wait
    began and before its end, however late it is matched. Events of the batch in which the wait began
    carry the same time as its start and do not count."""
    began, until = row.started_at, row.wait_until
    if row.wait_reason != WaitReason.EVENT or began is None or until is None or row.step_key is None:
        return None
    place = program.by_key.get(row.step_key)
    for event, at in contact_events.events:
        awaited = any(place in program.listens.get(pair, ()) for pair in index_keys_of(event))
        if not awaited or place is None or not began < at <= until:
            continue
        match = program.nodes[place].match
        if match is None or match(facts, now):
            return event.id
    return None


def _would_advance(row: ActiveEnrollment, program: Program, facts: Facts, now: datetime) -> bool:
    """Whether the enrollment would advance if it were due: a goal is met, a condition holds, the date it
    waits for has changed, or the entry condition no longer holds. `advance` checks the same again."""
    if program.stay_match is not None and not program.stay_match(facts, now):
        return True
    nodes = program.nodes
    node = nodes[program.by_key[row.step_key]] if row.step_key in program.by_key else None
    if row.wait_reason == WaitReason.CONDITION:
        match = node.match if node is not None else None
        if match is None or match(facts, now):
            return True
    wait = node.config if row.wait_reason == WaitReason.TIMER and node is not None else None
    if isinstance(wait, Wait) and wait_end_changed(wait, row.wait_until, now, facts):
        return True
    return any((match := nodes[goal].match) is not None and match(facts, now) for goal in program.goals)


__all__ = ["wake"]
