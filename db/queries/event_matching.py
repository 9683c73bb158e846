"""Claims unmatched events for the matcher: one worker at a time per account, in the order of the events."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.queries.statements import execute, fetch_all, fetch_scalar


class ClaimedEvent(msgspec.Struct, frozen=True):
    """An event that is locked until the transaction ends."""

    id: UUID
    kind: str
    subject_id: UUID
    source: str
    data: JsonObject
    root_event_id: UUID
    depth: int
    occurred_at: datetime


_TRY_MATCHER_LOCK = text(
    "select pg_try_advisory_xact_lock(hashtextextended('match:' || current_account()::text, 0))"
)
_TAKE_MATCHER_LOCK = text(
    "select pg_advisory_xact_lock(hashtextextended('match:' || current_account()::text, 0))"
)
_CLAIM_EVENTS = """
select id, kind, subject_id, source, data, root_event_id, depth, occurred_at from events
 where account_id = current_account() and matched_at is null {which} order by id limit :most
   for update skip locked
"""
_CLAIM_UNMATCHED_EVENTS = text(_CLAIM_EVENTS.format(which="")).columns(data=JSONB)
# Of the next 500 events by id. Ids follow each process's own clock and the time of writing, while an event of
# a long transaction occurred when that began: the first id need not be the oldest event.
_OLDEST_UNMATCHED_EVENT = text("""
select min(occurred_at) as oldest from (
  select occurred_at from events where account_id = current_account() and matched_at is null
   order by id limit 500) x
""")
_CLAIM_EVENTS_BY_ID = text(_CLAIM_EVENTS.format(which="and id = any(cast(:ids as uuid[]))")).columns(
    data=JSONB
)
_MARK_EVENTS_MATCHED = text("""
update events set matched_at = cast(:now as timestamptz)
 where account_id = current_account() and id = any(cast(:ids as uuid[]))
""")


async def try_matcher_lock(session: AsyncSession) -> bool:
    """Tries to take the matcher lock of the account until the transaction ends: one worker at a time
    matches."""
    return await fetch_scalar(session, bool, _TRY_MATCHER_LOCK) is True


async def take_matcher_lock(session: AsyncSession) -> None:
    """Waits for the matcher lock of the account."""
    await execute(session, _TAKE_MATCHER_LOCK)


async def claim_unmatched_events(session: AsyncSession, most: int) -> list[ClaimedEvent]:
    """Locks the first unmatched events."""
    return await fetch_all(session, ClaimedEvent, _CLAIM_UNMATCHED_EVENTS, most=most)


async def claim_events_by_id(session: AsyncSession, ids: Sequence[UUID]) -> list[ClaimedEvent]:
    """Locks those of these events that are unmatched."""
    return await fetch_all(session, ClaimedEvent, _CLAIM_EVENTS_BY_ID, ids=ids, most=len(ids))


async def mark_events_matched(session: AsyncSession, ids: Sequence[UUID], now: datetime) -> None:
    """These events are not claimed again."""
    await execute(session, _MARK_EVENTS_MATCHED, ids=ids, now=now)


async def read_oldest_unmatched(session: AsyncSession) -> datetime | None:
    """When the oldest event happened that is not matched yet."""
    return await fetch_scalar(session, datetime, _OLDEST_UNMATCHED_EVENT)
