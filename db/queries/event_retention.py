"""Forgetting events, deliveries and occurrences of clocks that have served their time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.ids import uuid7_floor

FIND_ACCOUNTS_WITH_OLD_EVENTS = text(
    "select account_id from aged_accounts(cast(:before as timestamptz), :floor)"
)
READ_CLOCK = text("select clock_timestamp() + cast(:ahead as interval)")
# A filter on history may look back further than events are kept elsewhere.
ASKS_HISTORY = text("""
select exists (select from workflow_versions where account_id = current_account()
                  and document @? cast('$.**.field ? (@ == "history")' as jsonpath))
    or exists (select from segments where account_id = current_account()
                  and filter @? cast('$.**.field ? (@ == "history")' as jsonpath))
""")
DELETE_WEBHOOK_DELIVERIES = text("""
delete from hook_deliveries where account_id = current_account() and ctid = any(array(
  select ctid from hook_deliveries where account_id = current_account()
   and received_at < cast(:before as timestamptz) limit :most for update skip locked))
returning 1
""")
DELETE_SCHEDULE_JOBS = text("""
delete from jobs where account_id = current_account() and ctid = any(array(
  select ctid from jobs where account_id = current_account() and task = 'clock.strike' and status = 'done'
   and finished_at < cast(:before as timestamptz) limit :most for update skip locked))
returning 1
""")
FIND_OLD_EVENTS = text("""
select id from events
 where account_id = current_account() and id > :after and id < :floor and matched_at is not null
   and occurred_at < cast(:before as timestamptz)
 order by id limit :most
""")
# Whoever entered by it, heard it, or was decided on because of it, keeps it.
DELETE_UNREFERENCED_EVENTS = text("""
delete from events v
 where v.account_id = current_account() and v.id = any(cast(:ids as uuid[]))
   and not exists (select from trigger_decisions d
                    where d.account_id = v.account_id and d.event_id = v.id)
   and not exists (select from enrollments e
                    where e.account_id = v.account_id and e.contact_id = v.subject_id
                      and (v.id = e.event_id or v.id = e.root_event_id or v.id = e.heard_event_id))
returning 1
""")


async def read_clock(engine: AsyncEngine, ahead: Any) -> datetime:
    """The database's clock, moved by `ahead`."""
    async with engine.connect() as connection:
        now: datetime = (await connection.execute(READ_CLOCK, {"ahead": ahead})).scalar_one()
    return now


async def accounts_with_old_events(engine: AsyncEngine, before: datetime) -> list[UUID]:
    """Accounts that have something from before then."""
    async with engine.connect() as connection:
        values = {"before": before, "floor": uuid7_floor(before)}
        return list((await connection.execute(FIND_ACCOUNTS_WITH_OLD_EVENTS, values)).scalars())


class EventRetention:
    """Of the session's account, everything from before a moment."""

    def __init__(self, session: AsyncSession, before: datetime) -> None:
        self.session, self.before = session, before

    async def deliveries(self, most: int) -> int:
        """Forgets deliveries to webhooks; returns how many."""
        return len(
            (
                await self.session.execute(DELETE_WEBHOOK_DELIVERIES, {"before": self.before, "most": most})
            ).all()
        )

    async def strikes(self, most: int) -> int:
        """Forgets finished jobs of occurrences of clocks; returns how many."""
        return len(
            (await self.session.execute(DELETE_SCHEDULE_JOBS, {"before": self.before, "most": most})).all()
        )

    async def asks_history(self) -> bool:
        """Whether a published version or a segment asks what happened to contacts."""
        return bool((await self.session.execute(ASKS_HISTORY)).scalar_one())

    async def old_events(self, after: UUID, most: int) -> Sequence[UUID]:
        """The next old events, by id."""
        values = {"after": after, "floor": uuid7_floor(self.before), "before": self.before, "most": most}
        return (await self.session.scalars(FIND_OLD_EVENTS, values)).all()

    async def events(self, ids: Sequence[UUID]) -> int:
        """Forgets those of these events that nothing refers to; returns how many."""
        return len((await self.session.execute(DELETE_UNREFERENCED_EVENTS, {"ids": list(ids)})).all())
