"""Delete expired data. The worker runs `delete_expired_data` every hour and `delete_old_events` every day.

Hourly: contacts, notes and tasks that were deleted 30 days ago (until then they can be restored), and
decisions older than a week that say only that a filter did not match. All other decisions, and the path of
every enrollment, stay.

Daily: webhook deliveries, events and finished schedule jobs older than 30 days. An event stays as long as an
enrollment or a decision refers to it. In an account whose workflows or segments have a condition on history
all events stay, because such a condition may look back for years.
"""

from datetime import timedelta
from uuid import UUID

from app.runtime import Runtime
from app.work import SYSTEM, Work, open_work
from db.queries.retention import (
    asks_history,
    delete_activity,
    delete_filter_refusals,
    delete_schedule_jobs,
    delete_unreferenced_events,
    delete_webhook_deliveries,
    erase_deleted_contacts,
    find_accounts_with_expired_data,
    find_accounts_with_old_events,
    find_old_events,
    read_clock,
)

KEEP_DELETED = timedelta(days=30)
KEEP_FILTER_REFUSALS = timedelta(days=7)
KEEP_EVENTS = timedelta(days=30)
BATCH = 500
EVENT_BATCH = 2000
FIRST = UUID(int=0)


async def delete_expired_data(runtime: Runtime) -> int:
    """Deletes expired contacts, notes, tasks and filter refusals of all accounts; returns how many rows."""
    total = 0
    for account_id in await find_accounts_with_expired_data(
        runtime.engine, KEEP_DELETED, KEEP_FILTER_REFUSALS, runtime.clock.offset
    ):
        async with open_work(runtime, account_id, SYSTEM) as work:
            while deleted := await _delete_expired_batch(work):
                total += deleted
    return total


async def _delete_expired_batch(work: Work) -> int:
    """One committed batch of one account; 0 when nothing is left to delete."""
    contacts = await erase_deleted_contacts(work.session, work.now - KEEP_DELETED, BATCH)
    for contact_id in contacts:
        work.audit("contact.erased", "contact", contact_id)
    activity = await delete_activity(work.session, work.now - KEEP_DELETED, BATCH)
    refusals = await delete_filter_refusals(work.session, work.now - KEEP_FILTER_REFUSALS, BATCH)
    await work.commit()
    return len(contacts) + activity + refusals


async def delete_old_events(runtime: Runtime) -> int:
    """Deletes old webhook deliveries, schedule jobs and events of all accounts; returns how many rows."""
    before = await read_clock(runtime.engine, runtime.clock.offset) - KEEP_EVENTS
    total = 0
    for account_id in await find_accounts_with_old_events(runtime.engine, before):
        async with open_work(runtime, account_id, SYSTEM) as work:
            for delete in (delete_webhook_deliveries, delete_schedule_jobs):
                while deleted := await delete(work.session, before, EVENT_BATCH):
                    total += deleted
                    await work.commit()
            after = FIRST
            while not await asks_history(work.session) and (
                ids := await find_old_events(work.session, before, after, EVENT_BATCH)
            ):
                total += await delete_unreferenced_events(work.session, ids)
                after = ids[-1]
                await work.commit()
    return total
