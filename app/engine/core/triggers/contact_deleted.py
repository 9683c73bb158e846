"""Trigger: contact deleted."""

from app.engine.core.events import CONTACT_DELETED
from app.engine.core.triggers.base import CONTACT, TriggerConfig


class ContactDeleted(TriggerConfig, frozen=True, tag="contact_deleted"):
    """A contact was deleted. The workflow runs without the contact: messages to the contact are skipped, and
    steps that change the contact fail."""

    label = "Contact deleted"
    hint = "A contact was moved to the trash"
    icon = "trash"
    group = CONTACT
    event_kind = CONTACT_DELETED
