"""Bodies of the builder. A form and a script fill the same structs: tags may be ids or names, and a filter is
either typed (`type` group or predicate, as it is stored) or the rows of a form (`type` rows)."""

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import UNSET, Meta

from app.engine.core.draft import Audience, Reentry
from app.engine.core.steps import KINDS, Line, Text, Unit
from app.engine.core.triggers import TRIGGERS
from app.filters.rows import FilterInput, RowButtons
from app.patch import Patch
from app.workflows.schemas.inputs.steps import ConfigInput, WindowInput
from app.workflows.schemas.inputs.triggers import TriggerInput

Name = Annotated[str, Meta(min_length=1, max_length=120)]
Description = Annotated[str, Meta(max_length=2000)]
Rev = Annotated[int, Meta(ge=0)]
# For tools, bodies list the kinds; for the type checker a kind is a text.
if TYPE_CHECKING:
    Kind = str
    TriggerKind = str
else:
    Kind = Literal[tuple(KINDS)]
    TriggerKind = Literal[tuple(TRIGGERS)]


class WorkflowForm(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    description: Description = ""


class WorkflowChangeForm(msgspec.Struct, forbid_unknown_fields=True):
    """A missing field stays as it is; null empties the description."""

    name: Patch[Name] = UNSET
    description: Patch[Description | None] = UNSET


class RevForm(msgspec.Struct, forbid_unknown_fields=True):
    """`rev` is the revision that the page showed: an edit of an older one is refused with 409."""

    rev: Rev


class InsertForm(msgspec.Struct, forbid_unknown_fields=True):
    """Where the step goes (`list` "main" or "<branch>.<lane>", before `position`) and its kind. A `config` is
    checked at once; without one the step may be filled in later."""

    kind: Kind
    rev: Rev
    list_id: Line = msgspec.field(default="main", name="list")
    position: Annotated[int, Meta(ge=0, le=10_000)] = 10_000
    name: Line = ""
    config: ConfigInput | None = None


class _Again(RowButtons, kw_only=True):
    """`rev` as in `RevForm`; the buttons change the rows of the form, and nothing is saved."""

    rev: Rev


class StepForm(_Again, kw_only=True):
    """A missing field stays as it is, also in the config; null empties the name or the note."""

    name: Patch[Line | None] = UNSET
    note: Patch[Text | None] = UNSET
    config: Patch[ConfigInput] = UNSET


class PositionForm(msgspec.Struct, forbid_unknown_fields=True):
    """One place up or down (`dir`), or before `position` of `list`; `to` is both at once: "main:3"."""

    rev: Rev
    dir: Literal["up", "down", ""] = ""
    list_id: Line = msgspec.field(default="", name="list")
    position: Annotated[int, Meta(ge=0, le=10_000)] = 10_000
    to: Line = ""


class AddTriggerForm(msgspec.Struct, forbid_unknown_fields=True):
    """Its kind, and its `config`, which is checked at once; without one it may be filled in later."""

    kind: TriggerKind
    rev: Rev
    config: TriggerInput | None = None


class TriggerForm(_Again, kw_only=True):
    """A missing field of the config stays as it is; with another kind all fields except the filter start from
    their defaults."""

    config: Patch[TriggerInput] = UNSET


class EntryForm(_Again, kw_only=True):
    """Null, or rows without a condition: every contact that a trigger admits enters."""

    filter: Patch[FilterInput | None] = UNSET


class SettingsForm(msgspec.Struct, forbid_unknown_fields=True):
    """A missing field stays as it is; null is no limit, no key, no window."""

    rev: Rev
    reentry: Patch[Reentry] = UNSET
    cooldown: Patch[Annotated[int, Meta(ge=0, le=100_000)] | None] = UNSET
    cooldown_unit: Patch[Unit] = UNSET
    key_field: Patch[Annotated[str, Meta(max_length=200)] | None] = UNSET
    audience: Patch[Audience] = UNSET
    settle_seconds: Patch[Annotated[int, Meta(ge=0, le=86_400)] | None] = UNSET
    window: Patch[WindowInput | None] = UNSET
    leave_when_unmatched: Patch[bool] = UNSET
    entry_cap: Patch[Annotated[int, Meta(ge=0, le=10_000_000)] | None] = UNSET


__all__ = [
    "AddTriggerForm",
    "ConfigInput",
    "EntryForm",
    "FilterInput",
    "InsertForm",
    "PositionForm",
    "RevForm",
    "SettingsForm",
    "StepForm",
    "TriggerForm",
    "TriggerInput",
    "WindowInput",
    "WorkflowChangeForm",
    "WorkflowForm",
]
