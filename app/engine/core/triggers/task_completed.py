"""Trigger: task completed."""

from app.engine.core.events import TASK_COMPLETED
from app.engine.core.triggers.base import ACTIVITY, TriggerConfig


class TaskCompleted(TriggerConfig, frozen=True, tag="task_completed"):
    """A task of the contact was completed."""

    label = "Task completed"
    hint = "A contact's task was completed"
    icon = "check"
    group = ACTIVITY
    event_kind = TASK_COMPLETED
