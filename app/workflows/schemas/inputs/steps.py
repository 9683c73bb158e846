"""Configs of steps as they are sent. Where a form needs nothing special, that is the stored config itself."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.workflows.domain.steps import (
    AddNote,
    AddToWorkflow,
    Amount,
    AssignOwner,
    CreateTask,
    DeleteContact,
    Drip,
    Exit,
    GoTo,
    Line,
    Notify,
    OnDoubt,
    RemoveFromWorkflow,
    SetConsent,
    Text,
    TimeOfDay,
    Unit,
    UpdateField,
    Wait,
    Weekday,
)
from app.workflows.domain.steps.contact import Users
from app.workflows.schemas.inputs.filters import FilterInput

NewLaneKey = Annotated[str, Meta(pattern=r"^[a-z0-9_]{0,20}\Z")]


class _Input(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind"):
    pass


class AddTagInput(_Input, tag="add_tag"):
    """`tag` is an id or a name; a new name makes the tag."""

    tag: Line = ""


class RemoveTagInput(_Input, tag="remove_tag"):
    tag: Line = ""


class WindowInput(msgspec.Struct, forbid_unknown_fields=True):
    """A window, or with `limit` "no" none: forms always send its fields."""

    limit: Literal["yes", "no"] = "yes"
    days: Annotated[list[Weekday], Meta(max_length=7)] = []
    start: TimeOfDay = "09:00"
    end: TimeOfDay = "17:00"
    zone: Annotated[str, Meta(max_length=60)] = "account"


class SendEmailInput(_Input, tag="send_email"):
    subject: Line = ""
    body: Text = ""
    from_name: Line = ""
    reply_to: Line = ""
    on_doubt: OnDoubt = OnDoubt.HOLD
    transactional: bool = False
    window: WindowInput | None = None


class SendSmsInput(_Input, tag="send_sms"):
    body: Annotated[str, Meta(max_length=1600)] = ""
    on_doubt: OnDoubt = OnDoubt.HOLD
    transactional: bool = False
    window: WindowInput | None = None


class ChatInput(_Input, tag="chat"):
    channel: Line = ""
    text: Text = ""
    on_doubt: OnDoubt = OnDoubt.RESEND
    window: WindowInput | None = None


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
    save_as: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_]{0,39})?\Z")] = ""
    window: WindowInput | None = None


class WaitForInput(_Input, tag="wait_for"):
    """`about` may be the name of a tag where the event is about one."""

    mode: Literal["event", "condition"] = "condition"
    event: Line = ""
    about: Line = ""
    filter: FilterInput | None = None
    amount: Amount = 7
    unit: Unit = Unit.DAYS


class LaneInput(msgspec.Struct, forbid_unknown_fields=True):
    """Without a key it is a new lane, which is given one."""

    key: NewLaneKey = ""
    name: Line = ""
    filter: FilterInput | None = None


class BranchInput(_Input, tag="branch"):
    branches: Annotated[list[LaneInput], Meta(max_length=20)] = []
    else_name: Line = "Else"


class SplitLaneInput(msgspec.Struct, forbid_unknown_fields=True):
    key: NewLaneKey = ""
    name: Line = ""
    weight: Annotated[int, Meta(ge=0, le=1000)] = 1


class SplitInput(_Input, tag="split"):
    lanes: Annotated[list[SplitLaneInput], Meta(max_length=20)] = []


class OptionInput(msgspec.Struct, forbid_unknown_fields=True):
    key: NewLaneKey = ""
    name: Line = ""


class ApprovalInput(_Input, tag="approval"):
    question: Text = ""
    options: Annotated[list[OptionInput], Meta(max_length=10)] = []
    users: Users = []
    amount: Amount = 2
    unit: Unit = Unit.DAYS


class GoalInput(_Input, tag="goal"):
    name: Line = ""
    filter: FilterInput | None = None
    on_unmet: Literal["wait", "continue", "end"] = "end"
    amount: Amount = 7
    unit: Unit = Unit.DAYS


ConfigInput = (
    SendEmailInput
    | SendSmsInput
    | ChatInput
    | Notify
    | WebhookInput
    | AddTagInput
    | RemoveTagInput
    | UpdateField
    | AssignOwner
    | AddNote
    | CreateTask
    | SetConsent
    | DeleteContact
    | Wait
    | WaitForInput
    | BranchInput
    | SplitInput
    | GoalInput
    | GoTo
    | Drip
    | ApprovalInput
    | AddToWorkflow
    | RemoveFromWorkflow
    | Exit
)
