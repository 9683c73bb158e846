"""Writes one contact that a member or a script creates or changes: the row, its audit entry and its event in
one statement. Sets of contacts are written by `contact_writes` and `contact_batches`."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.contact_columns import COLUMNS, ContactColumns
from app.json_types import Json
from db.ids import uuid7
from db.queries.driver_statements import run
from db.queries.statements import SqlValue


class RecordedChange(msgspec.Struct, frozen=True):
    """Who did what to a contact; `changes` is field key to [from, to]. `event` is the kind of the event with
    its `data` and `source`, "" for none."""

    now: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    request_id: str | None
    action: str
    changes: Mapping[str, list[Json]]
    event: str = ""
    source: str = ""
    data: Mapping[str, Mapping[str, list[Json]]] = {}


_FIRST = 14  # the number of the contact's first parameter
_PARAMETERS = [f"${number}" for number in range(_FIRST, _FIRST + len(COLUMNS))]
_REV = _PARAMETERS[COLUMNS.index("rev")]
_RECORD = f"""
with entry as (
  insert into audit_logs (id, occurred_at, actor_kind, actor_id, actor_name, request_id, action, changes,
                          subject_kind, subject_id, rev)
  values ($2, $1, $3, $4, $5, $6, $7, $8, 'contact', ${_FIRST}::uuid::text, {_REV})),
event as (
  insert into events (id, kind, source, data, subject_id, root_event_id, occurred_at)
  select $9::uuid, $10::text, $11::text, $12::jsonb, ${_FIRST}::uuid, $9::uuid, $1::timestamptz
   where $10::text <> '')
"""  # noqa: S608 -- constants only
_INSERT = (
    f"{_RECORD} insert into contacts (account_id, {', '.join(COLUMNS)})"  # noqa: S608 -- constants only
    f" values ($13, {', '.join(_PARAMETERS)})"
)
_UPDATE = f"""{_RECORD}
update contacts set deletion_job_id = null,
  {", ".join(f"{name} = {parameter}" for name, parameter in zip(COLUMNS[1:], _PARAMETERS[1:], strict=True))}
 where account_id = $13 and id = ${_FIRST}
"""  # noqa: S608 -- constants only


async def insert_contact(session: AsyncSession, contact: ContactColumns, change: RecordedChange) -> None:
    """Writes a new contact. Raises IntegrityError when another one has its email address or external ID."""
    await run(session, _INSERT, *_values(session, contact, change))


async def update_contact(session: AsyncSession, contact: ContactColumns, change: RecordedChange) -> None:
    """Writes all values of a contact that this transaction locked; a bulk deletion can then no longer be
    undone for it. Raises IntegrityError as `insert_contact`."""
    await run(session, _UPDATE, *_values(session, contact, change))


def _values(session: AsyncSession, contact: ContactColumns, change: RecordedChange) -> list[SqlValue]:
    row = {name: getattr(contact, name) for name in ContactColumns.__struct_fields__}
    return [
        change.now,
        uuid7(),
        change.actor_kind,
        change.actor_id,
        change.actor_name,
        change.request_id,
        change.action,
        _json(change.changes),
        uuid7(),
        change.event,
        change.source,
        _json(change.data),
        session.info["account_id"],
        *(row | {name: _json(row[name]) for name in ("fields", "other_emails", "other_phones")}).values(),
    ]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
