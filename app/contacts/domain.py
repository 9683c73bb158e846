"""What a contact may hold: forms, scripts, imports and steps all normalise with this module."""

import re
from collections.abc import Mapping
from functools import cache
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers

from app.credentials import normal_email
from app.filters.fields import BUILT_IN, CONSENT, Fields, FieldSpec, FieldType, unknown_field
from app.filters.values import value_of

TEXT_KEYS = tuple(key for key, spec in BUILT_IN.items() if spec.type is FieldType.TEXT)
PHONES = ("phone", "phone2")
# Built-in fields that are no text: who looks after a contact, and what it agreed to.
KEPT = ("owner", "email_consent", "sms_consent")
UNIQUE = ("email", "external_id")
NAMING = ("first_name", "last_name", "email", "company", "phone", "external_id")
LONGEST: dict[str, int] = dict.fromkeys(TEXT_KEYS, 200) | {
    "email": 254,
    "phone": 60,
    "phone2": 60,
    "address": 500,
    "website": 500,
    "time_zone": 64,
    "postal_code": 40,
}
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\"\\]+@(?:[^\s@<>()\[\],;:\"\\.]+\.)+[^\s@<>()\[\],;:\"\\.]{2,}")
Value = str | int | float | bool | None


def normalise(
    values: Mapping[str, object], region: str, fields: Fields = BUILT_IN
) -> tuple[dict[str, Value], dict[str, str]]:
    """What a contact stores for these values, and a sentence for each that cannot be stored, both by field
    key; a key is in exactly one of the two. Blank is None. Phones become E.164 where they parse, with
    `region` (two letters) for those without a country code; otherwise they stay as typed. Putting the
    result in again changes nothing."""
    clean: dict[str, Value] = {}
    errors: dict[str, str] = {}
    for key, value in values.items():
        spec = fields.get(key)
        if spec is None or (spec.key not in (*LONGEST, *KEPT) and spec.custom_id is None):
            errors[key] = unknown_field(key, fields)
            continue
        try:
            clean[key] = _value(spec, value, region)
        except ValueError as error:
            errors[key] = str(error)
    return clean, errors


def _value(spec: FieldSpec, value: object, region: str) -> Value:
    text = _text(spec, value)
    if spec.custom_id is not None or spec.key in KEPT:
        return _kept(spec, text) if spec.key in KEPT else value_of(spec, text)
    text = text.strip() if spec.key == "address" else " ".join(text.split())
    if text == "":
        return None
    if len(text) > LONGEST[spec.key]:
        raise ValueError(f"{spec.label} takes at most {LONGEST[spec.key]} characters.")
    if spec.key in PHONES:
        return phone(text, region)
    if spec.key == "email":
        return _email(text)
    if spec.key == "website":
        return _website(text)
    return _zone(text) if spec.key == "time_zone" else text


def _kept(spec: FieldSpec, text: str) -> Value:
    """Nobody's consent is empty: who was not asked is unknown."""
    if spec.type is FieldType.SELECT:
        return value_of(spec, text) or CONSENT[0]
    owner = value_of(spec, text)
    if owner is not None and owner not in (spec.names or {}):
        raise ValueError("Choose a member of this account.")
    return owner


def _text(spec: FieldSpec, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str | int | float):
        raise ValueError(f"{spec.label} takes one value.")  # noqa: TRY004 -- one kind of error for bad values
    text = str(value)
    if "\0" in text or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)):
        raise ValueError(f"{spec.label} contains a character that cannot be stored.")
    return text


def phone(text: str, region: str) -> str:
    """The number as E.164, or the text itself where it is none (an extension stays as typed as well)."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return text
    if number.extension or not phonenumbers.is_possible_number(number):
        return text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _email(text: str) -> str:
    address = normal_email(text.removeprefix("mailto:"))
    if _EMAIL.fullmatch(address) is None:
        raise ValueError("Write the e-mail address like name@example.com.")
    return address


def _website(text: str) -> str:
    address = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(address)
        good = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and " " not in address
    except ValueError:
        good = False
    if not good:
        raise ValueError("Write the website like https://example.com.")
    return address


@cache
def _zones() -> dict[str, str]:
    return {name.casefold(): name for name in available_timezones()}


def _zone(text: str) -> str:
    name = _zones().get(text.casefold())
    if name is None:
        raise ValueError("Choose a time zone by its name, such as America/New_York.")
    return ZoneInfo(name).key


def nameless(values: Mapping[str, object]) -> str | None:
    """A sentence when nothing in the values tells who the contact is."""
    if any(values.get(key) for key in NAMING):
        return None
    return "Give at least a name, an e-mail address, a company, a phone number or an external id."


def display_name(values: Mapping[str, object]) -> str:
    """What to call a contact: the names, else e-mail, company, phone."""
    names = " ".join(str(values[key]) for key in ("first_name", "last_name") if values.get(key))
    rest = (str(values[key]) for key in ("email", "company", "phone", "external_id") if values.get(key))
    return names or next(rest, "") or "No name"
