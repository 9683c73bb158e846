"""Trigger: note added."""

from app.engine.core.events import NOTE_ADDED
from app.engine.core.triggers.base import ACTIVITY, TriggerConfig


class NoteAdded(TriggerConfig, frozen=True, tag="note_added"):
    """A note was added to the contact."""

    label = "Note added"
    hint = "A note was added to a contact"
    icon = "file"
    group = ACTIVITY
    event_kind = NOTE_ADDED
