"""Counts a member's unread notifications, and marks them as read."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.statements import execute, fetch_scalar

_COUNT_UNREAD = text("""
select count(*) from (
  select from notifications
   where account_id = current_account() and user_id = :user_id and read_at is null limit 100) as unread
""")
_MARK_ONE = text("""
update notifications set read_at = coalesce(read_at, cast(:now as timestamptz))
 where account_id = current_account() and user_id = :user_id and id = :notification_id
""")
_MARK_ALL = text("""
update notifications set read_at = cast(:now as timestamptz)
 where account_id = current_account() and user_id = :user_id and read_at is null
""")


async def count_unread_notifications(session: AsyncSession, user_id: UUID) -> int:
    """The number of unread notifications of a member, counted up to 100."""
    return await fetch_scalar(session, int, _COUNT_UNREAD, user_id=user_id) or 0


async def mark_notification_read(
    session: AsyncSession, user_id: UUID, notification_id: UUID, now: datetime
) -> bool:
    """Marks a member's notification as read, if it isn't already; whether they have it."""
    marked = await execute(session, _MARK_ONE, user_id=user_id, notification_id=notification_id, now=now)
    return marked == 1


async def mark_all_notifications_read(session: AsyncSession, user_id: UUID, now: datetime) -> None:
    await execute(session, _MARK_ALL, user_id=user_id, now=now)
