"""Fills the columns of indexed custom fields (`value_1` and so on) for contacts that were there before."""

from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.statements import fetch_all

NO_ID = UUID(int=0)


class FilledBatch(msgspec.Struct, frozen=True):
    """How many contacts a batch passed, how many of them it changed, and the last one, if any."""

    passed: int
    changed: int
    last: UUID | None


# The column's name comes from a number between 1 and 10, never from outside.
_FILL = """
with batch as (
  select id from contacts where account_id = current_account() and id > :after order by id limit :limit),
filled as (
  update contacts c set value_{slot} = sortable(c.fields -> :key, :kind)
    from batch b
   where c.account_id = current_account() and c.id = b.id
     and c.value_{slot} is distinct from sortable(c.fields -> :key, :kind)
  returning c.id)
select (select count(*) from batch) as passed, (select count(*) from filled) as changed,
       (select id from batch order by id desc limit 1) as last
"""


async def fill_slot(
    session: AsyncSession, slot: int, field_id: UUID, kind: str, after: UUID | None, limit: int
) -> FilledBatch:
    """Fills the slot of the next contacts after an id with their values in the field."""
    statement = text(_FILL.format(slot=int(slot)))
    [batch] = await fetch_all(
        session, FilledBatch, statement, after=after or NO_ID, limit=limit, key=str(field_id), kind=kind
    )
    return batch
