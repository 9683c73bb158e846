"""Deletes expired data of an account, at most `most` rows per call, and finds the accounts that have some.
`before`: only rows older than that."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.ids import uuid7_floor
from db.queries.statements import execute, fetch_scalar, fetch_scalars

_FIND_ACCOUNTS_WITH_EXPIRED_DATA = text(
    "select account_id from accounts_with_expired_data("
    "clock_timestamp() + cast(:ahead as interval) - cast(:deleted as interval), "
    "clock_timestamp() + cast(:ahead as interval) - cast(:decided as interval))"
)
_FIND_ACCOUNTS_WITH_OLD_EVENTS = text(
    "select account_id from accounts_with_old_events(cast(:before as timestamptz), :floor)"
)
_READ_CLOCK = text("select clock_timestamp() + cast(:ahead as interval)")
_DELETE_CONTACTS = text("""
delete from contacts where account_id = current_account() and id in (
  select id from contacts where account_id = current_account() and deleted_at < :before
   order by deleted_at limit :most for update skip locked)
returning id
""")
_DELETE_ACTIVITY = """
delete from {table} where account_id = current_account() and id in (
  select id from {table} where account_id = current_account() and deleted_at < :before
   order by deleted_at limit :most for update skip locked)
"""
_DELETE_NOTES, _DELETE_TASKS = (text(_DELETE_ACTIVITY.format(table=table)) for table in ("notes", "tasks"))
_DELETE_FILTER_REFUSALS = text("""
delete from trigger_decisions where account_id = current_account() and ctid = any(array(
  select ctid from trigger_decisions where account_id = current_account()
   and verdict = 'filter_false' and decided_at < :before limit :most for update skip locked))
""")
# A filter on history may look back further than events are kept elsewhere.
_ASKS_HISTORY = text("""
select exists (select from workflow_versions where account_id = current_account()
                  and document @? cast('$.**.field ? (@ == "history")' as jsonpath))
    or exists (select from segments where account_id = current_account()
                  and filter @? cast('$.**.field ? (@ == "history")' as jsonpath))
""")
_DELETE_WEBHOOK_DELIVERIES = text("""
delete from inbound_deliveries where account_id = current_account() and ctid = any(array(
  select ctid from inbound_deliveries where account_id = current_account()
   and received_at < cast(:before as timestamptz) limit :most for update skip locked))
""")
_DELETE_SCHEDULE_JOBS = text("""
delete from jobs where account_id = current_account() and ctid = any(array(
  select ctid from jobs where account_id = current_account() and task = 'schedule.fire' and status = 'done'
   and finished_at < cast(:before as timestamptz) limit :most for update skip locked))
""")
_FIND_OLD_EVENTS = text("""
select id from events
 where account_id = current_account() and id > :after and id < :floor and matched_at is not null
   and occurred_at < cast(:before as timestamptz)
 order by id limit :most
""")
# An event stays while a decision, or an enrollment that it started or woke, refers to it.
_DELETE_UNREFERENCED_EVENTS = text("""
delete from events v
 where v.account_id = current_account() and v.id = any(cast(:ids as uuid[]))
   and not exists (select from trigger_decisions d
                    where d.account_id = v.account_id and d.event_id = v.id)
   and not exists (select from enrollments e
                    where e.account_id = v.account_id and e.contact_id = v.subject_id
                      and (v.id = e.event_id or v.id = e.root_event_id or v.id = e.wake_event_id))
""")


async def read_clock(engine: AsyncEngine, ahead: timedelta) -> datetime:
    """The database's clock plus `ahead`."""
    async with engine.connect() as connection:
        [now] = await fetch_scalars(connection, datetime, _READ_CLOCK, ahead=ahead)
    return now


async def find_accounts_with_expired_data(
    engine: AsyncEngine, deleted: timedelta, decided: timedelta, ahead: timedelta
) -> list[UUID]:
    """Accounts with contacts, notes or tasks deleted more than `deleted` ago, or with filter refusals decided
    more than `decided` ago. `ahead` is added to the database's clock."""
    async with engine.connect() as connection:
        return await fetch_scalars(
            connection, UUID, _FIND_ACCOUNTS_WITH_EXPIRED_DATA, deleted=deleted, decided=decided, ahead=ahead
        )


async def find_accounts_with_old_events(engine: AsyncEngine, before: datetime) -> list[UUID]:
    """Accounts with events, webhook deliveries or finished schedule jobs from before that time."""
    async with engine.connect() as connection:
        return await fetch_scalars(
            connection, UUID, _FIND_ACCOUNTS_WITH_OLD_EVENTS, before=before, floor=uuid7_floor(before)
        )


async def erase_deleted_contacts(session: AsyncSession, before: datetime, most: int) -> list[UUID]:
    """Erases contacts deleted before then, with everything that belongs to them; returns their ids."""
    return await fetch_scalars(session, UUID, _DELETE_CONTACTS, before=before, most=most)


async def delete_activity(session: AsyncSession, before: datetime, most: int) -> int:
    """Notes and tasks deleted before then, at most `most` of each; returns how many."""
    notes = await _delete(session, _DELETE_NOTES, before, most)
    return notes + await _delete(session, _DELETE_TASKS, before, most)


async def delete_filter_refusals(session: AsyncSession, before: datetime, most: int) -> int:
    """Decisions that say only that a filter did not match; returns how many."""
    return await _delete(session, _DELETE_FILTER_REFUSALS, before, most)


async def delete_webhook_deliveries(session: AsyncSession, before: datetime, most: int) -> int:
    """Returns how many."""
    return await _delete(session, _DELETE_WEBHOOK_DELIVERIES, before, most)


async def delete_schedule_jobs(session: AsyncSession, before: datetime, most: int) -> int:
    """Finished jobs of schedule occurrences; returns how many."""
    return await _delete(session, _DELETE_SCHEDULE_JOBS, before, most)


async def asks_history(session: AsyncSession) -> bool:
    """Whether a published version or a segment has a condition on history."""
    return bool(await fetch_scalar(session, bool, _ASKS_HISTORY))


async def find_old_events(session: AsyncSession, before: datetime, after: UUID, most: int) -> list[UUID]:
    """Ids of matched events from before that time, in order, starting behind the id `after`."""
    floor = uuid7_floor(before)
    return await fetch_scalars(
        session, UUID, _FIND_OLD_EVENTS, after=after, floor=floor, before=before, most=most
    )


async def delete_unreferenced_events(session: AsyncSession, ids: Sequence[UUID]) -> int:
    """Those of these events that no decision and no enrollment refers to; returns how many."""
    return await execute(session, _DELETE_UNREFERENCED_EVENTS, ids=ids)


async def _delete(session: AsyncSession, statement: TextClause, before: datetime, most: int) -> int:
    return await execute(session, statement, before=before, most=most)
