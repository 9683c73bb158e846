"""Once a day: deliveries to webhooks, events and done occurrences of clocks of more than 30 days ago are
forgotten. An event stays as
long as an enrollment or a decision refers to it; in an account whose workflows or segments ask about history
all events stay, because such a condition may look back for years."""

from datetime import timedelta
from uuid import UUID

from app.runtime import Runtime
from app.work import SYSTEM, open_work
from db.queries.event_retention import EventRetention, accounts_with_old_events, read_clock

KEEP = timedelta(days=30)
BATCH = 2000
FIRST = UUID(int=0)


async def forget(runtime: Runtime) -> int:
    """Clears every account that has something old, batch by batch; returns how many rows went."""
    before = await read_clock(runtime.engine, runtime.clock.offset) - KEEP
    gone = 0
    for account_id in await accounts_with_old_events(runtime.engine, before):
        async with open_work(runtime, account_id, SYSTEM) as work:
            rows = EventRetention(work.session, before)
            while removed := await rows.deliveries(BATCH):
                gone += removed
                await work.commit()
            while removed := await rows.strikes(BATCH):
                gone += removed
                await work.commit()
            after = FIRST
            while not await rows.asks_history() and (ids := await rows.old_events(after, BATCH)):
                gone += await rows.events(ids)
                after = ids[-1]
                await work.commit()
    return gone
