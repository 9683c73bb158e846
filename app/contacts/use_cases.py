"""Create, change, tag, delete and restore one contact. Each use case locks, validates, writes, audits, emits
its event and commits."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.exc import IntegrityError

from app.contacts.domain import UNIQUE, display_name, nameless, normalize
from app.contacts.schemas import ContactView
from app.errors import Conflict, Invalid, NotFound
from app.filters.fields import BUILT_IN
from app.filters.normalize import TEXT_KEYS
from app.permissions import Permission
from app.tags.use_cases import ensured_tag
from app.work import Work

TAKEN_MEANWHILE = (
    "Another contact just took this email address or external ID. Reload the list, then try again."
)


def view_of(row: Any) -> ContactView:
    """A row of the contact repository as the page shows it."""
    values = row._asdict()
    return msgspec.convert(values | {"name": display_name(values)}, ContactView)


async def contact_of(work: Work, contact_id: UUID) -> ContactView:
    """One contact, a deleted one too. Raises `NotFound`."""
    row = await work.contacts.row(contact_id)
    if row is None:
        raise NotFound("contact")
    return view_of(row)


async def create_contact(work: Work, values: Mapping[str, Any]) -> UUID:
    """Creates a contact from values by field key. Raises `Invalid`."""
    clean = await _clean(work, values)
    _refuse_nameless(clean)
    await _refuse_taken(work, clean, None)
    filled = {key: value for key, value in clean.items() if value is not None}
    columns, fields = _split_columns(filled)
    try:
        contact_id = await work.contacts.insert(columns, fields, work.now)
    except IntegrityError:
        await work.session.rollback()
        raise Invalid({"": TAKEN_MEANWHILE}) from None
    changes = {key: [None, value] for key, value in filled.items()}
    work.audit("contact.created", "contact", contact_id, await _with_owner_names(work, changes))
    work.emit("contact.created", contact_id)
    await work.commit()
    return contact_id


async def update_contact(work: Work, contact_id: UUID, values: Mapping[str, Any], rev: int | None) -> None:
    """Changes only these values, by field key. Raises `Conflict` when `rev` is outdated, `Invalid`,
    `NotFound`."""
    contact = await _locked(work, contact_id)
    if rev is not None and rev != contact.rev:
        raise await _outdated(work, contact)
    clean = await _clean(work, values)
    before = {key: contact.value(key) for key in clean}
    changes = {key: [before[key], value] for key, value in clean.items() if value != before[key]}
    if not changes:
        return
    _refuse_nameless({key: contact.value(key) for key in TEXT_KEYS} | clean)
    changed = {key: pair[1] for key, pair in changes.items()}
    await _refuse_taken(work, changed, contact_id)
    columns, fields = _split_columns(changed)
    if fields:
        merged = contact.fields | fields
        columns["fields"] = {key: value for key, value in merged.items() if value is not None}
    try:
        await work.contacts.change(contact_id, columns, work.now)
    except IntegrityError:
        await work.session.rollback()
        raise Invalid({"": TAKEN_MEANWHILE}) from None
    work.audit("contact.updated", "contact", contact_id, await _with_owner_names(work, changes))
    work.emit("contact.updated", contact_id, {"changes": changes})
    await work.commit()


async def delete_contact(work: Work, contact_id: UUID) -> str:
    """Soft-deletes a contact and returns its name. Deleting it twice changes nothing."""
    contact = await _locked(work, contact_id, deleted=True)
    if contact.deleted_at is None:
        await work.contacts.mark_deleted([contact_id], work.now)
        work.audit("contact.deleted", "contact", contact_id, {"name": [contact.name, None]})
        work.emit("contact.deleted", contact_id)
    await work.commit()
    return contact.name


async def restore_contact(work: Work, contact_id: UUID) -> str:
    """Restores a deleted contact and returns its name. Raises `Conflict` when another contact has its email
    address or external ID."""
    contact = await _locked(work, contact_id, deleted=True)
    if contact.deleted_at is not None:
        for key in UNIQUE:
            other = await _other_contact(work, key, contact.value(key), contact_id)
            if other is not None:
                raise Conflict(
                    f"{other[1]} now has the {_key_label(key)} {contact.value(key)}. Change it there, "
                    "then restore this contact.",
                    current={"contact_id": str(other[0]), "name": other[1]},
                )
        try:
            await work.contacts.change(contact_id, {"deleted_at": None, "deletion_job_id": None}, work.now)
        except IntegrityError:
            await work.session.rollback()
            raise Conflict(TAKEN_MEANWHILE) from None
        work.audit("contact.restored", "contact", contact_id, {"name": [None, contact.name]})
    await work.commit()
    return contact.name


async def add_tag(work: Work, contact_id: UUID, name: str) -> str:
    """Adds a tag by name, creating it if needed. Returns the tag's name."""
    await _locked(work, contact_id)
    tag_id, tag = await ensured_tag(work, name)
    if await work.contacts.tag([contact_id], tag_id):
        work.audit("tag.added", "contact", contact_id, {"tag": [None, tag]})
        work.emit("tag.added", contact_id, {"tag_id": str(tag_id)})
    await work.commit()
    return tag


async def remove_tag(work: Work, contact_id: UUID, tag_id: UUID) -> str:
    """Removes a tag from a contact and returns the tag's name. Raises `NotFound`."""
    await _locked(work, contact_id)
    tag = await work.tags.row(tag_id)
    if tag is None:
        raise NotFound("tag")
    if await work.contacts.untag([contact_id], tag_id):
        work.audit("tag.removed", "contact", contact_id, {"tag": [tag.name, None]})
        work.emit("tag.removed", contact_id, {"tag_id": str(tag_id)})
    await work.commit()
    return str(tag.name)


async def _locked(work: Work, contact_id: UUID, *, deleted: bool = False) -> ContactView:
    row = await work.contacts.row(contact_id, lock=True)
    if row is None:
        raise NotFound("contact")
    if row.deleted_at is not None and not deleted:
        raise Conflict("This contact is deleted. Restore it first.")
    return view_of(row)


async def _clean(work: Work, values: Mapping[str, Any]) -> dict[str, Any]:
    account = await work.accounts.own()
    clean, errors = normalize(values, account.default_region, await work.fields.catalog())
    if errors:
        raise Invalid({_form_name(key): text for key, text in errors.items()})
    return clean


def _form_name(key: str) -> str:
    """The name of a field in forms."""
    return key.replace("custom.", "fields.", 1) if key.startswith("custom.") else key


def _split_columns(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    custom = {key.removeprefix("custom."): value for key, value in values.items() if key not in BUILT_IN}
    columns = {key: value for key, value in values.items() if key in BUILT_IN}
    if "owner" in columns:
        owner = columns.pop("owner")
        columns["owner_id"] = UUID(owner) if owner else None
    return columns, custom


async def _with_owner_names(work: Work, changes: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Replaces owner ids by names, for the members who read the audit log."""
    if "owner" not in changes:
        return dict(changes)
    names = (await work.fields.catalog())["owner"].names or {}
    named = [names.get(str(owner), owner) if owner else None for owner in changes["owner"]]
    return {**changes, "owner": named}


def _refuse_nameless(values: Mapping[str, Any]) -> None:
    sentence = nameless(values)
    if sentence:
        raise Invalid({"": sentence})


async def _refuse_taken(work: Work, values: Mapping[str, Any], except_id: UUID | None) -> None:
    errors = {}
    for key in UNIQUE:
        other = await _other_contact(work, key, values.get(key), except_id)
        if other is not None:
            shown = work.principal is None or work.may(Permission.VIEW)
            name = other[1] if shown else "Another contact"
            errors[key] = f"{name} already has this {_key_label(key)}."
    if errors:
        raise Invalid(errors)


async def _other_contact(work: Work, key: str, value: Any, except_id: UUID | None) -> tuple[UUID, str] | None:
    row = await work.contacts.owner_of(key, value, except_id) if value else None
    return (row.id, display_name(row._asdict())) if row is not None else None


def _key_label(key: str) -> str:
    return "email address" if key == "email" else "external ID"


async def _outdated(work: Work, contact: ContactView) -> Conflict:
    last, _ = await work.audit_log.page(subject_kind="contact", subject_id=str(contact.id), limit=1)
    who = f"{last[0].actor_name} changed" if last else "Someone changed"
    return Conflict(
        f"{who} this contact at {contact.updated_at:%Y-%m-%d %H:%M} UTC, after you opened it. "
        "Nothing was saved. Compare the values, then save again.",
        current=msgspec.to_builtins(contact),
    )
