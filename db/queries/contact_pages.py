"""What the contact screens read: a page of the list, the number of matches, one contact with its tags and its
owner's name, and its enrollments."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, and_, func, literal, select, text, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.filters.fields import TEXT_FIELDS
from app.filters.normalize import Value
from db.models import Contact, ContactTag, Enrollment, Tag, User, Workflow
from db.queries.contact_conditions import Clause
from db.queries.statements import fetch_all, fetch_one, fetch_scalar, fetch_scalars

MOST_COUNTED_IN_LIST = 10_000
SortValue: TypeAlias = str | datetime


class ContactTexts(msgspec.Struct, frozen=True):
    """The id of a contact and its text fields, in the order of `TEXT_FIELDS`."""

    id: UUID
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    phone2: str | None
    company: str | None
    address: str | None
    city: str | None
    county: str | None
    state: str | None
    postal_code: str | None
    country: str | None
    website: str | None
    time_zone: str | None
    external_id: str | None


class ContactRow(ContactTexts, frozen=True):
    """A contact. `fields` are the custom values by the field's id; each tag has `id` and `name`, sorted by
    name."""

    owner: UUID | None
    owner_name: str
    email_consent: str
    sms_consent: str
    fields: dict[str, Value]
    rev: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    tags: list[dict[str, str]]


class ListedContact(ContactRow, frozen=True):
    """A contact in a sorted list."""

    sort_value: SortValue


class EnrollmentOfContact(msgspec.Struct, frozen=True):
    """An enrollment, `workflow` is the workflow's name."""

    id: UUID
    workflow_id: UUID
    workflow: str
    version: int
    status: str
    step: str | None
    wait_until: datetime | None
    entered_at: datetime
    ended_at: datetime | None


_TAGS = func.coalesce(
    select(
        func.jsonb_agg(
            # Sorted by name, as on every screen.
            text("jsonb_build_object('id', tags.id, 'name', tags.name) order by tags.slug")
        )
    )
    .select_from(ContactTag)
    .join(Tag, and_(Tag.account_id == ContactTag.account_id, Tag.id == ContactTag.tag_id))
    .where(ContactTag.account_id == Contact.account_id, ContactTag.contact_id == Contact.id)
    .correlate(Contact)
    .scalar_subquery(),
    text("'[]'::jsonb"),
    type_=JSONB,
).label("tags")
_OWNER_NAME = func.coalesce(
    select(User.name).where(User.id == Contact.owner_id).correlate(Contact).scalar_subquery(), ""
).label("owner_name")
_CONTACTS = select(
    Contact.id,
    *(getattr(Contact, name) for name in TEXT_FIELDS),
    Contact.owner_id.label("owner"),
    _OWNER_NAME,
    Contact.email_consent,
    Contact.sms_consent,
    Contact.fields,
    Contact.rev,
    Contact.created_at,
    Contact.updated_at,
    Contact.deleted_at,
    _TAGS,
)

_FIND_LIVE_CONTACTS = text("""
select id from contacts
 where account_id = current_account() and deleted_at is null and id = any(cast(:ids as uuid[]))
""")
_FIND_CONTACT_BY_EMAIL = text("""
select id from contacts where account_id = current_account() and deleted_at is null and email = :email
""")


def _folded(column: InstrumentedAttribute[str | None]) -> ColumnElement[str]:
    return func.lower(func.coalesce(column, ""))


SORTS: dict[str, ColumnElement[str] | InstrumentedAttribute[datetime]] = {
    "name": func.lower(func.coalesce(Contact.last_name, "") + " " + func.coalesce(Contact.first_name, "")),
    "email": _folded(Contact.email),
    "company": _folded(Contact.company),
    "city": _folded(Contact.city),
    "state": _folded(Contact.state),
    "created_at": Contact.created_at,
    "updated_at": Contact.updated_at,
}


async def fetch_contact_page(
    session: AsyncSession,
    condition: Clause,
    sort: str,
    *,
    descending: bool = False,
    cursor: tuple[SortValue, UUID] | None = None,
    backwards: bool = False,
    limit: int = 50,
) -> tuple[list[ListedContact], bool]:
    """At most `limit` contacts that come after `cursor` (its sort value and id; before it when `backwards`),
    and whether there are more in that direction. Ties are in the order of ids."""
    value = SORTS[sort]
    down = descending != backwards
    query = _CONTACTS.add_columns(value.label("sort_value")).where(
        Contact.account_id == session.info["account_id"], condition
    )
    if cursor is not None:
        place, edge = tuple_(value, Contact.id), tuple_(literal(cursor[0]), literal(cursor[1]))
        query = query.where(place < edge if down else place > edge)
    order = (value.desc(), Contact.id.desc()) if down else (value, Contact.id)
    rows = await fetch_all(session, ListedContact, query.order_by(*order).limit(limit + 1))
    page, more = rows[:limit], len(rows) > limit
    return (page[::-1] if backwards else page), more


async def count_contacts(session: AsyncSession, condition: Clause, most: int = MOST_COUNTED_IN_LIST) -> int:
    """The number of contacts, counted up to one more than `most`."""
    mine = Contact.account_id == session.info["account_id"]
    some = select(literal(1)).select_from(Contact).where(mine, condition).limit(most + 1).subquery()
    return await fetch_scalar(session, int, select(func.count()).select_from(some)) or 0


async def find_contact(session: AsyncSession, contact_id: UUID) -> ContactRow | None:
    """One contact, deleted or not."""
    mine = Contact.account_id == session.info["account_id"]
    return await fetch_one(session, ContactRow, _CONTACTS.where(mine, Contact.id == contact_id))


async def find_live_contacts(session: AsyncSession, contact_ids: Sequence[UUID]) -> list[UUID]:
    """Those of these ids that are contacts of the account."""
    return await fetch_scalars(session, UUID, _FIND_LIVE_CONTACTS, ids=contact_ids)


async def find_contact_by_email(session: AsyncSession, email: str) -> UUID | None:
    """The contact with this address in its normalized form."""
    return await fetch_scalar(session, UUID, _FIND_CONTACT_BY_EMAIL, email=email)


async def list_enrollments_of_contact(
    session: AsyncSession, contact_id: UUID, limit: int = 20
) -> list[EnrollmentOfContact]:
    """The contact's enrollments, latest first."""
    query = (
        select(
            Enrollment.id,
            Enrollment.workflow_id,
            Workflow.name.label("workflow"),
            Enrollment.version,
            Enrollment.status,
            Enrollment.step_key.label("step"),
            Enrollment.wait_until,
            Enrollment.entered_at,
            Enrollment.ended_at,
        )
        .join(
            Workflow,
            and_(Workflow.account_id == Enrollment.account_id, Workflow.id == Enrollment.workflow_id),
        )
        .where(Enrollment.account_id == session.info["account_id"], Enrollment.contact_id == contact_id)
        .order_by(Enrollment.entered_at.desc(), Enrollment.id.desc())
        .limit(limit)
    )
    return await fetch_all(session, EnrollmentOfContact, query)
