"""Configs of steps as they are sent. Every field may be left out: a new step then begins with the kind's own
value, a step that exists keeps what it has. A test compares the fields with those of the stored configs."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from app.engine.core.steps import Amount, Line, OnDoubt, Text, TimeOfDay, Unit, Weekday
from app.engine.core.steps.base import Past
from app.engine.core.steps.contact import Users
from app.engine.core.steps.flow import StepKey
from app.patch import Patch
from app.workflows.schemas.inputs.filters import FilterInput

NewLaneKey = Annotated[str, Meta(pattern=r"^[a-z0-9_]{0,20}\Z")]


class _Input(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind"):
    pass


class AddTagInput(_Input, tag="add_tag"):
    """`tag` is an id or a name; a new name makes the tag."""

    tag: Patch[Line | None] = UNSET


class RemoveTagInput(_Input, tag="remove_tag"):
    tag: Patch[Line | None] = UNSET


class WindowInput(msgspec.Struct, forbid_unknown_fields=True):
    """A window, or with `limit` "no" none. What is left out stays as it is in the window that is stored."""

    limit: Literal["yes", "no"] = "yes"
    days: Patch[Annotated[list[Weekday], Meta(max_length=7)]] = UNSET
    start: Patch[TimeOfDay] = UNSET
    end: Patch[TimeOfDay] = UNSET
    zone: Patch[Annotated[str, Meta(max_length=60)]] = UNSET


class SendEmailInput(_Input, tag="send_email"):
    subject: Patch[Line] = UNSET
    body: Patch[Text] = UNSET
    from_name: Patch[Line] = UNSET
    reply_to: Patch[Line] = UNSET
    on_doubt: Patch[OnDoubt] = UNSET
    transactional: Patch[bool] = UNSET
    window: Patch[WindowInput | None] = UNSET


class SendSmsInput(_Input, tag="send_sms"):
    body: Patch[Annotated[str, Meta(max_length=1600)]] = UNSET
    on_doubt: Patch[OnDoubt] = UNSET
    transactional: Patch[bool] = UNSET
    window: Patch[WindowInput | None] = UNSET


class ChatInput(_Input, tag="chat"):
    channel: Patch[Line] = UNSET
    text: Patch[Text] = UNSET
    on_doubt: Patch[OnDoubt] = UNSET
    window: Patch[WindowInput | None] = UNSET


class HeaderInput(msgspec.Struct, forbid_unknown_fields=True):
    """A header without a name is left out."""

    name: Line = ""
    value: Line = ""


class WebhookInput(_Input, tag="webhook"):
    """`headers` by name; `more_headers` is the same as rows, for forms."""

    url: Patch[Annotated[str, Meta(max_length=2000)]] = UNSET
    method: Patch[Literal["POST", "PUT", "PATCH", "GET", "DELETE"]] = UNSET
    headers: Patch[dict[str, Line]] = UNSET
    more_headers: Patch[Annotated[list[HeaderInput], Meta(max_length=50)]] = UNSET
    body: Patch[Text] = UNSET
    on_doubt: Patch[OnDoubt] = UNSET
    save_as: Patch[Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_]{0,39})?\Z")]] = UNSET
    window: Patch[WindowInput | None] = UNSET


class WaitForInput(_Input, tag="wait_for"):
    """`about` may be the name of a tag where the event is about one."""

    mode: Patch[Literal["event", "condition"]] = UNSET
    event: Patch[Line] = UNSET
    about: Patch[Line] = UNSET
    filter: Patch[FilterInput | None] = UNSET
    amount: Patch[Amount] = UNSET
    unit: Patch[Unit] = UNSET


class LaneInput(msgspec.Struct, forbid_unknown_fields=True):
    """Without a key it is a new lane, which is given one; a lane with a key keeps what is left out."""

    key: NewLaneKey = ""
    name: Patch[Line] = UNSET
    filter: Patch[FilterInput | None] = UNSET


class BranchInput(_Input, tag="branch"):
    branches: Patch[Annotated[list[LaneInput], Meta(max_length=20)]] = UNSET
    else_name: Patch[Line] = UNSET


class SplitLaneInput(msgspec.Struct, forbid_unknown_fields=True):
    key: NewLaneKey = ""
    name: Patch[Line] = UNSET
    weight: Patch[Annotated[int, Meta(ge=0, le=1000)]] = UNSET


class SplitInput(_Input, tag="split"):
    lanes: Patch[Annotated[list[SplitLaneInput], Meta(max_length=20)]] = UNSET


class OptionInput(msgspec.Struct, forbid_unknown_fields=True):
    key: NewLaneKey = ""
    name: Patch[Line] = UNSET


class ApprovalInput(_Input, tag="approval"):
    question: Patch[Text] = UNSET
    options: Patch[Annotated[list[OptionInput], Meta(max_length=10)]] = UNSET
    users: Patch[Users] = UNSET
    amount: Patch[Amount] = UNSET
    unit: Patch[Unit] = UNSET


class GoalInput(_Input, tag="goal"):
    name: Patch[Line] = UNSET
    filter: Patch[FilterInput | None] = UNSET
    on_unmet: Patch[Literal["wait", "continue", "end"]] = UNSET
    amount: Patch[Amount] = UNSET
    unit: Patch[Unit] = UNSET


class NotifyInput(_Input, tag="notify"):
    to: Patch[Literal["owner", "users", "everyone"]] = UNSET
    users: Patch[Users] = UNSET
    title: Patch[Line] = UNSET
    body: Patch[Text] = UNSET
    email: Patch[bool] = UNSET


class UpdateFieldInput(_Input, tag="update_field"):
    field: Patch[Line] = UNSET
    operation: Patch[Literal["set", "clear", "add", "copy"]] = UNSET
    value: Patch[Text] = UNSET
    source: Patch[Line] = UNSET


class AssignOwnerInput(_Input, tag="assign_owner"):
    mode: Patch[Literal["user", "round_robin", "least_busy", "nobody"]] = UNSET
    users: Patch[Users] = UNSET
    only_if_unassigned: Patch[bool] = UNSET


class AddNoteInput(_Input, tag="add_note"):
    text: Patch[Text] = UNSET


class CreateTaskInput(_Input, tag="create_task"):
    title: Patch[Line] = UNSET
    body: Patch[Text] = UNSET
    assignee: Patch[Literal["owner", "user", "nobody"]] = UNSET
    user: Patch[UUID | None] = UNSET
    has_due: Patch[bool] = UNSET
    amount: Patch[Amount] = UNSET
    unit: Patch[Unit] = UNSET


class SetConsentInput(_Input, tag="set_consent"):
    channel: Patch[Literal["email", "sms"]] = UNSET
    state: Patch[Literal["granted", "denied", "unknown"]] = UNSET


class DeleteContactInput(_Input, tag="delete_contact"):
    pass


class WaitInput(_Input, tag="wait"):
    mode: Patch[Literal["duration", "until", "date_field", "recurring"]] = UNSET
    amount: Patch[Amount] = UNSET
    unit: Patch[Unit] = UNSET
    until: Patch[Line] = UNSET
    field: Patch[Line] = UNSET
    offset: Patch[Annotated[int, Meta(ge=-3660, le=3660)]] = UNSET
    at: Patch[TimeOfDay] = UNSET
    weekdays: Patch[Annotated[list[Weekday], Meta(max_length=7)]] = UNSET
    month_day: Patch[Annotated[int, Meta(ge=0, le=31)]] = UNSET
    past: Patch[Past] = UNSET
    skip_to: Patch[StepKey] = UNSET


class GoToInput(_Input, tag="go_to"):
    step: Patch[StepKey] = UNSET


class DripInput(_Input, tag="drip"):
    count: Patch[Amount] = UNSET
    amount: Patch[Amount] = UNSET
    unit: Patch[Unit] = UNSET


class AddToWorkflowInput(_Input, tag="add_to_workflow"):
    workflow: Patch[UUID | None] = UNSET


class RemoveFromWorkflowInput(_Input, tag="remove_from_workflow"):
    workflow: Patch[UUID | None] = UNSET


class ExitInput(_Input, tag="exit"):
    reason: Patch[Line] = UNSET


ConfigInput = (
    SendEmailInput
    | SendSmsInput
    | ChatInput
    | NotifyInput
    | WebhookInput
    | AddTagInput
    | RemoveTagInput
    | UpdateFieldInput
    | AssignOwnerInput
    | AddNoteInput
    | CreateTaskInput
    | SetConsentInput
    | DeleteContactInput
    | WaitInput
    | WaitForInput
    | BranchInput
    | SplitInput
    | GoalInput
    | GoToInput
    | DripInput
    | ApprovalInput
    | AddToWorkflowInput
    | RemoveFromWorkflowInput
    | ExitInput
)
