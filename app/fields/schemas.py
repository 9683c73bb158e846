"""The JSON of custom fields and their forms."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from app.filters.fields import FieldValue
from app.filters.references import Use
from app.patch import Patch
from app.web.actions import Action

Label = Annotated[
    str, Meta(min_length=1, max_length=60, extra={"error": "Enter a label of 1 to 60 characters."})
]
Options = Annotated[str, Meta(max_length=10_000)]
Key = Annotated[str, Meta(max_length=40)]
Group = Annotated[str, Meta(max_length=60, extra={"error": "Enter a group of at most 60 characters."})]
Currency = Annotated[str, Meta(max_length=3, extra={"error": "Choose a currency, such as USD."})]
Kind = Literal[
    "text", "long_text", "number", "money", "boolean", "date", "datetime", "select", "multi_select",
    "phone", "email", "url", "member",
]  # fmt: skip


class FieldForm(msgspec.Struct, forbid_unknown_fields=True):
    """`options` are those of a dropdown or a multi-select, one per line. `currency` is the ISO code of all
    amounts in a field for money. `key` is the short name for merge tags; if it is empty, it is derived from
    the label. A contact that is created gets the `default` when the form leaves the field out, and must have
    a value when the field is `required`. Forms show the fields of a `group` together."""

    label: Label
    type: Kind = "text"
    key: Key = ""
    options: Options = ""
    currency: Currency = ""
    group: Group = ""
    required: bool = False
    default: FieldValue = None


class FieldChangeForm(msgspec.Struct, forbid_unknown_fields=True):
    """A missing value does not change; null is no options, no group, no default. The type can't change. Merge
    tags with an earlier short name go on working. A `retired` field keeps its values and works where it is
    used, but isn't offered. `position` is the place among the fields, from 1; `move` is one place up or
    down."""

    label: Patch[Label] = UNSET
    key: Patch[Key] = UNSET
    options: Patch[Options | None] = UNSET
    currency: Patch[Currency] = UNSET
    group: Patch[Group | None] = UNSET
    required: Patch[bool] = UNSET
    default: Patch[FieldValue] = UNSET
    retired: Patch[bool] = UNSET
    position: Patch[Annotated[int, Meta(ge=1)]] = UNSET
    move: Patch[Literal["up", "down"]] = UNSET


class FieldRetirementForm(msgspec.Struct, forbid_unknown_fields=True):
    """What of `FieldChangeForm` retires a field or brings it back."""

    retired: bool


class FieldMoveForm(msgspec.Struct, forbid_unknown_fields=True):
    """What of `FieldChangeForm` moves a field."""

    move: Literal["up", "down"]


class FieldDeletionForm(msgspec.Struct, forbid_unknown_fields=True):
    """With `expected` nothing changes when another number of contacts has a value (409 with the number)."""

    expected: Annotated[int, Meta(ge=0)] | None = None


class CustomFieldView(msgspec.Struct):
    """`filter_key` is the field's key in filters; `former_keys` are earlier short names, which merge tags may
    still use. `index` is whether lists sort and filter by it fast: no, building or ready."""

    id: UUID
    key: str
    label: str
    type: str
    options: list[str]
    filter_key: str
    currency: str
    group: str
    required: bool
    default: FieldValue
    retired: bool
    former_keys: list[str]
    position: int
    index: Literal["no", "building", "ready"] = "no"


class IndexJob(msgspec.Struct):
    """The job that builds the index of a field."""

    job_id: UUID
    href: str


class FieldList(msgspec.Struct):
    """Fields in their order; `next` and `previous` are addresses, "" for none. `groups` are those that the
    fields have."""

    items: list[CustomFieldView]
    next: str
    previous: str
    types: list[tuple[str, str]]
    currencies: list[str]
    groups: list[str]
    actions: list[Action]


class FieldPage(msgspec.Struct):
    """One field; `contacts` is the number of contacts that have a value in it, `used_by` are the workflows
    and segments that use it. `members` are those that a default may be, by id; moments are in
    `time_zone`."""

    field: CustomFieldView
    contacts: int
    used_by: list[Use]
    types: list[tuple[str, str]]
    currencies: list[str]
    groups: list[str]
    members: dict[str, str]
    time_zone: str
    actions: list[Action]
