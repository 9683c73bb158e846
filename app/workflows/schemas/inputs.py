"""Bodies of the builder. A form and a script fill the same structs: tags may be ids or names, and a filter is
either typed (`type` group or predicate, as it is stored) or the rows of a form (`type` rows)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.filters.ast import Group, Predicate
from app.workflows.domain.draft import Reentry
from app.workflows.domain.events import LISTENED, Source
from app.workflows.domain.steps import Amount, Line, OnDoubt, Text, Unit

Name = Annotated[str, Meta(min_length=1, max_length=120)]
Rev = Annotated[int, Meta(ge=0)]
Kind = Literal[
    "send_email", "webhook", "add_tag", "remove_tag", "update_field", "wait", "branch", "goal", "exit"
]
TriggerKind = Literal["contact_created", "contact_updated", "tag_added", "manual"]


class RowInput(msgspec.Struct, forbid_unknown_fields=True):
    """One condition as a form shows it; several values are separated by commas. `nested` is a group that a
    row cannot show, as JSON. A row without a field is left out."""

    field: Line = ""
    op: Annotated[str, Meta(max_length=40)] = ""
    value: Annotated[str, Meta(max_length=10_000)] = ""
    nested: Text = ""


class RowsInput(msgspec.Struct, forbid_unknown_fields=True, tag="rows"):
    match: Literal["all", "any"] = "all"
    rows: Annotated[list[RowInput], Meta(max_length=100)] = []


FilterInput = RowsInput | Group | Predicate


class _Input(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind"):
    pass


class AddTagInput(_Input, tag="add_tag"):
    """`tag` is an id or a name; a new name makes the tag."""

    tag: Line = ""


class RemoveTagInput(_Input, tag="remove_tag"):
    tag: Line = ""


class UpdateFieldInput(_Input, tag="update_field"):
    field: Line = ""
    operation: Literal["set", "clear"] = "set"
    value: Text = ""


class SendEmailInput(_Input, tag="send_email"):
    subject: Line = ""
    body: Text = ""
    from_name: Line = ""
    reply_to: Line = ""
    on_doubt: OnDoubt = OnDoubt.HOLD


class HeaderInput(msgspec.Struct, forbid_unknown_fields=True):
    """A header without a name is left out."""

    name: Line = ""
    value: Line = ""


class WebhookInput(_Input, tag="webhook"):
    """`headers` by name; `more_headers` is the same as rows, for forms."""

    url: Annotated[str, Meta(max_length=2000)] = ""
    method: Literal["POST", "PUT", "PATCH", "GET", "DELETE"] = "POST"
    headers: dict[str, Line] = {}
    more_headers: Annotated[list[HeaderInput], Meta(max_length=50)] = []
    body: Text = ""
    on_doubt: OnDoubt = OnDoubt.RESEND


class WaitInput(_Input, tag="wait"):
    mode: Literal["duration", "until"] = "duration"
    amount: Amount = 1
    unit: Unit = Unit.DAYS
    until: Line = ""
    past: Literal["continue", "exit"] = "continue"


class LaneInput(msgspec.Struct, forbid_unknown_fields=True):
    """Without a key it is a new lane, which is given one."""

    key: Annotated[str, Meta(pattern=r"^[a-z0-9_]{0,20}\Z")] = ""
    name: Line = ""
    filter: FilterInput | None = None


class BranchInput(_Input, tag="branch"):
    branches: Annotated[list[LaneInput], Meta(max_length=20)] = []
    else_name: Line = "Else"


class GoalInput(_Input, tag="goal"):
    name: Line = ""
    filter: FilterInput | None = None
    on_unmet: Literal["wait", "continue", "end"] = "end"
    amount: Amount = 7
    unit: Unit = Unit.DAYS


class ExitInput(_Input, tag="exit"):
    reason: Line = ""


ConfigInput = (
    SendEmailInput
    | WebhookInput
    | AddTagInput
    | RemoveTagInput
    | UpdateFieldInput
    | WaitInput
    | BranchInput
    | GoalInput
    | ExitInput
)


class _TriggerInput(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    filter: FilterInput | None = None
    sources: Annotated[list[Source], Meta(max_length=6)] = msgspec.field(
        default_factory=lambda: list(LISTENED)
    )


class ContactCreatedInput(_TriggerInput, tag="contact_created"):
    pass


class ContactUpdatedInput(_TriggerInput, tag="contact_updated"):
    """With `fields` only a change of one of those starts it."""

    fields: Annotated[list[str], Meta(max_length=50)] = []


class TagAddedInput(_TriggerInput, tag="tag_added"):
    """`tag` is an id or a name; a new name makes the tag."""

    tag: Line = ""


class ManualInput(_TriggerInput, tag="manual"):
    pass


TriggerInput = ContactCreatedInput | ContactUpdatedInput | TagAddedInput | ManualInput


class WorkflowForm(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    description: Annotated[str, Meta(max_length=2000)] = ""


class RevForm(msgspec.Struct, forbid_unknown_fields=True):
    """`rev` is the revision that was on the screen: an edit of an older one is refused with 409."""

    rev: Rev


class InsertForm(msgspec.Struct, forbid_unknown_fields=True):
    """Where the step goes (`list` "main" or "<branch>.<lane>", before `position`) and what it is; with a
    `config` it is checked at once, without one it may be filled in later."""

    kind: Kind
    rev: Rev
    list_id: Line = msgspec.field(default="main", name="list")
    position: Annotated[int, Meta(ge=0, le=10_000)] = 10_000
    name: Line = ""
    config: ConfigInput | None = None


class _Again(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`more` and `less` name a list of the form that gets one more row or loses one: nothing is saved."""

    rev: Rev
    more: Line = ""
    less: Line = ""


class StepForm(_Again, kw_only=True):
    name: Line = ""
    note: Text = ""
    config: ConfigInput


class PositionForm(msgspec.Struct, forbid_unknown_fields=True):
    """One place up or down (`dir`), or before `position` of `list`; `to` is both at once: "main:3"."""

    rev: Rev
    dir: Literal["up", "down", ""] = ""
    list_id: Line = msgspec.field(default="", name="list")
    position: Annotated[int, Meta(ge=0, le=10_000)] = 10_000
    to: Line = ""


class AddTriggerForm(msgspec.Struct, forbid_unknown_fields=True):
    kind: TriggerKind
    rev: Rev
    config: TriggerInput | None = None


class TriggerForm(_Again, kw_only=True):
    config: TriggerInput


class EntryForm(_Again, kw_only=True):
    """Without conditions everybody whom a trigger lets in enters."""

    filter: FilterInput | None = None


class SettingsForm(msgspec.Struct, forbid_unknown_fields=True):
    rev: Rev
    reentry: Reentry = Reentry.ONCE_EVER
    cooldown: Annotated[int, Meta(ge=0, le=100_000)] = 0
    cooldown_unit: Unit = Unit.DAYS
