"""Validates custom fields: labels, short names, options, defaults. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from zoneinfo import ZoneInfo

import msgspec

from app.filters.ast import Op
from app.filters.field_values import plain_text
from app.filters.fields import BUILT_IN, CHOICE_TYPES, FieldSpec, FieldType, FieldValue
from app.filters.money import CURRENCIES
from app.filters.normalize import normalize_value

LONGEST_KEY, LONGEST_OPTION, MOST_OPTIONS, MOST_FIELDS, MOST_FORMER_KEYS = 40, 100, 200, 100, 50
# Parts of a contact in JSON and in merge tags, besides its fields.
_PARTS = frozenset(
    {"id", "name", "fields", "rev", "owner_name", "deleted_at", "custom", "contact", "actions"}
)
# Words of filters, and of the address of the list that holds one.
_FILTER_WORDS = frozenset(
    {*(op.value for op in Op), "all", "any", "and", "or", "not", "match", "f", "q", "sort"}
)
RESERVED = frozenset(BUILT_IN) | _PARTS | _FILTER_WORDS
_NAMES = frozenset(text.casefold() for spec in BUILT_IN.values() for text in (spec.key, spec.label)) | {"id"}


class FieldNames(msgspec.Struct, frozen=True):
    """The names of another field of the account."""

    label: str
    key: str
    former_keys: list[str]


def key_of(text: str) -> str:
    """A short name derived from a label: "Lead score" gives lead_score."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    key = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:LONGEST_KEY].strip("_")
    key = key if key[:1].isalpha() else f"field_{key}".rstrip("_")[:LONGEST_KEY]
    return f"{key}_field"[:LONGEST_KEY] if key in RESERVED else key


def key_error(key: str, others: Iterable[FieldNames] = ()) -> str:
    """Why this can't be a short name, as a message; "" when it can. `others` are the other fields."""
    if re.fullmatch(r"[a-z][a-z0-9_]{0,39}", key) is None:
        return "Use lowercase letters, digits and “_”, starting with a letter."
    if key in BUILT_IN:
        return "A built-in field already has this name. Choose another."
    if key in RESERVED:
        return f"“{key}” has a meaning of its own in filters or merge tags. Choose another short name."
    for other in others:
        if key == other.key:
            return "Another field already has this short name. Choose another."
        if key in other.former_keys:
            return f"“{key}” was a short name of {other.label}, and merge tags may use it. Choose another."
    return ""


def label_error(label: str, others: Iterable[FieldNames] = ()) -> str:
    """Why this can't be a label, as a message; "" when it can. A name must lead to one field only."""
    if not label or not label.isprintable():
        return "Enter a label of 1 to 60 characters."
    names = {label.casefold(), re.sub(r"[\s_-]+", "_", label.casefold())}
    if names & _NAMES:
        return "A built-in field already has this name. Choose another label."
    if any(names & {other.label.casefold(), other.key} for other in others):
        return "Another field already has this name. Choose another label."
    return ""


def read_options(text: str) -> list[str]:
    """The options of a dropdown field, one per line; blank lines and repetitions are left out. Raises
    ValueError with a message."""
    options = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not options:
        raise ValueError("Enter at least one option, one per line.")
    if len(options) > MOST_OPTIONS:
        raise ValueError(f"A field can have at most {MOST_OPTIONS} options.")
    if any(len(option) > LONGEST_OPTION or "\0" in option for option in options):
        raise ValueError(f"An option can have at most {LONGEST_OPTION} printable characters.")
    return options


def currency_error(field_type: FieldType, currency: str) -> str:
    """Why this can't be the currency of a field of this type, as a message; "" when it can."""
    if field_type is not FieldType.MONEY:
        return "Only fields for money have a currency. Remove it." if currency else ""
    return "" if currency in CURRENCIES else "Choose a currency, such as USD."


def read_default(spec: FieldSpec, value: FieldValue, region: str, zone: ZoneInfo) -> FieldValue:
    """The default of a field in its stored form. Forms send every value as a list of texts. Raises ValueError
    with a message."""
    if isinstance(value, list):
        text = ("\n" if spec.type in CHOICE_TYPES else ", ").join(map(str, value))
    else:
        text = plain_text(value)
    default = normalize_value(spec, text, region, zone)
    if spec.type is FieldType.USER and default is not None and default not in (spec.names or {}):
        raise ValueError("Choose a member of this account.")
    return default
