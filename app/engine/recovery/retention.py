"""What has served its time goes: contacts, notes and tasks deleted for 30 days (until then they can be
restored), and decisions "the filter did not match" of a week ago. Everything else of a decision or a
person's way stays."""

from datetime import timedelta

from app.runtime import Runtime
from app.work import SYSTEM, Work, open_work
from db.queries.retention import DataRetention, accounts_with_expired_data

KEEP_DELETED = timedelta(days=30)
KEEP_REFUSALS = timedelta(days=7)
BATCH = 500


async def upkeep(runtime: Runtime) -> int:
    """Clears every account that has something worn, batch by batch; returns how many rows went."""
    gone = 0
    for account_id in await accounts_with_expired_data(
        runtime.engine, KEEP_DELETED, KEEP_REFUSALS, runtime.clock.offset
    ):
        async with open_work(runtime, account_id, SYSTEM) as work:
            while removed := await clear(work):
                gone += removed
    return gone


async def clear(work: Work) -> int:
    """One batch of one account; returns how many rows went, 0 when nothing is left to do."""
    rows = DataRetention(work.session)
    contacts = await rows.remove_contacts(work.now - KEEP_DELETED, BATCH)
    for contact_id in contacts:
        work.audit("contact.erased", "contact", contact_id)
    activity = await rows.remove_activity(work.now - KEEP_DELETED, BATCH)
    refusals = await rows.remove_refusals(work.now - KEEP_REFUSALS, BATCH)
    await work.commit()
    return len(contacts) + activity + refusals
