"""Inbound webhooks: `create_url` creates the URL of a trigger, `receive` turns each delivery into one
event."""

import contextlib
import secrets
from collections.abc import Mapping
from uuid import UUID

import msgspec
from sqlalchemy.exc import IntegrityError

from app.credentials import digest, new_secret
from app.email_addresses import normalize_email
from app.engine.core.entry_rules import at_path
from app.engine.core.events import CONTACT_CREATED, WEBHOOK_RECEIVED
from app.engine.core.triggers import InboundWebhook
from app.engine.core.version import Version, load_version
from app.errors import Conflict, Invalid, NotFound
from app.filters.normalize import external_id
from app.inbound_webhooks.domain import (
    DEEPEST,
    PREFIX,
    REMEMBERED,
    BadSignature,
    check_signature,
    delivery_id,
    secret_text,
    too_deep,
)
from app.inbound_webhooks.encryption import Unreadable, seal, unseal
from app.inbound_webhooks.schemas import DeliveryReceipt, WebhookEndpointForm, WebhookEndpointView
from app.json_types import Json
from app.work import Work
from db.ids import uuid7
from db.models import Contact, WebhookEndpoint
from db.queries.inbound_deliveries import (
    OpenEndpoint,
    find_recorded_event,
    read_endpoint,
    record_delivery,
    touch_endpoint,
)
from db.queries.workflow_drafts import read_draft
from db.repositories.inbound_webhooks import WebhookEndpointRepository

HINT = 9
WAITING = "This URL isn't in use: its workflow isn't published with this trigger. Publish it first."
CLOSED = (
    "This URL adds no contacts: its workflow accepts only those that matched when it was published. "
    "Publish it with another audience first."
)


class Delivery(msgspec.Struct, frozen=True):
    """A delivery: `headers` by lower-case name, and the signed bytes."""

    headers: Mapping[str, str]
    body: bytes


_Triggers = dict[str, tuple[InboundWebhook, Version | None]]


async def _webhook_triggers(work: Work, workflow_id: UUID) -> tuple[str, _Triggers]:
    """The name of the workflow, and its webhook triggers by key, with the live version if they are published.
    A published trigger replaces the draft's, because deliveries reach the published one."""
    header = await work.workflows.header(workflow_id)
    if header is None:
        raise NotFound("workflow")
    triggers: _Triggers = {}
    for trigger in (await read_draft(work.session, header)).triggers:
        if isinstance(trigger, InboundWebhook):
            triggers[trigger.key] = (trigger, None)
    live = await work.versions.load(workflow_id, header.live_version) if header.live_version else None
    for trigger in live.triggers if live else []:
        if isinstance(trigger, InboundWebhook):
            triggers[trigger.key] = (trigger, live)
    return header.name, triggers


async def webhook_urls(work: Work, workflow_id: UUID) -> tuple[str, list[WebhookEndpointView]]:
    """The name of the workflow and the URL of each of its webhook triggers. Raises `NotFound`."""
    name, triggers = await _webhook_triggers(work, workflow_id)
    rows = await WebhookEndpointRepository(session=work.session).of_workflow(workflow_id)
    views = []
    for key, (trigger, live) in triggers.items():
        view = WebhookEndpointView(key, trigger.match, trigger.contact_path, trigger.signed)
        if live is not None:
            view.live, view.closed = live.listens_to(trigger), live.closed
        if (row := rows.get(key)) is not None:
            view.token_prefix, view.has_secret = row.token_prefix, row.signing_secret is not None
            view.created_at, view.last_used_at = row.created_at, row.last_used_at
        views.append(view)
    return name, views


async def create_url(work: Work, workflow_id: UUID, form: WebhookEndpointForm) -> tuple[str, str]:
    """Creates a new URL for a trigger, the first time with a signing secret; or only a new secret. Returns
    the token of the URL and the secret, "" for the one that does not change. Raises `NotFound`, `Invalid`."""
    _, triggers = await _webhook_triggers(work, workflow_id)
    if form.trigger not in triggers:
        raise Invalid({"trigger": "Choose an inbound webhook trigger of this workflow."})
    endpoints = WebhookEndpointRepository(session=work.session)
    endpoint = (await endpoints.of_workflow(workflow_id)).get(form.trigger)
    token = secret = ""
    if form.part == "address" or endpoint is None:
        token = new_secret(PREFIX)
        if endpoint is None:
            endpoint = WebhookEndpoint(id=uuid7(), workflow_id=workflow_id, trigger_key=form.trigger)
            work.session.add(endpoint)
        # The old URL stops working; the recorded deliveries stay.
        endpoint.token_hash, endpoint.token_prefix = digest(token), token[:HINT]
        endpoint.created_at = work.now
    if form.part == "secret" or endpoint.signing_secret is None:
        key = secrets.token_bytes(32)
        secret = secret_text(key)
        endpoint.signing_secret = seal(work.runtime.settings.data_dir, key, endpoint.id.bytes)
    work.audit(
        f"webhook.{form.part}_created",
        "workflow",
        workflow_id,
        {"trigger": (None, "Inbound webhook")},
    )
    await work.commit()
    return token, secret


async def receive(work: Work, webhook_id: UUID, delivery: Delivery) -> DeliveryReceipt:
    """Accepts a delivery once; returns its event, which the matcher then handles. Raises `NotFound`,
    `Conflict` (no live trigger), `Invalid` (no such contact), `BadSignature`."""
    endpoint = await read_endpoint(work.session, webhook_id)
    if endpoint is None:
        raise NotFound("address", "There is no such URL.")
    trigger = _live_trigger(endpoint)
    if trigger.signed:
        check_signature(_signing_key(work, endpoint), delivery.headers, delivery.body, work.now)
    body = _read(delivery.body)
    sender_id = delivery_id(delivery.headers)
    if trigger.signed:
        sender_id = delivery_id({"webhook-id": delivery.headers["webhook-id"]})  # the signed one
    if sender_id and (earlier := await _earlier_receipt(work, webhook_id, sender_id)) is not None:
        return earlier
    contact = await _contact(work, trigger, body)
    data = {"trigger": f"{endpoint.workflow_id}:{endpoint.trigger_key}", "body": body}
    event_id = work.emit(WEBHOOK_RECEIVED, contact, data, source="api")
    if sender_id and not await record_delivery(
        work.session, webhook_id, sender_id, event_id, work.now, work.now - REMEMBERED
    ):
        # Another request has just accepted the same delivery, so nothing of this one is stored.
        await work.session.rollback()
        return await _earlier_receipt(work, webhook_id, sender_id) or DeliveryReceipt(event_id, repeated=True)
    await touch_endpoint(work.session, webhook_id, work.now)
    await work.commit()
    return DeliveryReceipt(event_id)


def _live_trigger(endpoint: OpenEndpoint) -> InboundWebhook:
    version = load_version(endpoint.document) if endpoint.document is not None else None
    triggers = version.triggers if version is not None and endpoint.status in ("active", "paused") else []
    for trigger in triggers:
        if isinstance(trigger, InboundWebhook) and trigger.key == endpoint.trigger_key:
            if version is not None and not version.listens_to(trigger):
                raise Conflict(CLOSED)
            return trigger
    raise Conflict(WAITING)


def _signing_key(work: Work, endpoint: OpenEndpoint) -> bytes:
    if endpoint.signing_secret is None:
        raise BadSignature("This URL has no signing secret yet. Create one where the trigger is set up.")
    try:
        return unseal(work.runtime.settings.data_dir, endpoint.signing_secret, endpoint.id.bytes)
    except Unreadable:
        raise BadSignature("The signing secret can no longer be read. Create a new one.") from None


def _read(body: bytes) -> Json:
    try:
        decoded: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid({"": f"The body isn't valid JSON: {error}"}) from None
    if too_deep(decoded):
        raise Invalid(
            {"": f"The body nests lists and objects more than {DEEPEST} levels deep. Send it flatter."}
        )
    return decoded


async def _earlier_receipt(work: Work, webhook_id: UUID, sender_id: str) -> DeliveryReceipt | None:
    event_id = await find_recorded_event(work.session, webhook_id, sender_id, work.now - REMEMBERED)
    return None if event_id is None else DeliveryReceipt(event_id, repeated=True)


async def _contact(work: Work, trigger: InboundWebhook, body: Json) -> UUID:
    """The contact that the body identifies; creates it if the trigger says so. Raises `Invalid`."""
    value = at_path(body, trigger.contact_path)
    identifier = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    path = f"“{trigger.contact_path}”"
    if trigger.match == "id":
        contact_id = await _contact_with_id(work, identifier)
        if contact_id is None:
            raise Invalid({"contact": f"No contact has the ID at {path}."})
        return contact_id
    email = normalize_email(identifier)
    if not email:
        raise Invalid({"contact": f"There is no valid email address at {path}."})
    contact = await work.contacts.holder_of("email", email)
    if contact is not None:
        return contact.id
    if not trigger.create:
        raise Invalid({"contact": f"No contact has the email address at {path}."})
    return await _create_contact(work, email)


async def _contact_with_id(work: Work, identifier: str) -> UUID | None:
    """The contact with this id, else with this external ID, which can be a UUID too."""
    with contextlib.suppress(ValueError):
        row = await work.contacts.get_one_or_none(Contact.id == UUID(identifier))
        if row is not None and row.deleted_at is None:
            return row.id
    own = external_id(identifier)
    contact = await work.contacts.holder_of("external_id", own) if own else None
    return None if contact is None else contact.id


async def _create_contact(work: Work, email: str) -> UUID:
    """Creates a contact, or returns the one that another delivery has just created."""
    try:
        async with work.session.begin_nested():
            contact = Contact(email=email, created_at=work.now, updated_at=work.now)
            contact_id = (await work.contacts.add(contact)).id
    except IntegrityError:
        existing = await work.contacts.holder_of("email", email)
        if existing is None:
            raise
        return existing.id
    work.audit("contact.created", "contact", contact_id, {"email": (None, email)})
    work.emit(CONTACT_CREATED, contact_id, source="api")
    return contact_id
