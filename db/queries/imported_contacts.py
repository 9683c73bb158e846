"""Reads and writes the contacts of an import a batch at a time, each statement with arrays."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.contact_columns import ContactTexts, LabeledValue
from app.filters.fields import TEXT_FIELDS
from app.filters.normalize import Value
from db.queries.statements import SqlValue, execute, fetch_all, fetch_scalars

_CONSENTS = ("email_consent", "sms_consent")
_COLUMNS = (*TEXT_FIELDS, *_CONSENTS)
_LIKENESS = (
    "concat_ws(E'\\x1f', coalesce(first_name, ''), coalesce(last_name, ''), coalesce(company, ''),"
    " coalesce(phone, ''))"
)


class ContactValues(msgspec.Struct, frozen=True):
    """Values to write to a contact, by field key; a missing value stays as it is."""

    id: UUID
    values: Mapping[str, Value]


class MatchedContact(ContactTexts, frozen=True):
    """A contact that rows may belong to. `fields` are the custom values by the field's id, `tag_ids` those of
    the import's tags that the contact has."""

    email_consent: str
    sms_consent: str
    other_emails: list[LabeledValue]
    fields: dict[str, Value]
    tag_ids: list[UUID]


class AddedTag(msgspec.Struct, frozen=True):
    """A tag that a contact did not have before."""

    contact_id: UUID
    tag_id: UUID


def _matching(condition: str, *, lock: bool) -> TextClause:
    return text(
        f"select c.id, {', '.join(f'c.{name}' for name in _COLUMNS)}, c.other_emails, c.fields,"  # noqa: S608 -- constants only
        " array(select t.tag_id from contact_tags t where t.account_id = c.account_id"
        " and t.contact_id = c.id and t.tag_id = any(cast(:tag_ids as uuid[]))) as tag_ids"
        f" from contacts c where c.account_id = current_account() and c.deleted_at is null and {condition}"
        f" order by c.id {'for update of c' if lock else ''}"
    )


_BY_KEY = (
    "(c.id = any(array(select e.contact_id from contact_emails e"
    " where e.account_id = current_account() and e.email = any(cast(:emails as text[]))))"
    " or c.external_id = any(cast(:external_ids as text[])))"
)
_BY_KEY_OR_LIKENESS = f"({_BY_KEY} or {_LIKENESS} = any(cast(:likenesses as text[])))"
_MATCHING = {
    (likes, lock): _matching(_BY_KEY_OR_LIKENESS if likes else _BY_KEY, lock=lock)
    for likes in (False, True)
    for lock in (False, True)
}
_ARRAYS = ", ".join(f"cast(:{name} as text[])" for name in _COLUMNS)
_NAMES = ", ".join(_COLUMNS)
_FROM = f"unnest(cast(:ids as uuid[]), {_ARRAYS}, cast(:fields as text[])) as v(id, {_NAMES}, fields)"
_STATED = ", ".join(f"coalesce(v.{name}, 'unknown')" for name in _CONSENTS)
_INSERT_CONTACTS = text(
    f"insert into contacts (id, {_NAMES}, fields, created_at, updated_at)"  # noqa: S608 -- constants only
    f" select v.id, {', '.join(f'v.{name}' for name in TEXT_FIELDS)}, {_STATED}, v.fields::jsonb,"
    f" cast(:now as timestamptz), cast(:now as timestamptz) from {_FROM} on conflict do nothing returning id"
)
_CONSENT_UPDATES = ", ".join(
    f"{name} = case when c.{name} = 'denied' then c.{name} else coalesce(v.{name}, c.{name}) end"
    for name in _CONSENTS
)
_TEXT_UPDATES = ", ".join(f"{name} = coalesce(v.{name}, c.{name})" for name in TEXT_FIELDS)
_UPDATE_CONTACTS = text(
    f"update contacts c set {_TEXT_UPDATES}, {_CONSENT_UPDATES},"  # noqa: S608 -- constants only
    f" fields = c.fields || v.fields::jsonb, rev = c.rev + 1, updated_at = :now from {_FROM}"
    " where c.account_id = current_account() and c.id = v.id"
)
_ADD_TAGS = text("""
insert into contact_tags (contact_id, tag_id, created_at)
select p.contact_id, p.tag_id, cast(:now as timestamptz)
  from unnest(cast(:contact_ids as uuid[]), cast(:tag_ids as uuid[])) as p(contact_id, tag_id)
on conflict do nothing returning contact_id, tag_id
""")


async def match_contacts(
    session: AsyncSession, keys: Mapping[str, Sequence[str]], tag_ids: Collection[UUID], *, lock: bool
) -> list[MatchedContact]:
    """Contacts that have one of these emails, external ids or other match keys (kind → values), oldest first.
    `lock` locks them until the transaction ends."""
    likenesses = keys.get("like", ())
    values: dict[str, SqlValue] = {
        "emails": keys.get("email", ()),
        "external_ids": keys.get("external_id", ()),
        "tag_ids": list(tag_ids),
    }
    if likenesses:
        values["likenesses"] = likenesses
    return await fetch_all(session, MatchedContact, _MATCHING[bool(likenesses), lock], **values)


async def insert_contacts(
    session: AsyncSession, contacts: Sequence[ContactValues], now: datetime
) -> set[UUID]:
    """Adds contacts. Returns the ids that were added; the others have an email address or external ID that
    another contact just took."""
    if not contacts:
        return set()
    return {*await fetch_scalars(session, UUID, _INSERT_CONTACTS, **_columns(contacts), now=now)}


async def update_imported_contacts(
    session: AsyncSession, contacts: Sequence[ContactValues], now: datetime
) -> None:
    """Sets these values and leaves all others; a denied consent stays denied."""
    if contacts:
        await execute(session, _UPDATE_CONTACTS, **_columns(contacts), now=now)


def _columns(contacts: Sequence[ContactValues]) -> dict[str, SqlValue]:
    columns: dict[str, SqlValue] = {
        # Only custom fields hold lists.
        name: [None if isinstance(value := contact.values.get(name), list) else value for contact in contacts]
        for name in _COLUMNS
    }
    columns["ids"] = [contact.id for contact in contacts]
    columns["fields"] = [msgspec.json.encode(_custom(contact)).decode() for contact in contacts]
    return columns


def _custom(contact: ContactValues) -> dict[str, Value]:
    """The custom values by the field's id."""
    return {
        key.removeprefix("custom."): value for key, value in contact.values.items() if key not in _COLUMNS
    }


async def add_tags_of_import(
    session: AsyncSession, contact_ids: Sequence[UUID], tag_ids: Sequence[UUID], now: datetime
) -> list[AddedTag]:
    """Gives every contact every tag; returns those that are new, sorted by contact and tag."""
    pairs = sorted((contact, tag) for contact in contact_ids for tag in tag_ids)
    if not pairs:
        return []
    contacts, tags = [contact for contact, _ in pairs], [tag for _, tag in pairs]
    added = await fetch_all(session, AddedTag, _ADD_TAGS, contact_ids=contacts, tag_ids=tags, now=now)
    return sorted(added, key=lambda row: (row.contact_id, row.tag_id))
