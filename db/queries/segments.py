"""What a change of a segment's filter needs: a lock against cycles, and a comparison that is due now."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.segment_members import NEVER_COMPARED
from db.queries.statements import execute

_LOCK = text("select pg_advisory_xact_lock(hashtextextended('segments:' || current_account()::text, 0))")
_COMPARE_NOW = text("""
update segments set due_at = cast(:now as timestamptz)
 where account_id = current_account() and id = any(cast(:ids as uuid[]))
   and due_at > cast(:never_compared as timestamptz)
""")


async def lock_segments(session: AsyncSession) -> None:
    """Serializes changes of segment filters until the transaction ends: two at once could create a cycle."""
    await execute(session, _LOCK)


async def compare_segments_now(session: AsyncSession, segment_ids: Collection[UUID], now: datetime) -> None:
    """Schedules a full evaluation now for those that a live workflow watches, unless their first comparison
    has not run yet."""
    await execute(session, _COMPARE_NOW, ids=list(segment_ids), now=now, never_compared=NEVER_COMPARED)
