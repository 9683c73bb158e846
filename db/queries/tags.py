"""Sets of tags of the session's account: with their contacts, their names, and those that are missing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Uuid,
    and_,
    any_,
    case,
    func,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import uuid7
from db.models import Contact, ContactTag, Tag
from db.queries.catalogs import Catalog, read_catalog
from db.queries.counters import is_known, summed
from db.queries.statements import execute, fetch_all


class TagWithContacts(msgspec.Struct, frozen=True):
    """A tag and the number of contacts with it that are not deleted."""

    id: UUID
    name: str
    contacts: int
    created_at: datetime


class TagName(msgspec.Struct, frozen=True):
    id: UUID
    name: str


_SIZE = (
    select(func.count())
    .select_from(ContactTag)
    .join(Contact, and_(Contact.account_id == ContactTag.account_id, Contact.id == ContactTag.contact_id))
    .where(
        ContactTag.account_id == func.current_account(), ContactTag.tag_id == Tag.id,
        Contact.deleted_at.is_(None),
    )
    .correlate(Tag)
    .scalar_subquery()
)  # fmt: skip
_COUNTED = literal_column(summed("tags", "subject_id = tags.id"), BigInteger)
_TAGS_WITH_CONTACTS = (
    select(
        Tag.id,
        Tag.name,
        case((literal_column(is_known("tags"), Boolean), _COUNTED), else_=_SIZE).label("contacts"),
        Tag.created_at,
    )
    .where(Tag.account_id == func.current_account())
    .order_by(Tag.slug)
)
_NAMES = text("select id, name from tags where account_id = current_account() order by slug")
_INSERT_MISSING = text("""
insert into tags (id, name, slug)
select * from unnest(cast(:ids as uuid[]), cast(:names as text[]), cast(:slugs as text[]))
on conflict do nothing
""")


async def list_tags_with_contacts(session: AsyncSession, tag_ids: Sequence[UUID]) -> list[TagWithContacts]:
    """These tags, sorted by name."""
    ids = literal([*tag_ids], ARRAY(Uuid))  # one parameter, however many there are
    return await fetch_all(session, TagWithContacts, _TAGS_WITH_CONTACTS.where(Tag.id == any_(ids)))


async def find_tag_with_contacts(session: AsyncSession, tag_id: UUID) -> TagWithContacts | None:
    """One tag; None when there is none."""
    return next(iter(await list_tags_with_contacts(session, [tag_id])), None)


async def list_tag_names(session: AsyncSession) -> Mapping[str, str]:
    """The names of all tags by id (as text), sorted by name."""
    return await read_catalog(session, _NAMES_CATALOG)


async def _read_names(session: AsyncSession) -> dict[str, str]:
    return {str(tag.id): tag.name for tag in await fetch_all(session, TagName, _NAMES)}


def _as_they_are(names: dict[str, str]) -> Mapping[str, str]:
    return names


_NAMES_CATALOG = Catalog("tags", ("tags",), dict[str, str], _read_names, _as_they_are)


async def insert_missing_tags(session: AsyncSession, names_by_slug: Mapping[str, str]) -> None:
    """Inserts the tags whose slugs don't exist yet."""
    # In one order, so that two transactions that insert the same tags cannot block each other.
    slugs = sorted(names_by_slug)
    names = [names_by_slug[slug] for slug in slugs]
    await execute(session, _INSERT_MISSING, ids=[uuid7() for _ in slugs], names=names, slugs=slugs)
