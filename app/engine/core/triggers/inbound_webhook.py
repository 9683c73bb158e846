"""Trigger: a call to a secret URL of the workflow."""

import re
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.engine.core.checks import Problems
from app.engine.core.events import WEBHOOK_RECEIVED, Source
from app.engine.core.name_lookup import Names
from app.engine.core.triggers.base import OTHER, IndexKey, Sources, TriggerConfig
from app.filters.fields import Fields

_PATH = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z")


class InboundWebhook(TriggerConfig, frozen=True, tag="inbound_webhook"):
    """`contact_path` is where the JSON body names the contact, by email address or id (`match`), such as
    "data.email". `create` adds a contact for an unknown email address; `signed` requires a Standard Webhooks
    signature."""

    label = "Inbound webhook"
    hint = "Another system calls a secret URL"
    icon = "hook"
    group = OTHER
    event_kind = WEBHOOK_RECEIVED

    match: Literal["email", "id"] = "email"
    contact_path: Annotated[str, Meta(max_length=200)] = "email"
    create: bool = False
    signed: bool = False
    sources: Sources = msgspec.field(default_factory=lambda: [Source.API])

    def index_keys(self, workflow_id: UUID) -> list[IndexKey]:
        return [(WEBHOOK_RECEIVED, f"{workflow_id}:{self.key}")]

    def validate_config(self, fields: Fields, names: Names) -> Problems:
        if not _PATH.match(self.contact_path):
            yield "contact_path", "Enter the path to the contact in the JSON body, such as data.email."
