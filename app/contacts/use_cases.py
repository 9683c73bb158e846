"""Create, change, tag, delete and restore one contact. Each use case locks, validates, writes, audits, emits
its event, commits, and returns the contact as it is then."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy.exc import IntegrityError

from app.contacts.addresses import OTHERS, read_addresses, settled, touched_keys
from app.contacts.conflicts import own_changes
from app.contacts.domain import (
    UNIQUE,
    FieldInput,
    StoredValue,
    UniqueKey,
    filled_in,
    form_name,
    is_stored,
    name_of,
    nameless,
    normalize,
    shown_value,
    stored_value,
    unique_values,
    unrecognized,
    with_member_names,
)
from app.contacts.schemas import ContactView, TagRef
from app.errors import Conflict, Invalid, NotFound
from app.filters.contact_columns import ContactColumns
from app.filters.fields import TEXT_FIELDS, Fields, defaults_of, required_fields
from app.filters.normalize import TEXT_KEYS
from app.json_types import Json
from app.permissions import Permission
from app.tags.use_cases import ensured_tag
from app.work import SOURCES, Work
from db.ids import uuid7
from db.models import Contact
from db.queries import contact_changes
from db.queries.catalogs import renew_versions
from db.queries.contact_changes import RecordedChange
from db.queries.contact_pages import ContactRow, find_contact, lock_contact
from db.queries.contact_writes import add_tag_to_contacts, remove_tag_from_contacts
from db.queries.fields import keep_fields, read_field_catalog
from db.queries.programs import AccountSettings, read_account
from db.queries.statements import UNIQUE_VIOLATION, sqlstate_of
from db.queries.tags import list_tag_names

TAKEN_MEANWHILE = (
    "Another contact just took this email address or external ID. Reload the list, then try again."
)
STORED = len(ContactColumns.__struct_fields__)


class Catalogs(msgspec.Struct, frozen=True):
    """What the values and ids of contacts refer to. A change reads them after it locked the contact: while
    it waited for the lock, a field, a tag or a member may have gone."""

    fields: Fields
    tags: Mapping[str, str]
    account: AccountSettings

    @classmethod
    async def of(cls, work: Work) -> "Catalogs":
        """Those of the account. Without repositories, which cost more than a catalog that is cached."""
        account = await read_account(work.session)
        fields, tags = await read_field_catalog(work.session), await list_tag_names(work.session)
        return cls(fields, tags, account)


def view_of(row: ContactRow, catalogs: Catalogs) -> ContactView:
    """A contact as its page and the list show it."""
    owner = member_name(catalogs.fields, row.owner)
    tags = _tag_refs(row.tag_ids, catalogs.tags) if row.tag_ids else []
    own = (name_of(row), owner, tags, unrecognized(row))
    return ContactView(*(*msgspec.structs.astuple(row)[:STORED], *own))


async def views_of(work: Work, rows: Sequence[ContactRow], catalogs: Catalogs) -> list[ContactView]:
    """Contacts as `view_of` shows them. A tag or an owner may be newer than this transaction, and so unknown
    to the catalogs that it began with: then they are read anew, once."""
    views = [view_of(row, catalogs) for row in rows]
    if all(map(_names_all, views, rows)):
        return views
    await renew_versions(work.session)
    catalogs = await Catalogs.of(work)
    return [view_of(row, catalogs) for row in rows]


def _names_all(view: ContactView, row: ContactRow) -> bool:
    return len(view.tags) == len(row.tag_ids) and (row.owner is None or bool(view.owner_name))


def member_name(fields: Fields, user_id: UUID | None) -> str:
    """The name of a member, "" for none."""
    return (fields["owner"].names or {}).get(str(user_id), "") if user_id else ""


def _tag_refs(tag_ids: Sequence[UUID], tags: Mapping[str, str]) -> list[TagRef]:
    """The tags, sorted by name."""
    refs = [TagRef(tag_id, name) for tag_id in tag_ids if (name := tags.get(str(tag_id)))]
    return sorted(refs, key=_slug) if len(refs) > 1 else refs


def _slug(tag: TagRef) -> str:
    return tag.name.casefold()


async def contact_of(work: Work, contact_id: UUID) -> ContactView:
    """One contact, a deleted one too. Raises `NotFound`."""
    row = await find_contact(work.session, contact_id)
    if row is None:
        raise NotFound("contact")
    [view] = await views_of(work, [row], await Catalogs.of(work))
    return view


async def create_contact(
    work: Work, values: Mapping[str, FieldInput], tags: Sequence[str] = ()
) -> ContactView:
    """Creates a contact from values by field key, with tags by name. Raises `Invalid`."""
    await keep_fields(work.session, values)
    catalogs = await Catalogs.of(work)
    if defaults := defaults_of(catalogs.fields):
        await keep_fields(work.session, defaults)
        catalogs = await Catalogs.of(work)
    clean = defaults_of(catalogs.fields) | _clean(catalogs, values)
    _refuse_incomplete(catalogs.fields, clean)
    _refuse_nameless(clean)
    filled = {key: value for key, value in clean.items() if value is not None and value != []}
    contact = settled(filled_in(_blank(work), filled), filled)
    changes: dict[str, list[Json]] = {key: [None, shown_value(stored_value(contact, key))] for key in filled}
    changes = with_member_names(catalogs.fields, changes)
    change = _change(work, "contact.created", changes, event="contact.created")
    try:
        await contact_changes.insert_contact(work.session, contact, change)
    except IntegrityError as error:
        if not _is_taken(error):
            raise
        raise await _taken(work, clean, None) from None
    refs = await _tag_new(work, contact.id, tags) if tags else []
    await work.commit()
    return msgspec.structs.replace(view_of(contact, catalogs), tags=refs)


async def _tag_new(work: Work, contact_id: UUID, names: Sequence[str]) -> list[TagRef]:
    """Tags a contact that this transaction created; returns its tags, sorted by name."""
    refs: dict[UUID, TagRef] = {}
    for name in names:
        try:
            tag_id, tag = await ensured_tag(work, name)
        except Invalid as error:
            raise Invalid({"tags": error.message}) from None
        if tag_id in refs:
            continue
        refs[tag_id] = TagRef(tag_id, tag)
        await add_tag_to_contacts(work.session, [contact_id], tag_id)
        work.audit("tag.added", "contact", contact_id, {"tag": [None, tag]})
        work.emit("tag.added", contact_id, {"tag_id": str(tag_id)})
    return sorted(refs.values(), key=_slug)


async def update_contact(
    work: Work, contact_id: UUID, values: Mapping[str, FieldInput], rev: int | None
) -> ContactView:
    """Changes only these values, by field key. With `rev` a value that the caller left as it was in that
    revision doesn't undo a later change. Raises `Conflict` when both changed a field, `Invalid`,
    `NotFound`."""
    await keep_fields(work.session, values)
    contact = await _locked(work, contact_id)
    catalogs = await Catalogs.of(work)
    # What stays as it is isn't refused, such as a member who has left.
    new = {key: value for key, value in values.items() if not is_stored(contact, key, value)}
    return await _update(work, contact, catalogs, new, rev)


async def change_addresses(
    work: Work, contact_id: UUID, change: Callable[[ContactRow], Mapping[str, object]]
) -> ContactView:
    """Changes emails or phones to the values that `change` gives for the contact as it is now. Raises
    `Invalid`, `NotFound`."""
    contact = await _locked(work, contact_id)
    try:
        values = change(contact)
    except ValueError as error:
        raise Invalid({"address": str(error)}) from None
    return await _update(work, contact, await Catalogs.of(work), values, None)


async def _update(
    work: Work, contact: ContactRow, catalogs: Catalogs, values: Mapping[str, object], rev: int | None
) -> ContactView:
    """Changes these values of a locked contact. Raises `Invalid`, `Conflict`."""
    clean = _clean(catalogs, values)
    if rev is not None and rev != contact.rev:
        own = await own_changes(work, view_of(contact, catalogs), catalogs.fields, rev, values, clean)
        clean = {key: clean[key] for key in own}
    after = settled(filled_in(contact, clean), clean)
    changes: dict[str, list[Json]] = {
        key: [shown_value(old), shown_value(new)]
        for key in dict.fromkeys((*clean, *touched_keys(clean)))
        if (old := stored_value(contact, key)) != (new := stored_value(after, key))
    }
    if not changes:
        return view_of(contact, catalogs)
    _refuse_nameless({key: stored_value(after, key) for key in TEXT_KEYS})
    named = with_member_names(catalogs.fields, changes)
    change = _change(work, "contact.updated", named, event="contact.updated", data={"changes": changes})
    try:
        saved = await _save(work, after, change)
    except IntegrityError as error:
        if not _is_taken(error):
            raise
        raise await _taken(work, clean, contact.id) from None
    await work.commit()
    return view_of(saved, catalogs)


async def delete_contact(work: Work, contact_id: UUID) -> ContactView:
    """Soft-deletes a contact. Deleting it twice changes nothing."""
    contact = await _locked(work, contact_id, deleted=True)
    catalogs = await Catalogs.of(work)
    if contact.deleted_at is None:
        gone: dict[str, list[Json]] = {"name": [name_of(contact), None]}
        change = _change(work, "contact.deleted", gone, event="contact.deleted")
        contact = await _save(work, msgspec.structs.replace(contact, deleted_at=work.now), change)
        await work.commit()
    return view_of(contact, catalogs)


async def restore_contact(work: Work, contact_id: UUID) -> ContactView:
    """Restores a deleted contact. Raises `Conflict` when another contact has its email address or external
    ID."""
    contact = await _locked(work, contact_id, deleted=True)
    catalogs = await Catalogs.of(work)
    if contact.deleted_at is None:
        return view_of(contact, catalogs)
    values = {key: stored_value(contact, key) for key in (*UNIQUE, OTHERS["email"])}
    for _, key, value in unique_values(values):
        other = await _other_contact(work, key, value, contact_id)
        if other is not None:
            raise Conflict(
                f"{name_of(other)} now has the {_key_label(key)} {value}. Change it there, "
                "then restore this contact.",
                current={"contact_id": str(other.id), "name": name_of(other)},
            )
    change = _change(work, "contact.restored", {"name": [None, name_of(contact)]})
    try:
        contact = await _save(work, msgspec.structs.replace(contact, deleted_at=None), change)
    except IntegrityError as error:
        if not _is_taken(error):
            raise
        await work.session.rollback()
        raise Conflict(TAKEN_MEANWHILE) from None
    await work.commit()
    return view_of(contact, catalogs)


async def add_tag(work: Work, contact_id: UUID, name: str) -> tuple[ContactView, str]:
    """Adds a tag by name, creating it if needed. Returns the tag's name too."""
    contact = await _locked(work, contact_id)
    catalogs = await Catalogs.of(work)
    view = view_of(contact, catalogs)
    tag_id, tag = await ensured_tag(work, name)
    if await add_tag_to_contacts(work.session, [contact_id], tag_id):
        work.audit("tag.added", "contact", contact_id, {"tag": [None, tag]})
        work.emit("tag.added", contact_id, {"tag_id": str(tag_id)})
        tags = sorted([*view.tags, TagRef(tag_id, tag)], key=_slug)
        view = msgspec.structs.replace(view, tags=tags)
    await work.commit()
    return view, tag


async def remove_tag(work: Work, contact_id: UUID, tag_id: UUID) -> tuple[ContactView, str]:
    """Removes a tag from a contact. Returns the tag's name too. Raises `NotFound`."""
    contact = await _locked(work, contact_id)
    catalogs = await Catalogs.of(work)
    view = view_of(contact, catalogs)
    tag = catalogs.tags.get(str(tag_id))
    if tag is None:
        raise NotFound("tag")
    if await remove_tag_from_contacts(work.session, [contact_id], tag_id):
        work.audit("tag.removed", "contact", contact_id, {"tag": [tag, None]})
        work.emit("tag.removed", contact_id, {"tag_id": str(tag_id)})
        view = msgspec.structs.replace(view, tags=[ref for ref in view.tags if ref.id != tag_id])
    await work.commit()
    return view, tag


async def _locked(work: Work, contact_id: UUID, *, deleted: bool = False) -> ContactRow:
    contact = await lock_contact(work.session, contact_id)
    if contact is None:
        raise NotFound("contact")
    if contact.deleted_at is not None and not deleted:
        raise Conflict("This contact is deleted. Restore it first.")
    return contact


def _blank(work: Work) -> ContactRow:
    texts: dict[str, str | None] = dict.fromkeys(TEXT_FIELDS)
    return ContactRow(
        id=uuid7(), **texts, owner=None, email_consent="unknown", sms_consent="unknown", fields={},
        email_label=None, other_emails=[], phone_label=None, other_phones=[], rev=1, created_at=work.now,
        updated_at=work.now, deleted_at=None, tag_ids=[],
    )  # fmt: skip


async def _save(work: Work, contact: ContactRow, change: RecordedChange) -> ContactRow:
    """Writes a locked contact as its next revision. Raises IntegrityError when another contact has its email
    address or external ID."""
    contact = msgspec.structs.replace(contact, rev=contact.rev + 1, updated_at=work.now)
    await contact_changes.update_contact(work.session, contact, change)
    return contact


def _change(
    work: Work,
    action: str,
    changes: Mapping[str, list[Json]],
    *,
    event: str = "",
    data: Mapping[str, Mapping[str, list[Json]]] | None = None,
) -> RecordedChange:
    """The audit entry of a change, and its event; the engine matches it after the commit."""
    if event:
        work.notify_worker("match")
    actor = work.actor
    return RecordedChange(
        work.now, actor.kind, actor.id, actor.name, work.request_id, action, changes, event,
        SOURCES[actor.kind], data or {},
    )  # fmt: skip


def _clean(catalogs: Catalogs, values: Mapping[str, object]) -> dict[str, StoredValue]:
    region, zone = catalogs.account.default_region, ZoneInfo(catalogs.account.time_zone)
    others, errors = read_addresses(values, region)
    rest = {key: value for key, value in values.items() if key not in others and key not in errors}
    clean, more_errors = normalize(rest, region, catalogs.fields, zone)
    if errors := errors | more_errors:
        raise Invalid({form_name(key): text for key, text in errors.items()})
    return {**clean, **others}


def _refuse_incomplete(fields: Fields, values: Mapping[str, StoredValue]) -> None:
    missing = [spec for spec in required_fields(fields) if values.get(spec.key) is None]
    if missing:
        raise Invalid({form_name(spec.key): f"{spec.label} is required." for spec in missing})


def _refuse_nameless(values: Mapping[str, StoredValue]) -> None:
    sentence = nameless(values)
    if sentence:
        raise Invalid({"": sentence})


def _is_taken(error: IntegrityError) -> bool:
    """Whether another contact has a unique value; not, say, that the owner is no member anymore."""
    return sqlstate_of(error) == UNIQUE_VIOLATION


async def _taken(work: Work, values: Mapping[str, StoredValue], except_id: UUID | None) -> Invalid:
    """The refusal of values that the database refused, with the contacts that have them."""
    await work.session.rollback()
    errors: dict[str, str] = {}
    links: dict[str, str] = {}
    shown = work.principal is None or work.may(Permission.VIEW)
    for field, key, value in unique_values(values):
        other = await _other_contact(work, key, value, except_id)
        if other is not None:
            errors[field] = (
                f"{name_of(other) if shown else 'Another contact'} already has this {_key_label(key)}."
            )
            if shown:
                links[field] = f"/contacts/{other.id}"
    return Invalid(errors or {"": TAKEN_MEANWHILE}, links)


async def _other_contact(
    work: Work, key: UniqueKey, value: StoredValue, except_id: UUID | None
) -> Contact | None:
    return await work.contacts.holder_of(key, str(value), except_id) if value else None


def _key_label(key: UniqueKey) -> str:
    return "email address" if key == "email" else "external ID"
