"""Contacts of a batch of the engine: reads them, and writes what steps changed, which differs from contact to
contact. What members do to many contacts at once is in `contact_writes`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import Executable, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.facts import FactValue
from app.filters.fields import BUILT_IN, TEXT_FIELDS
from app.json_types import Json
from db.queries.batch_statements import BatchStatement, write_batch
from db.queries.statements import execute, fetch_all
from db.queries.tags import TagName

_WRITABLE_FIELDS = tuple(key for key in TEXT_FIELDS if BUILT_IN[key].writable)
# Consents that a step may change too; _WRITE_CONTACT_VALUES has an expression of its own for each.
_CONSENT_FIELDS = ("email_consent", "sms_consent")
CONTACT_COLUMNS = (*TEXT_FIELDS, "owner", *_CONSENT_FIELDS, "created_at", "updated_at")
# All that `update_contacts` writes.
UPDATED_FIELDS = frozenset({*_WRITABLE_FIELDS, *_CONSENT_FIELDS, "owner"})
_COLUMN = {"owner": "cast(owner_id as text) as owner"}


class StoredContact(msgspec.Struct, frozen=True):
    """A contact: its columns by field key, and its custom values by the id of the field."""

    id: UUID
    columns: dict[str, FactValue]
    custom: Mapping[str, Json]


class ContactUpdate(msgspec.Struct, frozen=True):
    """New values of a contact: built-in ones by field key, custom ones by the id of the field. None empties
    a field."""

    id: UUID
    built_in: Mapping[str, FactValue]
    custom: Mapping[str, FactValue]


class TagsOfContact(msgspec.Struct, frozen=True):
    """The ids of all tags of a contact that has some."""

    contact_id: UUID
    tags: list[UUID]


class TagOfContact(msgspec.Struct, frozen=True):
    """A tag of a contact."""

    contact_id: UUID
    tag_id: UUID


_CONTACTS_BY_ID = f"""
select id, {", ".join(_COLUMN.get(name, name) for name in CONTACT_COLUMNS)}, fields from contacts
 where account_id = current_account() and id = any(cast(:ids as uuid[])) and deleted_at is null order by id
"""  # noqa: S608 -- the names are our own columns
_READ_CONTACTS = text(_CONTACTS_BY_ID).columns(fields=JSONB)
_LOCK_CONTACTS = text(_CONTACTS_BY_ID + " for no key update").columns(fields=JSONB)
_READ_DELETED_CONTACTS = text(
    _CONTACTS_BY_ID.replace("deleted_at is null", "deleted_at is not null")
).columns(fields=JSONB)
_READ_CONTACT_TAGS = text("""
select contact_id, array_agg(tag_id) as tags from contact_tags
 where account_id = current_account() and contact_id = any(cast(:ids as uuid[])) group by 1
""")
_SET = ", ".join(
    f"{name} = case when u.built_in ? '{name}' then u.built_in ->> '{name}' else c.{name} end"
    for name in _WRITABLE_FIELDS
)
_CONSENT = ", ".join(
    f"{name} = case when u.built_in ? '{name}' then coalesce(u.built_in ->> '{name}', 'unknown')"
    f" else c.{name} end"
    for name in _CONSENT_FIELDS
)
# A user who is no longer a member becomes null instead of failing the batch.
_OWNER = """owner_id = case when u.built_in ? 'owner' then
       (select m.user_id from memberships m where m.account_id = current_account()
           and m.user_id = cast(u.built_in ->> 'owner' as uuid)) else c.owner_id end"""
_WRITE_CONTACT_VALUES = BatchStatement(
    ContactUpdate,
    f"""
update contacts c
   set {_SET}, {_CONSENT}, {_OWNER}, fields = jsonb_strip_nulls(c.fields || u.custom), rev = c.rev + 1,
       updated_at = cast(:now as timestamptz)
  from (select v.id, cast(v.built_in as jsonb) as built_in, cast(v.custom as jsonb) as custom
          from {{v}}) u
 where c.account_id = current_account() and c.id = u.id
""",  # noqa: S608 -- the names are our own columns
)
# A tag that was deleted meanwhile is skipped instead of failing the batch.
_ADD_CONTACT_TAGS = BatchStatement(
    TagOfContact,
    """
insert into contact_tags (contact_id, tag_id)
select v.contact_id, v.tag_id
  from {v}
  join tags t on t.account_id = current_account() and t.id = v.tag_id
on conflict do nothing
""",
)
_READ_TAG_NAMES = text("""
select id, name from tags where account_id = current_account() and id = any(cast(:ids as uuid[]))
""")
_REMOVE_CONTACT_TAGS = BatchStatement(
    TagOfContact,
    """
delete from contact_tags t
 using {v}
 where t.account_id = current_account() and t.contact_id = v.contact_id and t.tag_id = v.tag_id
""",
)
_MARK_CONTACTS_DELETED = text("""
update contacts set deleted_at = cast(:now as timestamptz), updated_at = cast(:now as timestamptz),
       rev = rev + 1
 where account_id = current_account() and id = any(cast(:ids as uuid[])) and deleted_at is null
""")


async def read_contacts(session: AsyncSession, ids: Sequence[UUID]) -> list[StoredContact]:
    """Those of these contacts that are not deleted."""
    return await _contacts(session, _READ_CONTACTS, ids)


async def lock_contacts(session: AsyncSession, ids: Iterable[UUID]) -> list[StoredContact]:
    """Like `read_contacts`, and locks them until the transaction ends, in the order of their ids, so that no
    two batches deadlock."""
    return await _contacts(session, _LOCK_CONTACTS, sorted(ids))


async def read_deleted_contacts(session: AsyncSession, ids: Iterable[UUID]) -> list[StoredContact]:
    """Those of these contacts that are deleted, as they were."""
    return await _contacts(session, _READ_DELETED_CONTACTS, sorted(ids))


async def _contacts(session: AsyncSession, statement: Executable, ids: Sequence[UUID]) -> list[StoredContact]:
    # Not fetch_all: the columns depend on the built-in fields and become one dict.
    rows = (await session.execute(statement, {"ids": ids})).all()
    return [
        StoredContact(row[0], dict(zip(CONTACT_COLUMNS, row[1:-1], strict=True)), row[-1]) for row in rows
    ]


async def read_contact_tags(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, set[UUID]]:
    """The tags of those of these contacts that have some."""
    rows = await fetch_all(session, TagsOfContact, _READ_CONTACT_TAGS, ids=ids)
    return {row.contact_id: set(row.tags) for row in rows}


async def update_contacts(session: AsyncSession, rows: Sequence[ContactUpdate], now: datetime) -> None:
    """Stores new values, and counts a revision of each contact."""
    await write_batch(session, _WRITE_CONTACT_VALUES, rows, now=now)


async def add_contact_tags(session: AsyncSession, rows: Sequence[TagOfContact]) -> None:
    """Adds tags to contacts."""
    await write_batch(session, _ADD_CONTACT_TAGS, rows)


async def remove_contact_tags(session: AsyncSession, rows: Sequence[TagOfContact]) -> None:
    """Removes tags from contacts."""
    await write_batch(session, _REMOVE_CONTACT_TAGS, rows)


async def read_tag_names(session: AsyncSession, tags: Sequence[UUID]) -> dict[UUID, str]:
    """The names of those of these tags that exist."""
    return {row.id: row.name for row in await fetch_all(session, TagName, _READ_TAG_NAMES, ids=tags)}


async def delete_contacts(session: AsyncSession, ids: Sequence[UUID], now: datetime) -> None:
    """Deletes contacts; they can be restored for 30 days."""
    if ids:
        await execute(session, _MARK_CONTACTS_DELETED, ids=sorted(ids), now=now)
