"""The emails and phones of a contact: one of each kind is primary and gets messages, the others have labels.

Pure. `read_addresses` normalizes what was sent, `settled` makes a changed contact consistent, and
`with_address`, `with_primary`, `without_address` give the values that a small change comes to."""

from collections.abc import Mapping
from functools import partial
from typing import Literal, TypeAlias

import msgspec

from app.contacts.domain import ContactT
from app.filters.contact_columns import ContactColumns, LabeledValue
from app.filters.fields import BUILT_IN
from app.filters.normalize import normalize_text, storable

Kind: TypeAlias = Literal["email", "phone"]
OTHERS: dict[Kind, str] = {"email": "other_emails", "phone": "other_phones"}
LABELS: dict[Kind, str] = {"email": "email_label", "phone": "phone_label"}
KEYS = ("phone2", *LABELS.values(), *OTHERS.values())
MOST_OTHERS = 20
LONGEST_LABEL = 40
NAMES: dict[Kind, str] = {"email": "email address", "phone": "phone number"}


def read_addresses(
    sent: Mapping[str, object], region: str
) -> tuple[dict[str, str | list[LabeledValue] | None], dict[str, str]]:
    """The stored form of the labels and of the other emails and phones among these values, and a message for
    each that cannot be stored, both by field key."""
    clean: dict[str, str | list[LabeledValue] | None] = {}
    errors: dict[str, str] = {}
    for kind, others in OTHERS.items():
        for key, read in ((LABELS[kind], _label), (others, partial(_others, kind, region))):
            try:
                if key in sent:
                    clean[key] = read(sent[key])
            except ValueError as error:
                errors[key] = str(error)
    return clean, errors


def _label(sent: object) -> str | None:
    label = " ".join(storable(BUILT_IN["email"], str(sent or "")).split())
    if len(label) > LONGEST_LABEL:
        raise ValueError(f"A label can have at most {LONGEST_LABEL} characters.")
    return label or None


def _others(kind: Kind, region: str, sent: object) -> list[LabeledValue]:
    """Blank ones are left out."""
    spec = BUILT_IN[kind]
    others: list[LabeledValue] = []
    for item in sent if isinstance(sent, list) else []:
        value = normalize_text(spec, storable(spec, item["value"]), region)
        if value is not None:
            others.append({"value": value, "label": _label(item["label"]) or ""})
    if len(others) > MOST_OTHERS:
        raise ValueError(f"A contact can have at most {MOST_OTHERS} besides the primary one.")
    return others


def touched_keys(changed: Mapping[str, object]) -> tuple[str, ...]:
    """What `settled` may change besides these fields, as far as the history names it."""
    if changed.keys().isdisjoint(("email", "phone", *KEYS)):
        return ()
    return (OTHERS["email"],) if "phone2" in changed else (*OTHERS.values(), "phone2")


def settled(contact: ContactT, changed: Mapping[str, object]) -> ContactT:
    """The contact after a change of these fields: no address twice, and `phone2` the first other phone."""
    if changed.keys().isdisjoint(("email", "phone", *KEYS)):
        return contact
    others = {kind: [*getattr(contact, OTHERS[kind])] for kind in OTHERS}
    if "phone2" in changed and "other_phones" not in changed:
        label = others["phone"][0]["label"] if others["phone"] else ""
        second = [{"value": contact.phone2, "label": label}] if contact.phone2 else []
        others["phone"] = [*second, *others["phone"][1:]]
    for kind, listed in others.items():
        by_value = {other["value"]: other for other in reversed(listed)}
        by_value.pop(getattr(contact, kind), None)
        others[kind] = [other for other in listed if by_value.get(other["value"]) is other]
    phone2 = others["phone"][0]["value"] if others["phone"] else None
    return msgspec.structs.replace(
        contact, other_emails=others["email"], other_phones=others["phone"], phone2=phone2
    )


def with_address(contact: ContactColumns, kind: Kind, value: str, label: str) -> dict[str, object]:
    """The values with one more email or phone; the first one is primary."""
    if not getattr(contact, kind):
        return {kind: value, LABELS[kind]: label}
    return {OTHERS[kind]: [*getattr(contact, OTHERS[kind]), {"value": value, "label": label}]}


def with_primary(contact: ContactColumns, kind: Kind, value: str) -> dict[str, object]:
    """The values with another email or phone as the primary one, which takes its place among the others.
    Raises ValueError with a message."""
    others = _others_with(contact, kind, value)
    place = [other["value"] for other in others].index(value)
    before = getattr(contact, kind)
    label = getattr(contact, LABELS[kind]) or ""
    replaced = [{"value": before, "label": label}] if before else []
    return {
        kind: value,
        LABELS[kind]: others[place]["label"],
        OTHERS[kind]: [*others[:place], *replaced, *others[place + 1 :]],
    }


def without_address(contact: ContactColumns, kind: Kind, value: str) -> dict[str, object]:
    """The values without an email or phone; the first of the others takes the place of the primary one.
    Raises ValueError with a message."""
    if value != getattr(contact, kind):
        others = _others_with(contact, kind, value)
        return {OTHERS[kind]: [other for other in others if other["value"] != value]}
    first, *rest = getattr(contact, OTHERS[kind]) or [{"value": "", "label": ""}]
    return {kind: first["value"], LABELS[kind]: first["label"], OTHERS[kind]: rest}


def _others_with(contact: ContactColumns, kind: Kind, value: str) -> list[LabeledValue]:
    others: list[LabeledValue] = getattr(contact, OTHERS[kind])
    if not any(other["value"] == value for other in others):
        raise ValueError(f"This contact doesn't have this {NAMES[kind]}. Reload the page.")
    return others
