"""The values that a contact can store, and its display name. `normalize` is the entry point: forms, the API
and imports all use it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from app.filters.facts import UTC_ZONE
from app.filters.field_values import options_of, value_of
from app.filters.fields import BUILT_IN, CONSENT, Fields, FieldSpec, FieldType, unknown_field
from app.filters.normalize import LONGEST, Value, normalize_value, storable
from app.json_types import Json, JsonObject

# Built-in fields that aren't free text: the owner and the consents.
NON_TEXT_FIELDS = ("owner", "email_consent", "sms_consent")
FieldInput: TypeAlias = "Json | UUID"  # a value as a form or the API sends it
Spellings: TypeAlias = Sequence[object]  # of a value: as it is stored, as it was typed, as the audit has it
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


class ContactChoice(msgspec.Struct):
    """A contact to choose in a form; `detail` tells contacts of one name apart."""

    id: UUID
    name: str
    detail: str


def nameless(values: Mapping[str, object]) -> str | None:
    """An error message when the values do not identify a contact, else None."""
    if any(values.get(key) for key in NAMING):
        return None
    return "Enter at least a name, an email address, a company, a phone number or an external ID."


def form_name(key: str) -> str:
    """The name of a field in forms, by its key."""
    return key.replace("custom.", "fields.", 1) if key.startswith("custom.") else key


def display_name(values: Mapping[str, object]) -> str:
    """The display name of a contact with these values by field key."""
    return contact_name(*(str(values.get(key) or "") for key in ("first_name", "last_name", *FALLBACKS)))


def contact_name(first: str | None, last: str | None, *others: str | None) -> str:
    """The display name of a contact: its first and last name, else the first of `others` that isn't empty, in
    the order of `FALLBACKS`."""
    if first or last:
        return f"{first} {last}" if first and last else first or last or ""
    return next((text for text in others if text), "") or "Unnamed contact"


class RevisionChange(Protocol):
    """What an audit entry says about a revision of a contact."""

    @property
    def rev(self) -> int: ...
    @property
    def occurred_at(self) -> datetime: ...
    @property
    def actor_name(self) -> str: ...
    @property
    def changes(self) -> JsonObject: ...


class LaterEdit(msgspec.Struct, frozen=True):
    """What became of a field after a revision: its value in that revision, and its last change."""

    before: Json
    actor_name: str
    occurred_at: datetime


class Comparison(msgspec.Struct, frozen=True):
    """The fields of a form that was filled in on an older revision: those to write, those that its author
    left alone although someone else changed them, and those that both changed."""

    own: list[str]
    untouched: list[str]
    disputed: list[str]


def edits_since(changes: Iterable[RevisionChange], rev: int, current: int) -> dict[str, LaterEdit] | None:
    """What became of each field between two revisions; None when the changes are incomplete. Several entries
    may have brought one revision."""
    edits: dict[str, LaterEdit] = {}
    covered: set[int] = set()
    for change in changes:
        covered.add(change.rev)
        for key, pair in change.changes.items():
            first = pair[0] if isinstance(pair, list) and pair else None
            before = edits[key].before if key in edits else first
            edits[key] = LaterEdit(before, change.actor_name, change.occurred_at)
    complete = rev <= current and covered == set(range(rev + 1, current + 1))
    return edits if complete else None


def compare(
    sent: Mapping[str, Spellings], stored: Mapping[str, Spellings], edits: Mapping[str, LaterEdit]
) -> Comparison:
    """Compares what a form sends with what is stored. A field is disputed when its stored value is neither
    that of the form's revision nor the one that is sent."""
    result = Comparison([], [], [])
    for key, spellings in sent.items():
        edit, now = edits.get(key), stored[key]
        if edit is None or spellings[0] == now[0] or _matches(now, edit.before):
            result.own.append(key)
        elif _matches(spellings, edit.before):
            result.untouched.append(key)
        else:
            result.disputed.append(key)
    return result


def _matches(spellings: Spellings, value: Json) -> bool:
    return value in spellings or (value is None and "" in spellings)
