"""The values that a contact can store, and its display name. `normalize` is the entry point: forms, the API
and imports all use it."""

from collections.abc import Mapping
from typing import Literal, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from app.filters.facts import UTC_ZONE
from app.filters.field_values import options_of, value_of
from app.filters.fields import BUILT_IN, CONSENT, Fields, FieldSpec, FieldType, unknown_field
from app.filters.normalize import LONGEST, Value, normalize_value, storable
from app.json_types import Json

# Built-in fields that aren't free text: the owner and the consents.
NON_TEXT_FIELDS = ("owner", "email_consent", "sms_consent")
FieldInput: TypeAlias = "Json | UUID"  # a value as a form or the API sends it
UniqueKey: TypeAlias = Literal["email", "external_id"]
UNIQUE: tuple[UniqueKey, ...] = ("email", "external_id")
FALLBACKS = ("email", "company", "phone", "external_id")  # they name a contact without a name
NAMING = ("first_name", "last_name", *FALLBACKS)


def normalize(
    values: Mapping[str, object], region: str, fields: Fields = BUILT_IN, zone: ZoneInfo = UTC_ZONE
) -> tuple[dict[str, Value], dict[str, str]]:
    """The stored form of these values, and a message for each value that cannot be stored, both by field key;
    a key is in exactly one of the two. Blank is None. Phone numbers that parse become E.164, with `region`
    (two letters) for those without a country code; others stay as typed. Times without an offset are local to
    `zone`. Normalizing the result again changes nothing."""
    clean: dict[str, Value] = {}
    errors: dict[str, str] = {}
    for key, value in values.items():
        spec = fields.get(key)
        if spec is None or (spec.key not in (*LONGEST, *NON_TEXT_FIELDS) and spec.custom_id is None):
            errors[key] = unknown_field(key, fields)
            continue
        try:
            clean[key] = _value(spec, value, region, zone)
        except ValueError as error:
            errors[key] = str(error)
    return clean, errors


def _value(spec: FieldSpec, value: object, region: str, zone: ZoneInfo) -> Value:
    if spec.type is FieldType.MULTI_SELECT and isinstance(value, list):
        return options_of([storable(spec, _text(spec, item)) for item in value], spec)
    text = storable(spec, _text(spec, value))
    if spec.type is FieldType.USER:
        return _member(spec, text)
    if spec.key in NON_TEXT_FIELDS:
        return value_of(spec, text) or CONSENT[0]
    return normalize_value(spec, text, region, zone)


def _member(spec: FieldSpec, text: str) -> Value:
    member = value_of(spec, text)
    if member is not None and member not in (spec.names or {}):
        raise ValueError("Choose a member of this account.")
    return member


def _text(spec: FieldSpec, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str | int | float):
        raise ValueError(f"{spec.label} accepts one value.")  # noqa: TRY004 -- one kind of error for bad values
    return str(value)


def nameless(values: Mapping[str, object]) -> str | None:
    """An error message when the values do not identify a contact, else None."""
    if any(values.get(key) for key in NAMING):
        return None
    return "Enter at least a name, an email address, a company, a phone number or an external ID."


def display_name(values: Mapping[str, object]) -> str:
    """The display name of a contact with these values by field key."""
    return contact_name(*(str(values.get(key) or "") for key in ("first_name", "last_name", *FALLBACKS)))


def contact_name(first: str | None, last: str | None, *others: str | None) -> str:
    """The display name of a contact: its first and last name, else the first of `others` that isn't empty, in
    the order of `FALLBACKS`."""
    if first or last:
        return f"{first} {last}" if first and last else first or last or ""
    return next((text for text in others if text), "") or "Unnamed contact"
