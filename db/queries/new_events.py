"""Stores new events of contacts, which the matcher reads in the order of their ids."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.queries.batch_statements import BatchStatement, write_batch


class NewEvent(msgspec.Struct, frozen=True):
    """An event to store. `root_event_id` is the event that began the chain (its own id, if no workflow caused
    it), `depth` how many workflows are in between."""

    id: UUID
    kind: str
    subject_id: UUID
    source: str
    data: JsonObject
    root_event_id: UUID
    depth: int = 0


_INSERT_EVENTS = BatchStatement(
    NewEvent,
    """
insert into events (id, kind, subject_id, source, data, root_event_id, depth, occurred_at)
select v.id, v.kind, v.subject_id, v.source, cast(v.data as jsonb), v.root_event_id, v.depth,
       cast(:now as timestamptz)
  from {v}
""",
)


async def insert_events(session: AsyncSession, events: Sequence[NewEvent], now: datetime) -> None:
    """Stores the events, all as of `now`."""
    await write_batch(session, _INSERT_EVENTS, events, now=now)
