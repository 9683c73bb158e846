"""Conflicts field by field: a form on an older revision of a contact changes only what its author changed."""

from collections.abc import Mapping, Sequence

import msgspec

from app.contacts.domain import (
    LaterEdit,
    Spellings,
    StoredValue,
    compare,
    edits_since,
    form_name,
    shown_value,
    stored_value,
)
from app.contacts.schemas import ContactView
from app.errors import Conflict, FieldConflict
from app.filters.fields import Fields, FieldType
from app.work import Work
from db.queries.contact_history import list_changes_since


async def own_changes(
    work: Work,
    contact: ContactView,
    fields: Fields,
    rev: int,
    values: Mapping[str, object],
    clean: Mapping[str, StoredValue],
) -> list[str]:
    """The keys of the values to write to a locked contact, of a form that shows the revision `rev`: `values`
    as they were sent, `clean` as they would be stored. Raises `Conflict` for fields that someone else changed
    too."""
    changes = await list_changes_since(work.session, contact.id, rev)
    edits = edits_since(changes, rev, contact.rev)
    if edits is None:  # entries of an earlier release: every value that differs may be someone else's
        edits = dict.fromkeys(clean, await _last_edit(work, contact))
    sent = {key: _spellings(fields, key, value, values.get(key)) for key, value in clean.items()}
    stored = {key: _spellings(fields, key, stored_value(contact, key)) for key in clean}
    compared = compare(sent, stored, edits)
    if compared.disputed:
        raise _conflict(contact, fields, clean, edits, compared.disputed, compared.untouched)
    return compared.own


def _spellings(fields: Fields, key: str, value: StoredValue, typed: object = None) -> Spellings:
    if key not in fields:  # further emails and phones, and labels
        return [value, value, shown_value(value)]
    names = (fields[key].names or {}) if fields[key].type is FieldType.USER and value else {}
    name = names.get(str(value))
    namesakes = [other for other in names.values() if other == name]  # a name of several tells nothing
    return [value, typed if typed is not None else value, name if len(namesakes) == 1 else value]


async def _last_edit(work: Work, contact: ContactView) -> LaterEdit:
    last, _ = await work.audit_log.page(subject_kind="contact", subject_id=str(contact.id), limit=1)
    # No field ever had this value, so that each that differs is disputed.
    return LaterEdit([], last[0].actor_name if last else "Someone", contact.updated_at)


def _conflict(
    contact: ContactView,
    fields: Fields,
    clean: Mapping[str, StoredValue],
    edits: Mapping[str, LaterEdit],
    disputed: Sequence[str],
    untouched: Sequence[str],
) -> Conflict:
    conflicts = [
        FieldConflict(
            form_name(key), _label(fields, key), _shown(fields, key, clean[key]),
            _shown(fields, key, stored_value(contact, key)), edits[key].actor_name, edits[key].occurred_at,
        )
        for key in disputed
    ]  # fmt: skip
    who = ", ".join(dict.fromkeys(conflict.changed_by for conflict in conflicts))
    what = ", ".join(conflict.label for conflict in conflicts)
    return Conflict(
        f"{who} changed {what} after you opened it. Nothing was saved. Compare the values, then save again.",
        msgspec.to_builtins(contact),
        conflicts,
        [form_name(key) for key in untouched],
    )


def _label(fields: Fields, key: str) -> str:
    return fields[key].label if key in fields else key.replace("_", " ").capitalize()


def _shown(fields: Fields, key: str, value: StoredValue) -> str:
    if key not in fields:
        return str(shown_value(value) or "")
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str((fields[key].names or {}).get(str(value), value))
