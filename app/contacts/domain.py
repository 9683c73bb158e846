"""The values that a contact can store, and its display name. `normalize` is the entry point: forms, the API
and imports all use it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeAlias, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from app.filters.contact_columns import ContactColumns, LabeledValue
from app.filters.countries import country_names
from app.filters.facts import UTC_ZONE
from app.filters.field_values import options_of, value_of
from app.filters.fields import BUILT_IN, CONSENT, Fields, FieldSpec, FieldType, unknown_field
from app.filters.normalize import LONGEST, PHONES, Value, is_plausible_phone, normalize_value, storable
from app.json_types import Json, JsonObject

# Built-in fields that aren't free text: the owner and the consents.
NON_TEXT_FIELDS = ("owner", "email_consent", "sms_consent")
FieldInput: TypeAlias = "Json | UUID"  # a value as a form or the API sends it
Spellings: TypeAlias = Sequence[object]  # of a value: as it is stored, as it was typed, as the audit has it
StoredValue: TypeAlias = "Value | list[LabeledValue]"
ContactT = TypeVar("ContactT", bound=ContactColumns)
CUSTOM = "custom."
UniqueKey: TypeAlias = Literal["email", "external_id"]
UNIQUE: tuple[UniqueKey, ...] = ("email", "external_id")
FALLBACKS = ("email", "company", "phone", "external_id")  # they name a contact without a name
NAMING = ("first_name", "last_name", *FALLBACKS)


def normalize(
    values: Mapping[str, object], region: str, fields: Fields = BUILT_IN, zone: ZoneInfo = UTC_ZONE
) -> tuple[dict[str, Value], dict[str, str]]:
    """The stored form of these values, and a message for each value that cannot be stored, both by field key;
    a key is in exactly one of the two. Blank is None. Plausible phone numbers become E.164, with `region`
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


def unrecognized(contact: ContactColumns) -> list[str]:
    """The fields whose value stays as it was typed, because it is no phone number of its country, or no
    country that is known."""
    keys = [key for key in PHONES if (text := getattr(contact, key)) and not is_plausible_phone(text)]
    if contact.other_phones and not all(is_plausible_phone(other["value"]) for other in contact.other_phones):
        keys.append("other_phones")
    if contact.country and contact.country not in country_names():
        keys.append("country")
    return keys


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


class NamedByFields(Protocol):
    """The fields of a contact that its display name comes from."""

    @property
    def first_name(self) -> str | None: ...
    @property
    def last_name(self) -> str | None: ...
    @property
    def email(self) -> str | None: ...
    @property
    def company(self) -> str | None: ...
    @property
    def phone(self) -> str | None: ...
    @property
    def external_id(self) -> str | None: ...


def name_of(contact: NamedByFields) -> str:
    """The display name of a contact."""
    return contact_name(
        contact.first_name, contact.last_name, contact.email, contact.company, contact.phone,
        contact.external_id,
    )  # fmt: skip


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


def stored_value(contact: ContactColumns, key: str) -> StoredValue:
    """The stored value of one field by its key; the owner's id as text."""
    if key == "owner":
        return str(contact.owner) if contact.owner else None
    if key.startswith(CUSTOM):
        return contact.fields.get(key.removeprefix(CUSTOM))
    value: StoredValue = getattr(contact, key)
    return value


def shown_value(value: StoredValue) -> Value:
    """A value as the history shows it: further emails and phones as `ana@work.example (work), …`."""
    if value == []:
        return None
    if not isinstance(value, list) or not isinstance(value[0], dict):
        return value
    others = [other for other in value if isinstance(other, dict)]
    return ", ".join(
        f"{other['value']} ({other['label']})" if other["label"] else str(other["value"]) for other in others
    )


def filled_in(contact: ContactT, values: Mapping[str, StoredValue]) -> ContactT:
    """The contact with normalized values by field key; None clears a field."""
    custom = {key.removeprefix(CUSTOM): value for key, value in values.items() if key.startswith(CUSTOM)}
    own: dict[str, object] = {key: value for key, value in values.items() if not key.startswith(CUSTOM)}
    if own.get("owner"):
        own["owner"] = UUID(str(own["owner"]))
    if custom:
        merged = contact.fields | custom
        own["fields"] = {field: value for field, value in merged.items() if value is not None}
    return msgspec.structs.replace(contact, **own)


def is_stored(contact: ContactColumns, key: str, value: FieldInput) -> bool:
    """Whether this is what a custom field has already."""
    return key.startswith(CUSTOM) and value is not None and value == stored_value(contact, key)


def with_member_names(fields: Fields, changes: dict[str, list[Json]]) -> dict[str, list[Json]]:
    """Replaces ids of members by names, for the members who read the audit log."""
    names = fields["owner"].names or {}
    named: dict[str, list[Json]] = {
        key: [names.get(str(member), member) if member else None for member in pair]
        for key, pair in changes.items()
        if key in fields and fields[key].type is FieldType.USER
    }
    return {**changes, **named} if named else changes


def unique_values(values: Mapping[str, StoredValue]) -> Iterator[tuple[str, UniqueKey, StoredValue]]:
    """The values that no two contacts have, each with its field and what it is."""
    for key in UNIQUE:
        yield key, key, values.get(key)
    others = values.get("other_emails")
    for other in others if isinstance(others, list) else []:
        if isinstance(other, dict):
            yield "other_emails", "email", str(other["value"])
