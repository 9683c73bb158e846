"""Triggers as they are sent: tags by id or name, filters as rows or typed."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.workflows.domain.events import LISTENED, Source
from app.workflows.domain.steps import Line, TimeOfDay
from app.workflows.schemas.inputs.filters import FilterInput

Sources = Annotated[list[Source], Meta(max_length=6)]
Missed = Literal["skip", "once", "all"]
Asked = Literal["any", "empty", "value"]


def _by_us() -> list[Source]:
    return [Source.SYSTEM]


class _Input(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    filter: FilterInput | None = None
    sources: Sources = msgspec.field(default_factory=lambda: list(LISTENED))


class ContactCreatedInput(_Input, tag="contact_created"):
    pass


class ContactUpdatedInput(_Input, tag="contact_updated"):
    """With `fields` only a change of one of those starts it."""

    fields: Annotated[list[str], Meta(max_length=50)] = []


class FieldChangedInput(_Input, tag="field_changed"):
    field: Line = ""
    before_is: Asked = "any"
    before: Line = ""
    after_is: Asked = "any"
    after: Line = ""


class ContactDeletedInput(_Input, tag="contact_deleted"):
    pass


class TagAddedInput(_Input, tag="tag_added"):
    """`tag` is an id or a name; a new name makes the tag."""

    tag: Line = ""


class TagRemovedInput(_Input, tag="tag_removed"):
    tag: Line = ""


class NoteAddedInput(_Input, tag="note_added"):
    pass


class TaskAddedInput(_Input, tag="task_added"):
    pass


class TaskCompletedInput(_Input, tag="task_completed"):
    pass


class TaskOverdueInput(_Input, tag="task_overdue"):
    sources: Sources = msgspec.field(default_factory=_by_us)


class SegmentEnteredInput(_Input, tag="segment_entered"):
    segment: UUID | None = None
    sources: Sources = msgspec.field(default_factory=lambda: list(Source))


class SegmentLeftInput(_Input, tag="segment_left"):
    segment: UUID | None = None
    sources: Sources = msgspec.field(default_factory=lambda: list(Source))


class InboundWebhookInput(_Input, tag="inbound_webhook"):
    match: Literal["email", "id"] = "email"
    contact_path: Annotated[str, Meta(max_length=200)] = "email"
    create: bool = False
    signed: bool = False
    sources: Sources = msgspec.field(default_factory=lambda: [Source.API])


class EmailEventInput(_Input, tag="email_event"):
    event: Literal["delivered", "bounced"] = "bounced"
    sources: Sources = msgspec.field(default_factory=_by_us)


class DateReachedInput(_Input, tag="date_reached"):
    field: Line = ""
    offset: Annotated[int, Meta(ge=-366, le=366)] = 0
    at: TimeOfDay = "09:00"
    yearly: bool = False
    missed: Missed = "once"
    sources: Sources = msgspec.field(default_factory=_by_us)


class ScheduleInput(_Input, tag="schedule"):
    cron: Annotated[str, Meta(max_length=100)] = "0 9 * * 1"
    segment: UUID | None = None
    missed: Missed = "once"
    sources: Sources = msgspec.field(default_factory=_by_us)


class WorkflowEndedInput(_Input, tag="workflow_ended"):
    workflow: UUID | None = None
    statuses: Annotated[list[Literal["completed", "incomplete", "exited", "failed"]], Meta(max_length=4)] = []
    sources: Sources = msgspec.field(default_factory=lambda: [Source.WORKFLOW])


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
