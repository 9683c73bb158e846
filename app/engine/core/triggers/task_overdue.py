"""Trigger: task overdue."""

import msgspec

from app.engine.core.events import TASK_OVERDUE, Source
from app.engine.core.triggers.base import ACTIVITY, Sources, TriggerConfig


class TaskOverdue(TriggerConfig, frozen=True, tag="task_overdue"):
    """A task of the contact passed its due time. The system emits the event once for each due time of a
    task, and again after the task is reopened."""

    label = "Task overdue"
    hint = "A contact's task passed its due time"
    icon = "clock"
    group = ACTIVITY
    event_kind = TASK_OVERDUE

    sources: Sources = msgspec.field(default_factory=lambda: [Source.SYSTEM])
