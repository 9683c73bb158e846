"""Removing what has served its time."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

FIND_ACCOUNTS_WITH_EXPIRED_DATA = text(
    "select account_id from worn_accounts("
    "clock_timestamp() + cast(:ahead as interval) - cast(:deleted as interval), "
    "clock_timestamp() + cast(:ahead as interval) - cast(:decided as interval))"
)
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


async def accounts_with_expired_data(
    engine: AsyncEngine, deleted: timedelta, decided: timedelta, ahead: timedelta
) -> list[UUID]:
    """Accounts with contacts, notes or tasks deleted, or refusals decided, longer ago than that; `ahead`
    moves the clock."""
    async with engine.connect() as connection:
        ages = {"deleted": deleted, "decided": decided, "ahead": ahead}
        return list((await connection.execute(FIND_ACCOUNTS_WITH_EXPIRED_DATA, ages)).scalars())


class DataRetention:
    """Of the session's account."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def remove_contacts(self, before: datetime, most: int) -> list[UUID]:
        """Erases contacts deleted before then, with all that belongs to them; returns their ids."""
        return list((await self.session.execute(DELETE_CONTACTS, {"before": before, "most": most})).scalars())

    async def remove_activity(self, before: datetime, most: int) -> int:
        """Removes notes and tasks deleted before then, at most so many of each; returns how many."""
        values = {"before": before, "most": most}
        return sum(
            [len((await self.session.execute(query, values)).all()) for query in (DELETE_NOTES, DELETE_TASKS)]
        )

    async def remove_refusals(self, before: datetime, most: int) -> int:
        """Forgets decisions that a filter did not match, decided before then; returns how many."""
        return len(
            (await self.session.execute(DELETE_FILTER_REFUSALS, {"before": before, "most": most})).all()
        )
