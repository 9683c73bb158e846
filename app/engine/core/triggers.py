"""What starts a workflow: the triggers, which ask for events.

Kinds whose subject is not built yet go where the unions are: opportunity created, stage changed, status
changed, stale (with pipelines); form submitted (with forms); message received, e-mail opened, clicked,
replied (with an inbox)."""

from collections.abc import Callable
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.engine.core.events import (
    CONTACT_CREATED,
    CONTACT_DELETED,
    CONTACT_UPDATED,
    DATE_REACHED,
    EMAIL_BOUNCED,
    EMAIL_DELIVERED,
    ENROLLMENT_ENDED,
    LISTENED,
    MANUAL,
    NOTE_ADDED,
    SCHEDULE_STRUCK,
    SEGMENT_ENTERED,
    SEGMENT_LEFT,
    TAG_ADDED,
    TAG_REMOVED,
    TASK_ADDED,
    TASK_COMPLETED,
    TASK_OVERDUE,
    WEBHOOK_RECEIVED,
    Event,
    Source,
    became,
    offered,
    plain,
)
from app.engine.core.steps.base import TimeOfDay
from app.filters.ast import Filter


class _Trigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    key: str = ""
    filter: Filter | None = None
    sources: Annotated[list[Source], Meta(max_length=6)] = msgspec.field(
        default_factory=lambda: list(LISTENED)
    )


class _Timed(_Trigger, frozen=True):
    """Struck by a clock of ours. `missed` says what happens to occurrences that a downtime swallowed: none of
    them (`skip`), one for all (`once`; of dates each missed day, which is about other contacts), or each, the
    oldest first (`all`)."""

    sources: Annotated[list[Source], Meta(max_length=6)] = msgspec.field(
        default_factory=lambda: [Source.SYSTEM]
    )
    missed: Literal["skip", "once", "all"] = "once"


class ContactCreated(_Trigger, frozen=True, tag="contact_created"):
    pass


class ContactUpdated(_Trigger, frozen=True, tag="contact_updated"):
    """With `fields` (keys), only changes of one of those; without, any change."""

    fields: Annotated[list[str], Meta(max_length=50)] = []


class FieldChanged(_Trigger, frozen=True, tag="field_changed"):
    """One field, with `before` only from that value and with `after` only to that one; compared as the
    field's text, without case. `any` does not ask, `empty` means no value."""

    field: Annotated[str, Meta(max_length=100)] = ""
    before_is: Literal["any", "empty", "value"] = "any"
    before: Annotated[str, Meta(max_length=500)] = ""
    after_is: Literal["any", "empty", "value"] = "any"
    after: Annotated[str, Meta(max_length=500)] = ""


class ContactDeleted(_Trigger, frozen=True, tag="contact_deleted"):
    """Runs without the contact: what is sent to them is skipped, what changes them fails."""


class TagAdded(_Trigger, frozen=True, tag="tag_added"):
    tag: UUID | None = None


class TagRemoved(_Trigger, frozen=True, tag="tag_removed"):
    tag: UUID | None = None


class NoteAdded(_Trigger, frozen=True, tag="note_added"):
    pass


class TaskAdded(_Trigger, frozen=True, tag="task_added"):
    pass


class TaskCompleted(_Trigger, frozen=True, tag="task_completed"):
    pass


class TaskOverdue(_Trigger, frozen=True, tag="task_overdue"):
    """Told once for each due time of a task, and again when it is reopened; by the system."""

    sources: Annotated[list[Source], Meta(max_length=6)] = msgspec.field(
        default_factory=lambda: [Source.SYSTEM]
    )


class _Watched(_Trigger, frozen=True):
    """Whatever changed the contact, and time passing, changes who is in a segment."""

    sources: Annotated[list[Source], Meta(max_length=6)] = msgspec.field(default_factory=lambda: list(Source))


class SegmentEntered(_Watched, frozen=True, tag="segment_entered"):
    segment: UUID | None = None


class SegmentLeft(_Watched, frozen=True, tag="segment_left"):
    segment: UUID | None = None


class InboundWebhook(_Trigger, frozen=True, tag="inbound_webhook"):
    """A secret address. `contact_path` names where the JSON body holds the contact's e-mail or id, such as
    "data.email"; `create` makes a contact of an unknown e-mail address; `signed` asks for a Standard Webhooks
    signature."""

    match: Literal["email", "id"] = "email"
    contact_path: Annotated[str, Meta(max_length=200)] = "email"
    create: bool = False
    signed: bool = False
    sources: Annotated[list[Source], Meta(max_length=6)] = msgspec.field(default_factory=lambda: [Source.API])


class EmailEvent(_Trigger, frozen=True, tag="email_event"):
    """`delivered`: the next mail server took it; `bounced`: it refused the address for good."""

    event: Literal["delivered", "bounced"] = "bounced"
    sources: Annotated[list[Source], Meta(max_length=6)] = msgspec.field(
        default_factory=lambda: [Source.SYSTEM]
    )


class DateReached(_Timed, frozen=True, tag="date_reached"):
    """`offset` days after the date in `field` (before it when negative), at the local time `at`; `yearly`
    looks at day and month only (29 February is 28 in other years)."""

    field: Annotated[str, Meta(max_length=100)] = ""
    offset: Annotated[int, Meta(ge=-366, le=366)] = 0
    at: TimeOfDay = "09:00"
    yearly: bool = False


class Schedule(_Timed, frozen=True, tag="schedule"):
    """`cron` (five fields) in the account's zone, over the contacts of `segment` (none: all) for whom
    `filter` holds."""

    cron: Annotated[str, Meta(max_length=100)] = "0 9 * * 1"
    segment: UUID | None = None


class WorkflowEnded(_Trigger, frozen=True, tag="workflow_ended"):
    """The contact came to the end of another workflow, in one of `statuses` (none: any)."""

    workflow: UUID | None = None
    statuses: Annotated[list[Literal["completed", "incomplete", "exited", "failed"]], Meta(max_length=4)] = []
    sources: Annotated[list[Source], Meta(max_length=6)] = msgspec.field(
        default_factory=lambda: [Source.WORKFLOW]
    )


class Manual(_Trigger, frozen=True, tag="manual"):
    """Somebody enrolls the contact: on a screen, in bulk or through the API; or a step of another workflow,
    where `sources` has workflows."""


Trigger = (
    ContactCreated
    | ContactUpdated
    | FieldChanged
    | ContactDeleted
    | TagAdded
    | TagRemoved
    | NoteAdded
    | TaskAdded
    | TaskCompleted
    | TaskOverdue
    | SegmentEntered
    | SegmentLeft
    | InboundWebhook
    | EmailEvent
    | DateReached
    | Schedule
    | WorkflowEnded
    | Manual
)

TRIGGERS: dict[str, type[Trigger]] = {
    "contact_created": ContactCreated,
    "contact_updated": ContactUpdated,
    "field_changed": FieldChanged,
    "contact_deleted": ContactDeleted,
    "tag_added": TagAdded,
    "tag_removed": TagRemoved,
    "note_added": NoteAdded,
    "task_added": TaskAdded,
    "task_completed": TaskCompleted,
    "task_overdue": TaskOverdue,
    "segment_entered": SegmentEntered,
    "segment_left": SegmentLeft,
    "date_reached": DateReached,
    "schedule": Schedule,
    "inbound_webhook": InboundWebhook,
    "email_event": EmailEvent,
    "workflow_ended": WorkflowEnded,
    "manual": Manual,
}
TRIGGER_LABELS: dict[str, str] = {
    "contact_created": "Contact created",
    "contact_updated": "Contact updated",
    "field_changed": "Field changed",
    "contact_deleted": "Contact deleted",
    "tag_added": "Tag added",
    "tag_removed": "Tag removed",
    "note_added": "Note added",
    "task_added": "Task added",
    "task_completed": "Task completed",
    "task_overdue": "Task overdue",
    "segment_entered": "Segment entered",
    "segment_left": "Segment left",
    "date_reached": "Date reached",
    "schedule": "Schedule",
    "inbound_webhook": "Inbound webhook",
    "email_event": "E-mail event",
    "workflow_ended": "Another workflow ended",
    "manual": "Enrolled by hand",
}


def trigger_kind(trigger: Trigger) -> str:
    """The `kind` under which this trigger is stored."""
    return str(trigger.__struct_config__.tag)


def _after(trigger: FieldChanged) -> str:
    """A value that a field must come to is an equality key: changes to other values cost nothing."""
    if trigger.after_is == "any":
        return trigger.field
    return became(trigger.field, trigger.after if trigger.after_is == "value" else None)


def came_from(trigger: Trigger, event: Event) -> bool:
    """Whether a field that changed had the value before that the trigger asks for; True for the others."""
    if not isinstance(trigger, FieldChanged) or trigger.before_is == "any":
        return True
    before = event.data.get("changes", {}).get(trigger.field, (None, None))[0]
    return plain(before) == (plain(trigger.before) if trigger.before_is == "value" else "")


Wanted = list[tuple[str, str]]
_WANTED: dict[type[Trigger], Callable[[Any, UUID], Wanted]] = {
    ContactCreated: lambda _one, _id: [(CONTACT_CREATED, "")],
    ContactUpdated: lambda one, _id: (
        [(CONTACT_UPDATED, field) for field in one.fields] or [(CONTACT_UPDATED, "")]
    ),
    FieldChanged: lambda one, _id: [(CONTACT_UPDATED, _after(one))],
    ContactDeleted: lambda _one, _id: [(CONTACT_DELETED, "")],
    TagAdded: lambda one, _id: [(TAG_ADDED, str(one.tag))],
    TagRemoved: lambda one, _id: [(TAG_REMOVED, str(one.tag))],
    NoteAdded: lambda _one, _id: [(NOTE_ADDED, "")],
    TaskAdded: lambda _one, _id: [(TASK_ADDED, "")],
    TaskCompleted: lambda _one, _id: [(TASK_COMPLETED, "")],
    TaskOverdue: lambda _one, _id: [(TASK_OVERDUE, "")],
    SegmentEntered: lambda one, _id: [(SEGMENT_ENTERED, str(one.segment))],
    SegmentLeft: lambda one, _id: [(SEGMENT_LEFT, str(one.segment))],
    InboundWebhook: lambda one, workflow: [(WEBHOOK_RECEIVED, f"{workflow}:{one.key}")],
    EmailEvent: lambda one, _id: [(EMAIL_DELIVERED if one.event == "delivered" else EMAIL_BOUNCED, "")],
    DateReached: lambda one, workflow: [(DATE_REACHED, f"{workflow}:{one.key}")],
    Schedule: lambda one, workflow: [(SCHEDULE_STRUCK, f"{workflow}:{one.key}")],
    WorkflowEnded: lambda one, _id: (
        [(ENROLLMENT_ENDED, f"{one.workflow}:{status}") for status in one.statuses]
        or [(ENROLLMENT_ENDED, str(one.workflow))]
    ),
    Manual: lambda _one, workflow: [(MANUAL, str(workflow))],
}


def wanted(trigger: Trigger, workflow_id: UUID) -> Wanted:
    """The (event kind, equality key) pairs that this trigger listens for; an empty key takes any."""
    return _WANTED[type(trigger)](trigger, workflow_id)


def admits(trigger: Trigger, event: Event, workflow_id: UUID) -> bool:
    """Whether the trigger asks for this kind of event at all (kind, changed field, tag, workflow); neither
    the source nor the filter is looked at."""
    return not set(wanted(trigger, workflow_id)).isdisjoint(offered(event))
