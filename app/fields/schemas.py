"""The JSON of custom fields and their forms."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from app.filters.references import Use
from app.patch import Patch
from app.web.actions import Action

Label = Annotated[
    str, Meta(min_length=1, max_length=60, extra={"error": "Enter a label of 1 to 60 characters."})
]
Options = Annotated[str, Meta(max_length=10_000)]


class FieldForm(msgspec.Struct, forbid_unknown_fields=True):
    """`options` are those of a dropdown, one per line. `key` is the short name for merge tags; if it is
    empty, it is derived from the label."""

    label: Label
    type: Literal["text", "number", "boolean", "date", "select"] = "text"
    key: Annotated[str, Meta(max_length=40)] = ""
    options: Options = ""


class FieldChangeForm(msgspec.Struct, forbid_unknown_fields=True):
    """The type and the short name of a field can't change. A missing value does not change; null is no
    options."""

    label: Patch[Label] = UNSET
    options: Patch[Options | None] = UNSET


class FieldDeletionForm(msgspec.Struct, forbid_unknown_fields=True):
    """With `expected` nothing changes when another number of contacts has a value (409 with the number)."""

    expected: Annotated[int, Meta(ge=0)] | None = None


class CustomFieldView(msgspec.Struct):
    """`filter_key` is the field's key in filters."""

    id: UUID
    key: str
    label: str
    type: str
    options: list[str]
    filter_key: str


class FieldList(msgspec.Struct):
    """Fields in their order; `next` and `previous` are addresses, "" for none."""

    items: list[CustomFieldView]
    next: str
    previous: str
    types: list[tuple[str, str]]
    actions: list[Action]


class FieldPage(msgspec.Struct):
    """One field; `contacts` is the number of contacts that have a value in it, `used_by` are the workflows
    and segments that use it."""

    field: CustomFieldView
    contacts: int
    used_by: list[Use]
    actions: list[Action]
