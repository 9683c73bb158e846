"""Create, change, tag, delete and restore one contact. Each use case locks, validates, writes, audits, emits
its event and commits."""

from collections.abc import Mapping
from uuid import UUID

import msgspec
from sqlalchemy.exc import IntegrityError

from app.contacts.domain import UNIQUE, FieldInput, UniqueKey, contact_name, nameless, normalize
from app.contacts.schemas import ContactView, TagRef
from app.errors import Conflict, Invalid, NotFound
from app.filters.fields import BUILT_IN
from app.filters.normalize import TEXT_KEYS, Value
from app.json_types import Json
from app.permissions import Permission
from app.tags.use_cases import ensured_tag
from app.work import Work
from db.models import Contact
from db.queries.contact_pages import ContactRow, find_contact
from db.queries.contact_writes import add_tag_to_contacts, remove_tag_from_contacts

TAGS = list[TagRef]
TAKEN_MEANWHILE = (
    "Another contact just took this email address or external ID. Reload the list, then try again."
)


def view_of(row: ContactRow) -> ContactView:
    """A contact as its page and the list show it."""
    return ContactView(
        id=row.id,
        name=name_of(row),
        first_name=row.first_name,
        last_name=row.last_name,
        email=row.email,
        phone=row.phone,
        phone2=row.phone2,
        company=row.company,
        address=row.address,
        city=row.city,
        county=row.county,
        state=row.state,
        postal_code=row.postal_code,
        country=row.country,
        website=row.website,
        time_zone=row.time_zone,
        external_id=row.external_id,
        owner=row.owner,
        owner_name=row.owner_name,
        email_consent=row.email_consent,
        sms_consent=row.sms_consent,
        fields=row.fields,
        tags=msgspec.convert(row.tags, TAGS),
        rev=row.rev,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deleted_at=row.deleted_at,
    )


def name_of(contact: ContactRow | Contact) -> str:
    """The display name of a contact."""
    return contact_name(
        contact.first_name, contact.last_name, contact.email, contact.company, contact.phone,
        contact.external_id,
    )  # fmt: skip


async def contact_of(work: Work, contact_id: UUID) -> ContactView:
    """One contact, a deleted one too. Raises `NotFound`."""
    row = await find_contact(work.session, contact_id)
    if row is None:
        raise NotFound("contact")
    return view_of(row)


async def create_contact(work: Work, values: Mapping[str, FieldInput]) -> UUID:
    """Creates a contact from values by field key. Raises `Invalid`."""
    clean = await _clean(work, values)
    _refuse_nameless(clean)
    await _refuse_taken(work, clean, None)
    filled = {key: value for key, value in clean.items() if value is not None}
    contact = Contact(fields={}, created_at=work.now, updated_at=work.now)
    _fill(contact, filled)
    try:
        contact_id = (await work.contacts.add(contact)).id
    except IntegrityError:
        await work.session.rollback()
        raise Invalid({"": TAKEN_MEANWHILE}) from None
    changes: dict[str, list[Json]] = {key: [None, value] for key, value in filled.items()}
    work.audit("contact.created", "contact", contact_id, await _with_owner_names(work, changes))
    work.emit("contact.created", contact_id)
    await work.commit()
    return contact_id


async def update_contact(
    work: Work, contact_id: UUID, values: Mapping[str, FieldInput], rev: int | None
) -> None:
    """Changes only these values, by field key. Raises `Conflict` when `rev` is outdated, `Invalid`,
    `NotFound`."""
    contact = await _locked(work, contact_id)
    if rev is not None and rev != contact.rev:
        raise await _outdated(work, contact)
    clean = await _clean(work, values)
    before = {key: _stored(contact, key) for key in clean}
    changes: dict[str, list[Json]] = {
        key: [before[key], value] for key, value in clean.items() if value != before[key]
    }
    if not changes:
        return
    _refuse_nameless({key: _stored(contact, key) for key in TEXT_KEYS} | clean)
    changed = {key: clean[key] for key in changes}
    await _refuse_taken(work, changed, contact_id)
    _fill(contact, changed)
    try:
        await work.contacts.save(contact, work.now)
    except IntegrityError:
        await work.session.rollback()
        raise Invalid({"": TAKEN_MEANWHILE}) from None
    work.audit("contact.updated", "contact", contact_id, await _with_owner_names(work, changes))
    work.emit("contact.updated", contact_id, {"changes": changes})
    await work.commit()


async def delete_contact(work: Work, contact_id: UUID) -> str:
    """Soft-deletes a contact and returns its name. Deleting it twice changes nothing."""
    contact = await _locked(work, contact_id, deleted=True)
    name = name_of(contact)
    if contact.deleted_at is None:
        contact.deleted_at, contact.deletion_job_id = work.now, None
        await work.contacts.save(contact, work.now)
        work.audit("contact.deleted", "contact", contact_id, {"name": [name, None]})
        work.emit("contact.deleted", contact_id)
    await work.commit()
    return name


async def restore_contact(work: Work, contact_id: UUID) -> str:
    """Restores a deleted contact and returns its name. Raises `Conflict` when another contact has its email
    address or external ID."""
    contact = await _locked(work, contact_id, deleted=True)
    name = name_of(contact)
    if contact.deleted_at is not None:
        for key in UNIQUE:
            value = _stored(contact, key)
            other = await _other_contact(work, key, value, contact_id)
            if other is not None:
                raise Conflict(
                    f"{name_of(other)} now has the {_key_label(key)} {value}. Change it there, "
                    "then restore this contact.",
                    current={"contact_id": str(other.id), "name": name_of(other)},
                )
        contact.deleted_at, contact.deletion_job_id = None, None
        try:
            await work.contacts.save(contact, work.now)
        except IntegrityError:
            await work.session.rollback()
            raise Conflict(TAKEN_MEANWHILE) from None
        work.audit("contact.restored", "contact", contact_id, {"name": [None, name]})
    await work.commit()
    return name


async def add_tag(work: Work, contact_id: UUID, name: str) -> str:
    """Adds a tag by name, creating it if needed. Returns the tag's name."""
    await _locked(work, contact_id)
    tag_id, tag = await ensured_tag(work, name)
    if await add_tag_to_contacts(work.session, [contact_id], tag_id):
        work.audit("tag.added", "contact", contact_id, {"tag": [None, tag]})
        work.emit("tag.added", contact_id, {"tag_id": str(tag_id)})
    await work.commit()
    return tag


async def remove_tag(work: Work, contact_id: UUID, tag_id: UUID) -> str:
    """Removes a tag from a contact and returns the tag's name. Raises `NotFound`."""
    await _locked(work, contact_id)
    tag = await work.tags.get_one_or_none(id=tag_id)
    if tag is None:
        raise NotFound("tag")
    if await remove_tag_from_contacts(work.session, [contact_id], tag_id):
        work.audit("tag.removed", "contact", contact_id, {"tag": [tag.name, None]})
        work.emit("tag.removed", contact_id, {"tag_id": str(tag_id)})
    await work.commit()
    return str(tag.name)


async def _locked(work: Work, contact_id: UUID, *, deleted: bool = False) -> Contact:
    contact = await work.contacts.lock(contact_id)
    if contact is None:
        raise NotFound("contact")
    if contact.deleted_at is not None and not deleted:
        raise Conflict("This contact is deleted. Restore it first.")
    return contact


def _stored(contact: Contact, key: str) -> Value:
    """The stored value of one field by its key; the owner's id as text."""
    if key == "owner":
        return str(contact.owner_id) if contact.owner_id else None
    if key in BUILT_IN:
        value: Value = getattr(contact, key)
        return value
    custom = contact.fields.get(key.removeprefix("custom."))
    return None if isinstance(custom, list | dict) else custom


def _fill(contact: Contact, values: Mapping[str, Value]) -> None:
    """Sets normalized values by field key; None clears a field."""
    custom = {key.removeprefix("custom."): value for key, value in values.items() if key not in BUILT_IN}
    for key, value in values.items():
        if key == "owner":
            contact.owner_id = UUID(str(value)) if value else None
        elif key in BUILT_IN:
            setattr(contact, key, value)
    if custom:
        merged = contact.fields | custom
        contact.fields = {field: value for field, value in merged.items() if value is not None}


async def _clean(work: Work, values: Mapping[str, FieldInput]) -> dict[str, Value]:
    account = await work.accounts.own()
    clean, errors = normalize(values, account.default_region, await work.fields.catalog())
    if errors:
        raise Invalid({_form_name(key): text for key, text in errors.items()})
    return clean


def _form_name(key: str) -> str:
    """The name of a field in forms."""
    return key.replace("custom.", "fields.", 1) if key.startswith("custom.") else key


async def _with_owner_names(work: Work, changes: Mapping[str, list[Json]]) -> dict[str, list[Json]]:
    """Replaces owner ids by names, for the members who read the audit log."""
    if "owner" not in changes:
        return dict(changes)
    names = (await work.fields.catalog())["owner"].names or {}
    named: list[Json] = [names.get(str(owner), owner) if owner else None for owner in changes["owner"]]
    return {**changes, "owner": named}


def _refuse_nameless(values: Mapping[str, Value]) -> None:
    sentence = nameless(values)
    if sentence:
        raise Invalid({"": sentence})


async def _refuse_taken(work: Work, values: Mapping[str, Value], except_id: UUID | None) -> None:
    errors: dict[str, str] = {}
    for key in UNIQUE:
        other = await _other_contact(work, key, values.get(key), except_id)
        if other is not None:
            shown = work.principal is None or work.may(Permission.VIEW)
            name = name_of(other) if shown else "Another contact"
            errors[key] = f"{name} already has this {_key_label(key)}."
    if errors:
        raise Invalid(errors)


async def _other_contact(work: Work, key: UniqueKey, value: Value, except_id: UUID | None) -> Contact | None:
    return await work.contacts.holder_of(key, str(value), except_id) if value else None


def _key_label(key: UniqueKey) -> str:
    return "email address" if key == "email" else "external ID"


async def _outdated(work: Work, contact: Contact) -> Conflict:
    last, _ = await work.audit_log.page(subject_kind="contact", subject_id=str(contact.id), limit=1)
    who = f"{last[0].actor_name} changed" if last else "Someone changed"
    return Conflict(
        f"{who} this contact at {contact.updated_at:%Y-%m-%d %H:%M} UTC, after you opened it. "
        "Nothing was saved. Compare the values, then save again.",
        current=msgspec.to_builtins(await contact_of(work, contact.id)),
    )
