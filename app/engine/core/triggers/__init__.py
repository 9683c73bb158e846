"""What starts a workflow. Each module of this package is one trigger kind; `base` holds what they share.

To add a kind, write its module and add its class to `KINDS`: `docs/adding-a-trigger.md` is the checklist.
"""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from app.engine.core.triggers.base import GROUPS, TimedTrigger, TriggerConfig
from app.engine.core.triggers.contact_created import ContactCreated
from app.engine.core.triggers.contact_deleted import ContactDeleted
from app.engine.core.triggers.contact_updated import ContactUpdated
from app.engine.core.triggers.date_reached import DateReached
from app.engine.core.triggers.email_event import EmailEvent
from app.engine.core.triggers.field_changed import FieldChanged
from app.engine.core.triggers.inbound_webhook import InboundWebhook
from app.engine.core.triggers.manual import Manual
from app.engine.core.triggers.note_added import NoteAdded
from app.engine.core.triggers.schedule import Schedule
from app.engine.core.triggers.segment_entered import SegmentEntered
from app.engine.core.triggers.segment_left import SegmentLeft
from app.engine.core.triggers.tag_added import TagAdded
from app.engine.core.triggers.tag_removed import TagRemoved
from app.engine.core.triggers.task_added import TaskAdded
from app.engine.core.triggers.task_completed import TaskCompleted
from app.engine.core.triggers.task_overdue import TaskOverdue
from app.engine.core.triggers.workflow_ended import WorkflowEnded

# In the order of the picker.
KINDS: tuple[type[TriggerConfig], ...] = (
    ContactCreated,
    ContactUpdated,
    FieldChanged,
    TagAdded,
    TagRemoved,
    SegmentEntered,
    SegmentLeft,
    ContactDeleted,
    NoteAdded,
    TaskAdded,
    TaskCompleted,
    TaskOverdue,
    DateReached,
    Schedule,
    InboundWebhook,
    EmailEvent,
    WorkflowEnded,
    Manual,
)
TRIGGERS: dict[str, type[TriggerConfig]] = {str(kind.__struct_config__.tag): kind for kind in KINDS}

# A stored trigger is one of the kinds, by `kind`. msgspec needs the union; a type checker the base class.
if TYPE_CHECKING:
    Trigger = TriggerConfig
else:
    Trigger = reduce(or_, KINDS)

__all__ = [
    "GROUPS",
    "KINDS",
    "TRIGGERS",
    "ContactCreated",
    "ContactDeleted",
    "ContactUpdated",
    "DateReached",
    "EmailEvent",
    "FieldChanged",
    "InboundWebhook",
    "Manual",
    "NoteAdded",
    "Schedule",
    "SegmentEntered",
    "SegmentLeft",
    "TagAdded",
    "TagRemoved",
    "TaskAdded",
    "TaskCompleted",
    "TaskOverdue",
    "TimedTrigger",
    "Trigger",
    "TriggerConfig",
    "WorkflowEnded",
]
