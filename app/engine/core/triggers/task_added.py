"""Trigger: task added."""

from app.engine.core.events import TASK_ADDED
from app.engine.core.triggers.base import ACTIVITY, TriggerConfig


class TaskAdded(TriggerConfig, frozen=True, tag="task_added"):
    """A task was added to the contact."""

    label = "Task added"
    hint = "A task was added to a contact"
    icon = "check"
    group = ACTIVITY
    event_kind = TASK_ADDED
