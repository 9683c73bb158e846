"""Who enters and leaves watched segments: after each event of a contact, and every quarter of an hour for
everybody, because a filter may turn true by time alone."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from app.engine.core.events import MANUAL, SEGMENT_ENTERED, SEGMENT_LEFT
from app.engine.matching.contact_facts import People
from app.engine.program_cache import Setting
from app.engine.recovery.transient_errors import not_now
from app.redaction import redact
from app.work import Work
from db.filters import where
from db.ids import uuid7
from db.models import Contact
from db.queries.batch_session import EVENTS, Engine
from db.queries.segment_members import (
    CLAIM,
    COMPARED,
    ENTERED,
    FIRST,
    LEFT,
    MEMBERS,
    NEXT,
    entering,
    fill,
    leaving,
)
from db.repositories.segments import read_filter

log = structlog.get_logger(__name__)
EVERY = timedelta(minutes=15)
UNREADABLE = timedelta(hours=1)  # until a segment or a clock that cannot be read is tried again
BATCH = 500
Row = dict[str, Any]
# Events that say nothing new about a contact, except to who asks where it is or what happened to it.
_SILENT = (SEGMENT_ENTERED, SEGMENT_LEFT, MANUAL)


async def hear(work: Work, people: People, rows: Sequence[Any]) -> None:
    """After these events (rows as they were read): who of their contacts came into a watched segment or left
    one, with the events of that. A change of one that was never compared yet is left to the comparison."""
    setting = people.setting
    watched = await setting.segments()
    told = any(one.asks_workflows or one.asks_history for one in watched.values())
    causes = _causes(row for row in rows if told or row.kind not in _SILENT)
    if not watched or not causes:
        return
    engine = setting.engine
    compared = {row.id for row in await engine.all(COMPARED, ids=list(watched), first=FIRST)}
    watched = {segment: one for segment, one in watched.items() if segment in compared}
    await people.load((contact, one) for contact in causes for one in watched.values())
    found = await engine.all(MEMBERS, contacts=list(causes), segments=list(watched))
    members = {(row.segment_id, row.contact_id) for row in found}
    came: list[Row] = []
    went: list[Row] = []
    for segment, one in watched.items():
        for contact in causes:
            facts = people.of(contact)
            inside = facts is not None and one.match(facts, work.now)
            if inside != ((segment, contact) in members):
                (came if inside else went).append({"segment_id": segment, "contact_id": contact})
    gone = {contact for contact in causes if people.of(contact) is None}
    await _write(work, engine, came, went, causes, gone)


def _causes(rows: Iterable[Any]) -> dict[UUID, Any]:
    """One event for each contact, because only what they did together can be seen: the deepest, so that no
    chain of workflows looks shorter than it is, and the latest of these."""
    return {row.subject_id: row for row in sorted(rows, key=lambda row: row.depth)}


async def compare(work: Work) -> int:
    """One segment whose time has come, against everybody: a batch of those who came in and one of those who
    went; the first time everybody at once, without events. How many segments there were. One that cannot be
    compared stops no other."""
    engine = Engine(work.session)
    # What the matcher commits between two of our reads would look as if somebody had left.
    await engine.become_matcher()
    rows = await engine.all(CLAIM, now=work.now)
    if not rows:
        return 0
    segment = rows[0]
    setting = await Setting.of(work)
    try:
        async with work.session.begin_nested():  # an error in its SQL takes nothing else with it
            again: datetime | None = await _once(work, setting, segment)
    except Exception as error:
        if not_now(error):
            raise
        again = _postponed(work, segment, error)
    await engine.do(NEXT, id=segment.id, due_at=again)
    work.notify_worker()
    await work.commit()
    return 1


def _postponed(work: Work, segment: Any, error: Exception) -> datetime | None:
    """When it is tried again. One that was never compared is watched again when a segment is saved or a
    workflow published: with a time it would pass for compared, and who is in it would seem to enter."""
    # That of a database ends with the whole statement.
    said = redact(f"{type(error).__name__}: {error}")[:200]
    log.error("segment.not_compared", segment=str(segment.id), error=said)
    work.audit("segment.not_compared", "segment", segment.id, {"error": (None, said)})
    return None if segment.due_at == FIRST else work.now + UNREADABLE


async def _once(work: Work, setting: Setting, segment: Any) -> datetime:
    """When it is to be compared again."""
    condition = where(
        read_filter(segment.filter), Contact.__table__, setting.known.fields, setting.zone, work.now
    )
    if segment.due_at == FIRST:
        await fill(work.session, segment.id, condition, work.now)
    elif not await _compare(work, setting.engine, segment.id, condition):
        return work.now
    return work.now + EVERY


async def _compare(work: Work, engine: Engine, segment: UUID, condition: Any) -> bool:
    """Whether that was all."""
    came = await entering(work.session, segment, condition, BATCH)
    went = await leaving(work.session, segment, condition, BATCH)
    gone = {row.id for row in went if not row.there}
    await _write(
        work,
        engine,
        [{"segment_id": segment, "contact_id": contact} for contact in came],
        [{"segment_id": segment, "contact_id": row.id} for row in went],
        {},
        gone,
    )
    return len(came) < BATCH and len(went) < BATCH


async def _write(
    work: Work,
    engine: Engine,
    came: Sequence[Row],
    went: Sequence[Row],
    causes: dict[UUID, Any],
    gone: Iterable[UUID],
) -> None:
    """Members and events together. What another transaction wrote in this moment is told by that one; of who
    is deleted nothing is told."""
    entered = await engine.insert(ENTERED, came, now=work.now)
    left = await engine.insert(LEFT, sorted(went, key=lambda row: (row["segment_id"], row["contact_id"])))
    told = [_event(SEGMENT_ENTERED, row, causes.get(row.contact_id)) for row in entered]
    silent = set(gone)
    told += [
        _event(SEGMENT_LEFT, row, causes.get(row.contact_id)) for row in left if row.contact_id not in silent
    ]
    await engine.insert(EVENTS, told, now=work.now)


def _event(kind: str, row: Any, cause: Any) -> Row:
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
