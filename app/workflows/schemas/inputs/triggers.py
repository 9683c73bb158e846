"""Triggers as they are sent: tags by id or name, filters as rows or typed. Every field may be left out: a new
trigger then begins with the kind's own value, a trigger that exists keeps what it has."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from app.engine.core.events import Source
from app.engine.core.steps import Line, TimeOfDay
from app.patch import Patch
from app.workflows.schemas.inputs.filters import FilterInput

Sources = Annotated[list[Source], Meta(max_length=6)]
Statuses = Annotated[list[Literal["completed", "incomplete", "exited", "failed"]], Meta(max_length=4)]
Missed = Literal["skip", "once", "all"]
Asked = Literal["any", "empty", "value"]


class _Input(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    filter: Patch[FilterInput | None] = UNSET
    sources: Patch[Sources] = UNSET


class ContactCreatedInput(_Input, tag="contact_created"):
    pass


class ContactUpdatedInput(_Input, tag="contact_updated"):
    """With `fields` only a change of one of those starts it."""

    fields: Patch[Annotated[list[str], Meta(max_length=50)]] = UNSET


class FieldChangedInput(_Input, tag="field_changed"):
    field: Patch[Line] = UNSET
    before_is: Patch[Asked] = UNSET
    before: Patch[Line] = UNSET
    after_is: Patch[Asked] = UNSET
    after: Patch[Line] = UNSET


class ContactDeletedInput(_Input, tag="contact_deleted"):
    pass


class TagAddedInput(_Input, tag="tag_added"):
    """`tag` is an id or a name; a new name makes the tag."""

    tag: Patch[Line | None] = UNSET


class TagRemovedInput(_Input, tag="tag_removed"):
    tag: Patch[Line | None] = UNSET


class NoteAddedInput(_Input, tag="note_added"):
    pass


class TaskAddedInput(_Input, tag="task_added"):
    pass


class TaskCompletedInput(_Input, tag="task_completed"):
    pass


class TaskOverdueInput(_Input, tag="task_overdue"):
    pass


class SegmentEnteredInput(_Input, tag="segment_entered"):
    segment: Patch[UUID | None] = UNSET


class SegmentLeftInput(_Input, tag="segment_left"):
    segment: Patch[UUID | None] = UNSET


class InboundWebhookInput(_Input, tag="inbound_webhook"):
    match: Patch[Literal["email", "id"]] = UNSET
    contact_path: Patch[Annotated[str, Meta(max_length=200)]] = UNSET
    create: Patch[bool] = UNSET
    signed: Patch[bool] = UNSET


class EmailEventInput(_Input, tag="email_event"):
    event: Patch[Literal["delivered", "bounced"]] = UNSET


class DateReachedInput(_Input, tag="date_reached"):
    field: Patch[Line] = UNSET
    offset: Patch[Annotated[int, Meta(ge=-366, le=366)]] = UNSET
    at: Patch[TimeOfDay] = UNSET
    yearly: Patch[bool] = UNSET
    missed: Patch[Missed] = UNSET


class ScheduleInput(_Input, tag="schedule"):
    cron: Patch[Annotated[str, Meta(max_length=100)]] = UNSET
    segment: Patch[UUID | None] = UNSET
    missed: Patch[Missed] = UNSET


class WorkflowEndedInput(_Input, tag="workflow_ended"):
    workflow: Patch[UUID | None] = UNSET
    statuses: Patch[Statuses] = UNSET


class ManualInput(_Input, tag="manual"):
    pass


TriggerInput = (
    ContactCreatedInput
    | ContactUpdatedInput
    | FieldChangedInput
    | ContactDeletedInput
    | TagAddedInput
    | TagRemovedInput
    | NoteAddedInput
    | TaskAddedInput
    | TaskCompletedInput
    | TaskOverdueInput
    | SegmentEnteredInput
    | SegmentLeftInput
    | DateReachedInput
    | ScheduleInput
    | InboundWebhookInput
    | EmailEventInput
    | WorkflowEndedInput
    | ManualInput
)
