"""Counts a member's unread notifications, and marks them as read."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.statements import execute, fetch_one

# Approvals as `list_open_approvals` has them.
_COUNT_WAITING = text("""
select
  (select count(*) from (
     select from approvals
      where account_id = current_account() and status = 'open'
        and (users @> cast(:named as jsonb) or (:manages and jsonb_array_length(users) = 0)) limit 100)
     as open_ones) as approvals,
  (select count(*) from (
     select from notifications
      where account_id = current_account() and user_id = :user_id and read_at is null limit 100)
     as unread) as notifications
""")
_MARK_ONE = text("""
update notifications set read_at = coalesce(read_at, cast(:now as timestamptz))
 where account_id = current_account() and user_id = :user_id and id = :notification_id
""")
_MARK_ALL = text("""
update notifications set read_at = cast(:now as timestamptz)
 where account_id = current_account() and user_id = :user_id and read_at is null
""")


class WaitingCounts(msgspec.Struct, frozen=True):
    """How much waits for a member, counted up to 100 each: open approvals, and unread notifications."""

    approvals: int
    notifications: int


async def count_waiting(session: AsyncSession, user_id: UUID, *, manages: bool) -> WaitingCounts:
    """What waits for a member. `manages` adds the approvals that name nobody."""
    named = f'["{user_id}"]'
    waiting = await fetch_one(
        session, WaitingCounts, _COUNT_WAITING, user_id=user_id, named=named, manages=manages
    )
    return waiting or WaitingCounts(0, 0)


async def mark_notification_read(
    session: AsyncSession, user_id: UUID, notification_id: UUID, now: datetime
) -> bool:
    """Marks a member's notification as read, if it isn't already; whether they have it."""
    marked = await execute(session, _MARK_ONE, user_id=user_id, notification_id=notification_id, now=now)
    return marked == 1


async def mark_all_notifications_read(session: AsyncSession, user_id: UUID, now: datetime) -> None:
    await execute(session, _MARK_ALL, user_id=user_id, now=now)
