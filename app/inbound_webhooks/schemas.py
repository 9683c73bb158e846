"""The JSON of inbound webhooks."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.web.actions import Action


class WebhookEndpointForm(msgspec.Struct, forbid_unknown_fields=True):
    """The trigger that gets a new URL (`address`) or a new signing secret (`secret`); the old one stops
    working immediately."""

    trigger: Annotated[str, Meta(min_length=1, max_length=20)]
    part: Literal["address", "secret"] = "address"


class WebhookEndpointView(msgspec.Struct):
    """The URL of one trigger. `token_prefix` is the beginning of its token; "" while there is no URL. `live`:
    the published version has this trigger and listens to it; until then deliveries are refused. `closed`: it
    has the trigger, but enrolls only contacts that matched when it was published."""

    trigger: str
    match: str
    contact_path: str
    signed: bool
    live: bool = False
    closed: bool = False
    token_prefix: str = ""
    has_secret: bool = False
    created_at: datetime | None = None
    last_used_at: datetime | None = None


class WebhookEndpointList(msgspec.Struct):
    workflow_id: UUID
    workflow_name: str
    items: list[WebhookEndpointView]
    next: str
    previous: str
    actions: list[Action]


class NewWebhookEndpoint(msgspec.Struct):
    """A new URL or signing secret, which only this response shows."""

    workflow_id: UUID
    trigger: str
    url: str
    secret: str
    actions: list[Action]


class DeliveryReceipt(msgspec.Struct):
    """The result of a delivery; `repeated` when it was accepted before."""

    event: UUID
    repeated: bool = False
