"""Trigger: an email was delivered or bounced."""

from typing import Literal
from uuid import UUID

import msgspec

from app.engine.core.events import EMAIL_BOUNCED, EMAIL_DELIVERED, Source
from app.engine.core.name_lookup import Names
from app.engine.core.triggers.base import OTHER, IndexKey, Sources, TriggerConfig
from app.filters.fields import Fields


class EmailEvent(TriggerConfig, frozen=True, tag="email_event"):
    """`delivered`: the contact's mail server accepted the email; `bounced`: it rejected the address for
    good."""

    label = "Email event"
    hint = "An email was delivered or bounced"
    icon = "mail"
    group = OTHER
    event_kind = EMAIL_BOUNCED

    event: Literal["delivered", "bounced"] = "bounced"
    sources: Sources = msgspec.field(default_factory=lambda: [Source.SYSTEM])

    def index_keys(self, workflow_id: UUID) -> list[IndexKey]:
        return [(EMAIL_DELIVERED if self.event == "delivered" else EMAIL_BOUNCED, "")]

    def subject(self, fields: Fields, names: Names) -> str:
        return self.event
