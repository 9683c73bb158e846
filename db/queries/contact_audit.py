"""Audit entries of many changed contacts, with one statement."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import Json
from db.ids import uuid7
from db.queries.batch_statements import BatchStatement, write_batch


class ContactAuditEntry(msgspec.Struct, frozen=True):
    """What changed in a contact: field key to [from, to]."""

    action: str
    contact_id: UUID
    changes: Mapping[str, Sequence[Json]]


class _EntryRow(msgspec.Struct, frozen=True):
    id: UUID
    action: str
    contact_id: UUID
    changes: Mapping[str, Sequence[Json]]


_INSERT_AUDIT_ENTRIES_OF_CONTACTS = BatchStatement(
    _EntryRow,
    """
insert into audit_logs
       (id, occurred_at, actor_kind, actor_id, actor_name, action, subject_kind, subject_id, changes, rev)
select v.id, cast(:now as timestamptz), :actor_kind, :actor_id, :actor_name, v.action, 'contact',
       cast(v.contact_id as text), cast(v.changes as jsonb), c.rev
  from {v}
  left join contacts c on c.account_id = current_account() and c.id = v.contact_id
""",
)


async def insert_contact_audit_entries(
    session: AsyncSession,
    entries: Sequence[ContactAuditEntry],
    *,
    actor_kind: str,
    actor_id: str,
    actor_name: str,
    now: datetime,
) -> None:
    """Writes the entries in this order: their ids sort by time. The contacts have been written before: each
    entry takes the revision of its contact."""
    rows = [_EntryRow(uuid7(), entry.action, entry.contact_id, entry.changes) for entry in entries]
    await write_batch(
        session, _INSERT_AUDIT_ENTRIES_OF_CONTACTS, rows, actor_kind=actor_kind, actor_id=actor_id,
        actor_name=actor_name, now=now,
    )  # fmt: skip
