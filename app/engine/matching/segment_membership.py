"""Keeps the members of watched segments up to date. `update_membership` compares the contacts of a batch of
events; `compare_due_segment` compares all contacts every 15 minutes, because a filter may turn true by time
alone."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement

from app.engine.core.events import MANUAL, SEGMENT_ENTERED, SEGMENT_LEFT
from app.engine.matching.contact_facts import ContactFactsCache
from app.engine.program_cache import AccountContext
from app.engine.recovery.transient_errors import is_transient
from app.filters.stored import decode_filter
from app.redaction import redact
from app.work import Work
from db.filters import where
from db.ids import uuid7
from db.models import Contact
from db.queries.event_matching import ClaimedEvent, take_matcher_lock
from db.queries.new_events import NewEvent, insert_events
from db.queries.segment_members import (
    NEVER_COMPARED,
    DueSegment,
    WatchedMember,
    claim_due_segment,
    delete_members,
    fill_segment,
    find_compared_segments,
    find_former_members,
    find_new_members,
    insert_members,
    read_members,
    set_next_comparison,
)

log = structlog.get_logger(__name__)
COMPARE_INTERVAL = timedelta(minutes=15)
RETRY_AFTER_ERROR = timedelta(hours=1)  # for a segment or schedule that cannot be read
BATCH = 500
# Events that change no contact. They matter only to conditions on workflows or on history.
_NOT_CHANGING = (SEGMENT_ENTERED, SEGMENT_LEFT, MANUAL)


async def update_membership(work: Work, facts_cache: ContactFactsCache, rows: Sequence[ClaimedEvent]) -> None:
    """Updates which contacts of these events are in which watched segments, and emits segment.entered and
    segment.left. Segments that were never compared are left to `compare_due_segment`."""
    account = facts_cache.account
    watched = await account.segments()
    reads_history = any(compiled.asks_workflows or compiled.asks_history for compiled in watched.values())
    causes = _causes(row for row in rows if reads_history or row.kind not in _NOT_CHANGING)
    if not watched or not causes:
        return
    compared = await find_compared_segments(work.session, list(watched))
    watched = {segment: compiled for segment, compiled in watched.items() if segment in compared}
    await facts_cache.load((contact, compiled) for contact in causes for compiled in watched.values())
    members = await read_members(work.session, list(watched), list(causes))
    entering: list[WatchedMember] = []
    leaving: list[WatchedMember] = []
    for segment, compiled in watched.items():
        for contact in causes:
            facts = facts_cache.of(contact)
            inside = facts is not None and compiled.match(facts, work.now)
            member = WatchedMember(segment, contact)
            if inside != (member in members):
                (entering if inside else leaving).append(member)
    gone = {contact for contact in causes if facts_cache.of(contact) is None}
    await _write_changes(work, entering, leaving, causes, gone)


def _causes(rows: Iterable[ClaimedEvent]) -> dict[UUID, ClaimedEvent]:
    """One event per contact as the cause of its changes: the deepest, so that no chain of workflows looks
    shorter than it is, and the latest of these."""
    return {row.subject_id: row for row in sorted(rows, key=lambda row: row.depth)}


async def compare_due_segment(work: Work) -> int:
    """Compares one due segment with all contacts: one batch of new members and one of former members. The
    first comparison adds all members at once, without events. Returns the number of segments (0 or 1). A
    segment that cannot be compared does not stop the others."""
    # The matcher must not commit between the two reads: a contact would seem to have left.
    await take_matcher_lock(work.session)
    segment = await claim_due_segment(work.session, work.now)
    if segment is None:
        return 0
    account = await AccountContext.of(work)
    try:
        async with work.session.begin_nested():  # an error in its SQL undoes nothing else
            again: datetime | None = await _compare_segment(work, account, segment)
    except Exception as error:
        if is_transient(error):
            raise
        again = _record_failure(work, segment, error)
    await set_next_comparison(work.session, segment.id, again)
    work.notify_worker("match")
    await work.commit()
    return 1


def _record_failure(work: Work, segment: DueSegment, error: Exception) -> datetime | None:
    """Audits the error; returns when to try again. A segment that was never compared is tried again when a
    segment is saved or a workflow published: with a due time it would count as compared, and all its contacts
    would seem to enter."""
    # A database error ends with the whole statement; only its beginning is kept.
    reason = redact(f"{type(error).__name__}: {error}")[:200]
    log.error("segment.evaluation_failed", segment=str(segment.id), error=reason)
    work.audit("segment.evaluation_failed", "segment", segment.id, {"error": (None, reason)})
    return None if segment.due_at == NEVER_COMPARED else work.now + RETRY_AFTER_ERROR


async def _compare_segment(work: Work, account: AccountContext, segment: DueSegment) -> datetime:
    """Compares the segment; returns when to do it again."""
    condition = where(
        decode_filter(segment.filter), Contact.__table__, account.cached.fields, account.zone, work.now
    )
    if segment.due_at == NEVER_COMPARED:
        await fill_segment(work.session, segment.id, condition, work.now)
    elif not await _compare_batch(work, segment.id, condition):
        return work.now
    return work.now + COMPARE_INTERVAL


async def _compare_batch(work: Work, segment: UUID, condition: ColumnElement[bool]) -> bool:
    """Compares one batch; returns whether it was the last one."""
    entering = await find_new_members(work.session, segment, condition, BATCH)
    leaving = await find_former_members(work.session, segment, condition, BATCH)
    gone = {row.id for row in leaving if not row.there}
    await _write_changes(
        work,
        [WatchedMember(segment, contact) for contact in entering],
        [WatchedMember(segment, row.id) for row in leaving],
        {},
        gone,
    )
    return len(entering) < BATCH and len(leaving) < BATCH


async def _write_changes(
    work: Work,
    entering: Sequence[WatchedMember],
    leaving: Sequence[WatchedMember],
    causes: dict[UUID, ClaimedEvent],
    gone: Iterable[UUID],
) -> None:
    """Writes members and events together. For a member row that another transaction wrote first, that one
    emits the event. For deleted contacts (`gone`) no event is emitted."""
    entered = await insert_members(work.session, entering, work.now)
    left = await delete_members(work.session, leaving)
    events = [_event_row(SEGMENT_ENTERED, row, causes.get(row.contact_id)) for row in entered]
    silent = set(gone)
    events += [
        _event_row(SEGMENT_LEFT, row, causes.get(row.contact_id))
        for row in left
        if row.contact_id not in silent
    ]
    await insert_events(work.session, events, work.now)


def _event_row(kind: str, row: WatchedMember, cause: ClaimedEvent | None) -> NewEvent:
    """The event row, caused by the event that changed the contact, or by time (`cause` None)."""
    event_id = uuid7()
    return NewEvent(
        id=event_id,
        kind=kind,
        subject_id=row.contact_id,
        source="system" if cause is None else cause.source,
        data={"segment_id": str(row.segment_id)},
        root_event_id=event_id if cause is None else cause.root_event_id,
        depth=0 if cause is None else cause.depth,
    )
