"""Statements that delete expired data of an account, and the lookups of accounts that have some."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.ids import uuid7_floor

FIND_ACCOUNTS_WITH_EXPIRED_DATA = text(
    "select account_id from accounts_with_expired_data("
    "clock_timestamp() + cast(:ahead as interval) - cast(:deleted as interval), "
    "clock_timestamp() + cast(:ahead as interval) - cast(:decided as interval))"
)
FIND_ACCOUNTS_WITH_OLD_EVENTS = text(
    "select account_id from accounts_with_old_events(cast(:before as timestamptz), :floor)"
)
READ_CLOCK = text("select clock_timestamp() + cast(:ahead as interval)")
DELETE_CONTACTS = text("""
delete from contacts where account_id = current_account() and id in (
  select id from contacts where account_id = current_account() and deleted_at < :before
   order by deleted_at limit :most for update skip locked)
returning id
""")
_DELETE_ACTIVITY = """
delete from {table} where account_id = current_account() and id in (
  select id from {table} where account_id = current_account() and deleted_at < :before
   order by deleted_at limit :most for update skip locked)
returning 1
"""
DELETE_NOTES, DELETE_TASKS = (text(_DELETE_ACTIVITY.format(table=table)) for table in ("notes", "tasks"))
DELETE_FILTER_REFUSALS = text("""
delete from trigger_decisions where account_id = current_account() and ctid = any(array(
  select ctid from trigger_decisions where account_id = current_account()
   and verdict = 'filter_false' and decided_at < :before limit :most for update skip locked))
returning 1
""")
# A filter on history may look back further than events are kept elsewhere.
ASKS_HISTORY = text("""
select exists (select from workflow_versions where account_id = current_account()
                  and document @? cast('$.**.field ? (@ == "history")' as jsonpath))
    or exists (select from segments where account_id = current_account()
                  and filter @? cast('$.**.field ? (@ == "history")' as jsonpath))
""")
DELETE_WEBHOOK_DELIVERIES = text("""
delete from inbound_deliveries where account_id = current_account() and ctid = any(array(
  select ctid from inbound_deliveries where account_id = current_account()
   and received_at < cast(:before as timestamptz) limit :most for update skip locked))
returning 1
""")
DELETE_SCHEDULE_JOBS = text("""
delete from jobs where account_id = current_account() and ctid = any(array(
  select ctid from jobs where account_id = current_account() and task = 'schedule.fire' and status = 'done'
   and finished_at < cast(:before as timestamptz) limit :most for update skip locked))
returning 1
""")
FIND_OLD_EVENTS = text("""
select id from events
 where account_id = current_account() and id > :after and id < :floor and matched_at is not null
   and occurred_at < cast(:before as timestamptz)
 order by id limit :most
""")
# An event stays while a decision, or an enrollment that it started or woke, refers to it.
DELETE_UNREFERENCED_EVENTS = text("""
delete from events v
 where v.account_id = current_account() and v.id = any(cast(:ids as uuid[]))
   and not exists (select from trigger_decisions d
                    where d.account_id = v.account_id and d.event_id = v.id)
   and not exists (select from enrollments e
                    where e.account_id = v.account_id and e.contact_id = v.subject_id
                      and (v.id = e.event_id or v.id = e.root_event_id or v.id = e.wake_event_id))
returning 1
""")


async def read_clock(engine: AsyncEngine, ahead: Any) -> datetime:
    """The database's clock plus `ahead` (a timedelta)."""
    async with engine.connect() as connection:
        now: datetime = (await connection.execute(READ_CLOCK, {"ahead": ahead})).scalar_one()
    return now


async def accounts_with_expired_data(
    engine: AsyncEngine, deleted: timedelta, decided: timedelta, ahead: timedelta
) -> list[UUID]:
    """Accounts with contacts, notes or tasks deleted more than `deleted` ago, or with filter refusals decided
    more than `decided` ago. `ahead` is added to the database's clock."""
    async with engine.connect() as connection:
        ages = {"deleted": deleted, "decided": decided, "ahead": ahead}
        return list((await connection.execute(FIND_ACCOUNTS_WITH_EXPIRED_DATA, ages)).scalars())


async def accounts_with_old_events(engine: AsyncEngine, before: datetime) -> list[UUID]:
    """Accounts with events, webhook deliveries or finished schedule jobs from before that time."""
    async with engine.connect() as connection:
        values = {"before": before, "floor": uuid7_floor(before)}
        return list((await connection.execute(FIND_ACCOUNTS_WITH_OLD_EVENTS, values)).scalars())


class Retention:
    """Deletes expired rows of the session's account, at most `most` per call. `before`: only rows older than
    that. Methods that return a number return how many rows they deleted."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def delete_contacts(self, before: datetime, most: int) -> list[UUID]:
        """Erases contacts deleted before then, with everything that belongs to them; returns their ids."""
        return list((await self.session.execute(DELETE_CONTACTS, {"before": before, "most": most})).scalars())

    async def delete_activity(self, before: datetime, most: int) -> int:
        """Notes and tasks deleted before then, at most `most` of each."""
        return await self._count(DELETE_NOTES, before, most) + await self._count(DELETE_TASKS, before, most)

    async def delete_filter_refusals(self, before: datetime, most: int) -> int:
        """Decisions that say only that a filter did not match."""
        return await self._count(DELETE_FILTER_REFUSALS, before, most)

    async def delete_webhook_deliveries(self, before: datetime, most: int) -> int:
        return await self._count(DELETE_WEBHOOK_DELIVERIES, before, most)

    async def delete_schedule_jobs(self, before: datetime, most: int) -> int:
        """Finished jobs of schedule occurrences."""
        return await self._count(DELETE_SCHEDULE_JOBS, before, most)

    async def asks_history(self) -> bool:
        """Whether a published version or a segment has a condition on history."""
        return bool((await self.session.execute(ASKS_HISTORY)).scalar_one())

    async def find_old_events(self, before: datetime, after: UUID, most: int) -> Sequence[UUID]:
        """Ids of matched events from before that time, in order, starting behind the id `after`."""
        values = {"after": after, "floor": uuid7_floor(before), "before": before, "most": most}
        return (await self.session.scalars(FIND_OLD_EVENTS, values)).all()

    async def delete_unreferenced_events(self, ids: Sequence[UUID]) -> int:
        """Those of these events that no decision and no enrollment refers to."""
        return len((await self.session.execute(DELETE_UNREFERENCED_EVENTS, {"ids": list(ids)})).all())

    async def _count(self, statement: Any, before: datetime, most: int) -> int:
        return len((await self.session.execute(statement, {"before": before, "most": most})).all())
