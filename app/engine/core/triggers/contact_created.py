"""Trigger: contact created."""

from app.engine.core.events import CONTACT_CREATED
from app.engine.core.triggers.base import CONTACT, TriggerConfig


class ContactCreated(TriggerConfig, frozen=True, tag="contact_created"):
    """A contact was created."""

    label = "Contact created"
    hint = "A contact was added by hand, import or API"
    icon = "user"
    group = CONTACT
    event_kind = CONTACT_CREATED
