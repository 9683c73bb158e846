"""Normalize text for a contact's fields: email, phone, website, time zone, length.

`normalize_text` is for built-in text fields; forms, the API and imports reach it through
`app.contacts.domain.normalize`. `normalize_value` is for the steps of a workflow."""

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers
from msgspec.structs import replace

from app.email_addresses import normalize_email
from app.filters.countries import country_code
from app.filters.facts import UTC_ZONE
from app.filters.field_values import value_of
from app.filters.fields import BUILT_IN, FieldSpec, FieldType, FieldValue
from app.stored_text import clean_text

TEXT_KEYS = tuple(key for key, spec in BUILT_IN.items() if spec.type is FieldType.TEXT)
PHONES = ("phone", "phone2")
_ZEROS = re.compile(r"^\s*\(?00(?=[\s()./-]*[1-9])")  # 00 44 20 …
_SOURCE = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_SOURCED = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,39})\s*:\s*(\S.*)")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
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
    """The text without invisible characters, in form NFC; raises ValueError with a message when the database
    cannot store it."""
    if "\0" in text or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)):
        raise ValueError(f"{spec.label} contains a character that can't be stored.")
    return clean_text(text)


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
    return _FORMS[spec.key](text) if spec.key in _FORMS else text


def normalize_value(spec: FieldSpec, text: str, region: str, zone: ZoneInfo = UTC_ZONE) -> Value:
    """The stored form of a text in any writable field; times without an offset are local to `zone`. Raises
    ValueError with a message."""
    text = storable(spec, text)
    if spec.key in LONGEST:
        return normalize_text(spec, text, region)
    if spec.type in _RULES:
        return normalize_text(replace(spec, key=_RULES[spec.type]), text, region)
    return value_of(spec, text, zone)


@lru_cache(maxsize=10_000)  # files and lists repeat numbers
def phone(text: str, region: str) -> str:
    """The number as E.164, and what is no number of its region's plan (or has an extension) as it was typed.
    00 is an international prefix everywhere."""
    try:
        number = phonenumbers.parse(_ZEROS.sub("+", text), region)
    except phonenumbers.NumberParseException:
        return text
    if number.extension or not phonenumbers.is_valid_number(number):
        # Only plausible numbers have the form of E.164; a space keeps this one apart.
        code = f"+{number.country_code}"
        return f"{code} {text.removeprefix(code)}" if is_plausible_phone(text) else text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def is_plausible_phone(stored: str) -> bool:
    """Whether a stored phone number can be called and gets SMS: `phone` gave it the form of E.164."""
    return _E164.fullmatch(stored) is not None


def external_id(text: str, source: str = "") -> str:
    """An external ID with its source in small letters: `hubspot:9001`. `source` is that of an ID which names
    none; two sources never have the same ID."""
    named = _SOURCED.fullmatch(text)
    if named:
        return f"{named[1].lower()}:{named[2]}"
    return f"{source}:{text}" if source and text else text


def source_of(text: str) -> str:
    """The source of external IDs in its stored form; "" for none. Raises ValueError with a message."""
    source = text.strip().lower()
    if source and not _SOURCE.fullmatch(source):
        raise ValueError("Use letters, digits, - and _, such as hubspot; at most 40.")
    return source


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


_FORMS: dict[str, Callable[[str], str]] = {
    "email": _email,
    "website": _website,
    "external_id": external_id,
    "country": lambda text: country_code(text) or text,
    "time_zone": _zone,
}
