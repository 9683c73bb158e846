"""The field catalog: which fields filters, steps and merge tags can use, and the operators of each type.
`field_catalog` is the entry point: the built-in fields and those of an account."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import msgspec
from msgspec.structs import replace

from app.filters.ast import ARITY, Arity, Filter, Op
from app.filters.event_kinds import EVENT_KINDS
from app.json_types import Json


class FieldType(StrEnum):
    """The type of a field; it decides which operators the field has.

    The last three are not stored with the contact: they are its segments, its workflows and its history."""

    TEXT = "text"
    LONG_TEXT = "long_text"
    PHONE = "phone"
    EMAIL = "email"
    URL = "url"
    NUMBER = "number"
    MONEY = "money"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    SELECT = "select"
    MULTI_SELECT = "multi_select"
    TAGS = "tags"
    USER = "user"
    SEGMENTS = "segments"
    WORKFLOWS = "workflows"
    HISTORY = "history"


# The types whose values are text that conditions compare without case, and those whose values are numbers.
TEXT_TYPES = (FieldType.TEXT, FieldType.LONG_TEXT, FieldType.PHONE, FieldType.EMAIL, FieldType.URL)
NUMBER_TYPES = (FieldType.NUMBER, FieldType.MONEY)
CHOICE_TYPES = (FieldType.SELECT, FieldType.MULTI_SELECT)
# The types of custom fields as accounts choose and store them: the names of `FieldType`, but for a member.
MEMBER_TYPE = "member"
_MEMBERSHIP_TYPES = (FieldType.SEGMENTS, FieldType.WORKFLOWS, FieldType.HISTORY)


# What a contact stores in a field.
if TYPE_CHECKING:
    FieldValue: TypeAlias = "str | int | float | bool | list[Json] | None"
else:  # msgspec reads the annotations of structs, and cannot read a recursive type
    FieldValue = str | int | float | bool | list[str] | None


class FieldSpec(msgspec.Struct, frozen=True):
    """A field. Filters store its `key` ("city", "tags", "custom.<field id>"), merge tags use its `slug`.
    `writable` says whether an update-field step may set it. Merge tags accept the `former_slugs` of a renamed
    field too. A `retired` field keeps its values and works where it is used, but isn't offered.

    Of a custom field: the `currency` of its amounts, the `group` of forms it stands in, whether a new contact
    must have a value (`required`), and the `default` of a new contact.

    `slot` is the number of the column with the values of a field that the account has indexed, 0 for others.

    `names` are the names of the members, segments or workflows that a condition may refer to, by id; None
    skips the check. `filters` are the account's segment filters by id, None for a filter that cannot be read.
    Both come from `field_catalog`."""

    key: str
    label: str
    type: FieldType
    slug: str
    options: tuple[str, ...] = ()
    writable: bool = True
    currency: str = ""
    group: str = ""
    required: bool = False
    default: FieldValue = None
    retired: bool = False
    former_slugs: tuple[str, ...] = ()
    slot: int = 0
    names: Mapping[str, str] | None = None
    filters: Mapping[UUID, Filter | None] = {}

    @property
    def custom_id(self) -> str | None:
        """The id under which `Contact.fields` stores the value; None for a built-in field."""
        return self.key.removeprefix("custom.") if self.key.startswith("custom.") else None

    @property
    def has_value(self) -> bool:
        """Whether a contact has a value in this field that lists can show."""
        return self.type not in _MEMBERSHIP_TYPES

    @property
    def has_history(self) -> bool:
        """Whether events record its changes, with the old and the new value."""
        if self.type is FieldType.DATETIME:
            return self.custom_id is not None  # the built-in moments are not edited
        return self.has_value and self.type is not FieldType.TAGS

    @property
    def is_printable(self) -> bool:
        """Whether a merge tag can print it."""
        return self.has_value and self.type is not FieldType.TAGS


class Operator(msgspec.Struct, frozen=True):
    op: Op
    label: str
    arity: Arity


Fields = Mapping[str, FieldSpec]


class FieldCatalog(dict[str, FieldSpec]):
    """The fields of an account. A class of its own, because a plain `dict` allows no weak references."""


class AccountNames(msgspec.Struct, frozen=True):
    """The members, segments and workflows of one account that conditions may refer to: names by id (as text),
    and the filters of the segments."""

    users: Mapping[str, str] | None = None
    segments: Mapping[str, str] | None = None
    workflows: Mapping[str, str] | None = None
    filters: Mapping[UUID, Filter | None] = {}


NO_NAMES = AccountNames()


def _operators(**labels: str) -> tuple[Operator, ...]:
    return tuple(
        Operator(Op(name.rstrip("_")), label, ARITY[Op(name.rstrip("_"))]) for name, label in labels.items()
    )


_EMPTY = {"empty": "is empty", "not_empty": "is not empty"}
_DATES = {
    "on": "is on",
    "before": "is before",
    "after": "is after",
    "between": "is between",
    "today": "is today",
    "yesterday": "was yesterday",
    "tomorrow": "is tomorrow",
    "in_last": "is in the last",
    "in_next": "is in the next",
    "more_than_ago": "is longer ago than",
    "more_than_ahead": "is further ahead than",
    "anniversary": "has its anniversary today",
    "anniversary_in": "has its anniversary in the next",
}

# "is not X" includes empty: a filter for contacts not in Texas includes those without a state.
_TEXT = _operators(
    is_="is",
    is_not="is not (or is empty)",
    contains="contains",
    not_contains="does not contain (or is empty)",
    starts="starts with",
    ends="ends with",
    in_="is one of",
    **_EMPTY,
)
_NUMBER = _operators(
    eq="=",
    ne="≠ (or is empty)",
    gt=">",
    ge="≥",
    lt="<",
    le="≤",
    between="is between",
    **_EMPTY,
)
OPERATORS: dict[FieldType, tuple[Operator, ...]] = {
    **dict.fromkeys(TEXT_TYPES, _TEXT),
    **dict.fromkeys(NUMBER_TYPES, _NUMBER),
    FieldType.BOOLEAN: _operators(true="is yes", false="is no", unknown="is unknown"),
    FieldType.DATE: _operators(**_DATES, **_EMPTY),
    FieldType.DATETIME: _operators(**_DATES, **_EMPTY),
    FieldType.SELECT: _operators(any_of="is any of", none_of="is none of (or is empty)", **_EMPTY),
    FieldType.MULTI_SELECT: _operators(
        any_of="includes any of",
        all_of="includes all of",
        none_of="includes none of (or is empty)",
        **_EMPTY,
    ),
    FieldType.TAGS: _operators(
        any_of="include any of",
        all_of="include all of",
        none_of="include none of",
        empty="are empty",
        not_empty="are not empty",
    ),
    FieldType.USER: _operators(
        is_="is", any_of="is any of", unassigned="is unassigned", assigned="is assigned"
    ),
    FieldType.SEGMENTS: _operators(any_of="in any of", none_of="in none of"),
    FieldType.WORKFLOWS: _operators(
        active_in="now in any of",
        not_active_in="now in none of",
        ever_in="ever in any of",
        never_in="never in any of",
        completed="completed any of",
        not_completed="completed none of",
    ),
    FieldType.HISTORY: _operators(
        happened="happened at least",
        not_happened="happened fewer than",
        changed="a field changed",
        changed_to="a field changed to",
        changed_from_to="a field changed from and to",
    ),
}

UNITS: dict[FieldType, tuple[str, ...]] = {
    FieldType.DATE: ("days", "weeks", "months", "years"),
    FieldType.DATETIME: ("minutes", "hours", "days", "weeks", "months", "years"),
    FieldType.HISTORY: ("minutes", "hours", "days", "weeks", "months", "years"),
}

_TEXTS = {
    "first_name": "First name",
    "last_name": "Last name",
    "email": "Email",
    "phone": "Phone",
    "phone2": "Second phone",
    "company": "Company",
    "address": "Address",
    "city": "City",
    "county": "County",
    "state": "State",
    "postal_code": "Postal code",
    "country": "Country",
    "website": "Website",
    "time_zone": "Time zone",
    "external_id": "External ID",
}
_CONSENTS = {"email_consent": "Email consent", "sms_consent": "SMS consent"}
# Never empty: without an answer from the contact it is "unknown". Only members, imports and the set-consent
# step change it.
CONSENT = ("unknown", "granted", "denied")
# The types of custom fields that an account can index.
INDEXABLE = (FieldType.NUMBER, FieldType.MONEY, FieldType.DATE, FieldType.DATETIME)
# Unique per account, so a step that writes the same value to many contacts would fail.
_UNIQUE = {"email", "external_id"}


def _built_in() -> Iterable[FieldSpec]:
    for key, label in _TEXTS.items():
        yield FieldSpec(key, label, FieldType.TEXT, key, writable=key not in _UNIQUE)
    yield FieldSpec("tags", "Tags", FieldType.TAGS, "tags", writable=False)
    yield FieldSpec("owner", "Owner", FieldType.USER, "owner")
    for channel, label in _CONSENTS.items():
        yield FieldSpec(channel, label, FieldType.SELECT, channel, CONSENT, writable=False)
    yield FieldSpec("created_at", "Created", FieldType.DATETIME, "created_at", writable=False)
    yield FieldSpec("updated_at", "Updated", FieldType.DATETIME, "updated_at", writable=False)
    yield FieldSpec("segments", "Segments", FieldType.SEGMENTS, "segments", writable=False)
    yield FieldSpec("workflows", "Workflows", FieldType.WORKFLOWS, "workflows", writable=False)
    yield FieldSpec("history", "History", FieldType.HISTORY, "history", tuple(EVENT_KINDS), writable=False)


BUILT_IN: dict[str, FieldSpec] = {spec.key: spec for spec in _built_in()}
# The text columns of a contact that members fill in.
TEXT_FIELDS = tuple(key for key, spec in BUILT_IN.items() if spec.type is FieldType.TEXT)


def custom_field(
    field_id: object, slug: str, label: str, kind: str, options: Iterable[str] = ()
) -> FieldSpec:
    """The spec of one custom field. Filters and contacts store its id; `slug` is its short name for merge
    tags and `kind` its type as accounts choose it."""
    field_type = FieldType.USER if kind == MEMBER_TYPE else FieldType(kind)
    return FieldSpec(f"custom.{field_id}", label, field_type, slug, tuple(options))


def field_catalog(custom: Iterable[FieldSpec] = (), named: AccountNames = NO_NAMES) -> FieldCatalog:
    """Built-in fields followed by the account's custom fields, by key. `named` are the account's members,
    segments and workflows: without them no name is checked, and a condition on a segment matches no
    contact."""
    own = {
        "owner": replace(BUILT_IN["owner"], names=named.users),
        "segments": replace(BUILT_IN["segments"], names=named.segments, filters=named.filters),
        "workflows": replace(BUILT_IN["workflows"], names=named.workflows),
    }
    return FieldCatalog(BUILT_IN | own | {spec.key: _with_names(spec, named) for spec in custom})


def _with_names(spec: FieldSpec, named: AccountNames) -> FieldSpec:
    return replace(spec, names=named.users) if spec.type is FieldType.USER else spec


def operator(spec: FieldSpec, op: Op) -> Operator | None:
    """The operator as this field offers it, or None when its type does not allow it."""
    return next((operator_spec for operator_spec in OPERATORS[spec.type] if operator_spec.op is op), None)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that is most similar to `name`, for "did you mean"; compares without case."""
    by_folded = {label.casefold(): label for label in names}
    matches = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def unknown_field(name: str, fields: Fields) -> str:
    """The message for a field that does not exist; it suggests the most similar field, if any."""
    shown = name if len(name) <= 60 else name[:60] + "…"
    if name.startswith("custom."):
        return "This custom field no longer exists. Choose another field."
    match = nearest(name, [*fields, *(spec.label for spec in fields.values())])
    if match is None:
        return f"There is no field “{shown}”."
    key = match if match in fields else next(spec.key for spec in fields.values() if spec.label == match)
    return f"There is no field “{shown}”. Did you mean “{key}”?"


def offered(fields: Fields, *used: str) -> list[FieldSpec]:
    """The fields to choose from: all but the retired ones, and of those the `used` ones (keys)."""
    return [spec for spec in fields.values() if not spec.retired or spec.key in used]


def defaults_of(fields: Fields) -> dict[str, FieldValue]:
    """The values that a new contact gets where nothing else is said, by field key. A member who has left is
    no default."""
    return {
        spec.key: spec.default
        for spec in fields.values()
        if spec.default is not None
        and not spec.retired
        and (spec.type is not FieldType.USER or spec.default in (spec.names or {}))
    }


def required_fields(fields: Fields) -> list[FieldSpec]:
    """The fields in which a new contact must have a value."""
    return [spec for spec in fields.values() if spec.required and not spec.retired]


def holds_member(key: object, fields: Fields) -> bool:
    """Whether this is the key of a field whose value is a member."""
    spec = fields.get(str(key))
    return spec is not None and spec.type is FieldType.USER


def recorded_fields(fields: Fields, *used: str) -> dict[str, str]:
    """The labels, by key, of the fields to choose from whose changes conditions can test; `used` as in
    `offered`."""
    return {spec.key: spec.label for spec in offered(fields, *used) if spec.has_history}


def field_key(name: str, fields: Fields) -> str:
    """The key of the field with this key, slug, label or former slug, compared without case. Returns `name`
    itself when no field or more than one matches."""
    if name in fields:
        return name
    folded = name.strip().casefold()
    by_slug = [key for key, spec in fields.items() if spec.slug.casefold() == folded]
    by_label = [key for key, spec in fields.items() if spec.label.casefold() == folded]
    by_former = [key for key, spec in fields.items() if folded in spec.former_slugs]
    return next((keys[0] for keys in (by_slug, by_label, by_former) if len(keys) == 1), name)


def ids_by_name(text: str, names: Mapping[str, str]) -> list[str]:
    """The ids of the entries with this name: an exact match, else ignoring case and repeated spaces. Members
    and workflows may share a name."""
    exact = [key for key, name in names.items() if name == text]
    folded = " ".join(text.split()).casefold()
    return exact or [key for key, name in names.items() if " ".join(name.split()).casefold() == folded]
