"""Normalize text for a contact's fields: email, phone, website, time zone, length.

`normalize_text` is for built-in text fields; forms, the API and imports reach it through
`app.contacts.domain.normalize`. `normalize_value` is for the steps of a workflow."""

from functools import cache
from typing import TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers
from msgspec.structs import replace

from app.email_addresses import normalize_email
from app.filters.facts import UTC_ZONE
from app.filters.field_values import value_of
from app.filters.fields import BUILT_IN, FieldSpec, FieldType, FieldValue

TEXT_KEYS = tuple(key for key, spec in BUILT_IN.items() if spec.type is FieldType.TEXT)
PHONES = ("phone", "phone2")
LONGEST: dict[str, int] = dict.fromkeys(TEXT_KEYS, 200) | {
    "email": 254,
    "phone": 60,
    "phone2": 60,
    "address": 500,
    "website": 500,
    "time_zone": 64,
    "postal_code": 40,
}
Value: TypeAlias = FieldValue
# The built-in field whose rules the values of a type follow.
_RULES = {FieldType.PHONE: "phone", FieldType.EMAIL: "email", FieldType.URL: "website"}


def storable(spec: FieldSpec, text: str) -> str:
    """The text; raises ValueError with a message when the database cannot store it."""
    if "\0" in text or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)):
        raise ValueError(f"{spec.label} contains a character that can't be stored.")
    return text


def normalize_text(spec: FieldSpec, text: str, region: str) -> str | None:
    """The stored form of a text in one of the fields of `LONGEST`; None for blank text. `region` (two
    letters) completes phone numbers without a country code. Raises ValueError with a message."""
    text = text.strip() if spec.key == "address" else " ".join(text.split())
    if text == "":
        return None
    if len(text) > LONGEST[spec.key]:
        raise ValueError(f"{spec.label} can have at most {LONGEST[spec.key]} characters.")
    if spec.key in PHONES:
        return phone(text, region)
    if spec.key == "email":
        return _email(text)
    if spec.key == "website":
        return _website(text)
    return _zone(text) if spec.key == "time_zone" else text


def normalize_value(spec: FieldSpec, text: str, region: str, zone: ZoneInfo = UTC_ZONE) -> Value:
    """The stored form of a text in any writable field; times without an offset are local to `zone`. Raises
    ValueError with a message."""
    text = storable(spec, text)
    if spec.key in LONGEST:
        return normalize_text(spec, text, region)
    if spec.type in _RULES:
        return normalize_text(replace(spec, key=_RULES[spec.type]), text, region)
    return value_of(spec, text, zone)


def phone(text: str, region: str) -> str:
    """The number as E.164; the text itself when it is not a possible number or has an extension."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return text
    if number.extension or not phonenumbers.is_possible_number(number):
        return text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _email(text: str) -> str:
    address = normalize_email(text.removeprefix("mailto:"))
    if not address:
        raise ValueError("Enter an email address like name@example.com.")
    return address


def _website(text: str) -> str:
    address = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(address)
        good = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and " " not in address
    except ValueError:
        good = False
    if not good:
        raise ValueError("Enter a URL like https://example.com.")
    return address


@cache
def _zones() -> dict[str, str]:
    return {name.casefold(): name for name in available_timezones()}


def _zone(text: str) -> str:
    name = _zones().get(text.casefold())
    if name is None:
        raise ValueError("Choose a time zone, such as America/New_York.")
    return ZoneInfo(name).key
