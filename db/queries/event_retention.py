"""Forgetting events, deliveries and occurrences of clocks that have served their time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.ids import uuid7_floor

AGED = text("select account_id from aged_accounts(cast(:before as timestamptz), :floor)")
NOW = text("select clock_timestamp() + cast(:ahead as interval)")
# A filter on history may look back further than events are kept elsewhere.
ASKS_HISTORY = text("""
select exists (select from workflow_versions where account_id = current_account()
                  and document @? cast('$.**.field ? (@ == "history")' as jsonpath))
    or exists (select from segments where account_id = current_account()
                  and filter @? cast('$.**.field ? (@ == "history")' as jsonpath))
""")
DELIVERIES = text("""
delete from hook_deliveries where account_id = current_account() and ctid = any(array(
  select ctid from hook_deliveries where account_id = current_account()
   and received_at < cast(:before as timestamptz) limit :most for update skip locked))
returning 1
""")
STRIKES = text("""
delete from jobs where account_id = current_account() and ctid = any(array(
  select ctid from jobs where account_id = current_account() and task = 'clock.strike' and status = 'done'
   and finished_at < cast(:before as timestamptz) limit :most for update skip locked))
returning 1
""")
OLD = text("""
select id from events
 where account_id = current_account() and id > :after and id < :floor and matched_at is not null
   and occurred_at < cast(:before as timestamptz)
 order by id limit :most
""")
# Whoever entered by it, heard it, or was decided on because of it, keeps it.
EVENTS = text("""
delete from events v
 where v.account_id = current_account() and v.id = any(cast(:ids as uuid[]))
   and not exists (select from trigger_decisions d
                    where d.account_id = v.account_id and d.event_id = v.id)
   and not exists (select from enrollments e
                    where e.account_id = v.account_id and e.contact_id = v.subject_id
                      and (v.id = e.event_id or v.id = e.root_event_id or v.id = e.heard_event_id))
returning 1
""")


async def moment(engine: AsyncEngine, ahead: Any) -> datetime:
    """The database's clock, moved by `ahead`."""
    async with engine.connect() as connection:
        found: datetime = (await connection.execute(NOW, {"ahead": ahead})).scalar_one()
    return found


async def aged_accounts(engine: AsyncEngine, before: datetime) -> list[UUID]:
    """Accounts that have something from before then."""
    async with engine.connect() as connection:
        values = {"before": before, "floor": uuid7_floor(before)}
        return list((await connection.execute(AGED, values)).scalars())


class Forgetting:
    """Of the session's account, everything from before a moment."""

    def __init__(self, session: AsyncSession, before: datetime) -> None:
        self.session, self.before = session, before

    async def deliveries(self, most: int) -> int:
        """Forgets deliveries to webhooks; returns how many."""
        return len((await self.session.execute(DELIVERIES, {"before": self.before, "most": most})).all())

    async def strikes(self, most: int) -> int:
        """Forgets finished jobs of occurrences of clocks; returns how many."""
        return len((await self.session.execute(STRIKES, {"before": self.before, "most": most})).all())

    async def asks_history(self) -> bool:
        """Whether a published version or a segment asks what happened to contacts."""
        return bool((await self.session.execute(ASKS_HISTORY)).scalar_one())

    async def old_events(self, after: UUID, most: int) -> Sequence[UUID]:
        """The next old events, by id."""
        values = {"after": after, "floor": uuid7_floor(self.before), "before": self.before, "most": most}
        return (await self.session.scalars(OLD, values)).all()

    async def events(self, ids: Sequence[UUID]) -> int:
        """Forgets those of these events that nothing refers to; returns how many."""
        return len((await self.session.execute(EVENTS, {"ids": list(ids)})).all())
