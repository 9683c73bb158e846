"""Who enters and leaves watched segments: after each event of a contact, and every quarter of an hour for
everybody, because a filter may turn true by time alone."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from app.engine.core.events import MANUAL, SEGMENT_ENTERED, SEGMENT_LEFT
from app.engine.matching.contact_facts import ContactFactsCache
from app.engine.program_cache import AccountContext
from app.engine.recovery.transient_errors import is_transient
from app.redaction import redact
from app.work import Work
from db.filters import where
from db.ids import uuid7
from db.models import Contact
from db.queries.batch_session import INSERT_EVENTS, BatchSession
from db.queries.segment_members import (
    CLAIM_DUE_SEGMENT,
    DELETE_MEMBERS,
    FIND_COMPARED_SEGMENTS,
    INSERT_MEMBERS,
    NEVER_COMPARED,
    READ_MEMBERS,
    SET_NEXT_COMPARISON,
    fill_segment,
    find_former_members,
    find_new_members,
)
from db.repositories.segments import read_filter

log = structlog.get_logger(__name__)
COMPARE_INTERVAL = timedelta(minutes=15)
RETRY_AFTER_ERROR = timedelta(hours=1)  # until a segment or a clock that cannot be read is tried again
BATCH = 500
Row = dict[str, Any]
# Events that say nothing new about a contact, except to who asks where it is or what happened to it.
_NOT_CHANGING = (SEGMENT_ENTERED, SEGMENT_LEFT, MANUAL)


async def update_membership(work: Work, facts_cache: ContactFactsCache, rows: Sequence[Any]) -> None:
    """After these events (rows as they were read): who of their contacts came into a watched segment or left
    one, with the events of that. A change of one that was never compared yet is left to the comparison."""
    account = facts_cache.account
    watched = await account.segments()
    reads_history = any(compiled.asks_workflows or compiled.asks_history for compiled in watched.values())
    causes = _causes(row for row in rows if reads_history or row.kind not in _NOT_CHANGING)
    if not watched or not causes:
        return
    db = account.db
    compared = {
        row.id for row in await db.all(FIND_COMPARED_SEGMENTS, ids=list(watched), first=NEVER_COMPARED)
    }
    watched = {segment: compiled for segment, compiled in watched.items() if segment in compared}
    await facts_cache.load((contact, compiled) for contact in causes for compiled in watched.values())
    member_rows = await db.all(READ_MEMBERS, contacts=list(causes), segments=list(watched))
    members = {(row.segment_id, row.contact_id) for row in member_rows}
    came: list[Row] = []
    went: list[Row] = []
    for segment, compiled in watched.items():
        for contact in causes:
            facts = facts_cache.of(contact)
            inside = facts is not None and compiled.match(facts, work.now)
            if inside != ((segment, contact) in members):
                (came if inside else went).append({"segment_id": segment, "contact_id": contact})
    gone = {contact for contact in causes if facts_cache.of(contact) is None}
    await _write_changes(work, db, came, went, causes, gone)


def _causes(rows: Iterable[Any]) -> dict[UUID, Any]:
    """One event for each contact, because only what they did together can be seen: the deepest, so that no
    chain of workflows looks shorter than it is, and the latest of these."""
    return {row.subject_id: row for row in sorted(rows, key=lambda row: row.depth)}


async def compare_due_segment(work: Work) -> int:
    """One segment whose time has come, against everybody: a batch of those who came in and one of those who
    went; the first time everybody at once, without events. How many segments there were. One that cannot be
    compared stops no other."""
    db = BatchSession(work.session)
    # What the matcher commits between two of our reads would look as if somebody had left.
    await db.become_matcher()
    rows = await db.all(CLAIM_DUE_SEGMENT, now=work.now)
    if not rows:
        return 0
    segment = rows[0]
    account = await AccountContext.of(work)
    try:
        async with work.session.begin_nested():  # an error in its SQL takes nothing else with it
            again: datetime | None = await _compare_segment(work, account, segment)
    except Exception as error:
        if is_transient(error):
            raise
        again = _record_failure(work, segment, error)
    await db.do(SET_NEXT_COMPARISON, id=segment.id, due_at=again)
    work.notify_worker()
    await work.commit()
    return 1


def _record_failure(work: Work, segment: Any, error: Exception) -> datetime | None:
    """When it is tried again. One that was never compared is watched again when a segment is saved or a
    workflow published: with a time it would pass for compared, and who is in it would seem to enter."""
    # That of a database ends with the whole statement.
    reason = redact(f"{type(error).__name__}: {error}")[:200]
    log.error("segment.not_compared", segment=str(segment.id), error=reason)
    work.audit("segment.not_compared", "segment", segment.id, {"error": (None, reason)})
    return None if segment.due_at == NEVER_COMPARED else work.now + RETRY_AFTER_ERROR


async def _compare_segment(work: Work, account: AccountContext, segment: Any) -> datetime:
    """When it is to be compared again."""
    condition = where(
        read_filter(segment.filter), Contact.__table__, account.cached.fields, account.zone, work.now
    )
    if segment.due_at == NEVER_COMPARED:
        await fill_segment(work.session, segment.id, condition, work.now)
    elif not await _compare_batch(work, account.db, segment.id, condition):
        return work.now
    return work.now + COMPARE_INTERVAL


async def _compare_batch(work: Work, db: BatchSession, segment: UUID, condition: Any) -> bool:
    """Whether that was all."""
    came = await find_new_members(work.session, segment, condition, BATCH)
    went = await find_former_members(work.session, segment, condition, BATCH)
    gone = {row.id for row in went if not row.there}
    await _write_changes(
        work,
        db,
        [{"segment_id": segment, "contact_id": contact} for contact in came],
        [{"segment_id": segment, "contact_id": row.id} for row in went],
        {},
        gone,
    )
    return len(came) < BATCH and len(went) < BATCH


async def _write_changes(
    work: Work,
    db: BatchSession,
    came: Sequence[Row],
    went: Sequence[Row],
    causes: dict[UUID, Any],
    gone: Iterable[UUID],
) -> None:
    """Members and events together. What another transaction wrote in this moment is told by that one; of who
    is deleted nothing is told."""
    entered = await db.insert(INSERT_MEMBERS, came, now=work.now)
    left = await db.insert(
        DELETE_MEMBERS, sorted(went, key=lambda row: (row["segment_id"], row["contact_id"]))
    )
    events = [_event_row(SEGMENT_ENTERED, row, causes.get(row.contact_id)) for row in entered]
    silent = set(gone)
    events += [
        _event_row(SEGMENT_LEFT, row, causes.get(row.contact_id))
        for row in left
        if row.contact_id not in silent
    ]
    await db.insert(INSERT_EVENTS, events, now=work.now)


def _event_row(kind: str, row: Any, cause: Any) -> Row:
    """Caused by what changed the contact, or by time."""
    event_id = uuid7()
    return {
        "id": event_id,
        "kind": kind,
        "subject_id": row.contact_id,
        "source": "system" if cause is None else cause.source,
        "data": {"segment_id": str(row.segment_id)},
        "root_event_id": event_id if cause is None else cause.root_event_id,
        "depth": 0 if cause is None else cause.depth,
    }
