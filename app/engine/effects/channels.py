"""Sends an effect through its channel: email, SMS, chat or webhook. Entry point: `send_by_channel`."""

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote, urlsplit
from uuid import UUID

import msgspec

from app.engine.core.merge_tags import UNSUBSCRIBE_MARK
from app.engine.effects.unsubscribe_links import link_key, link_of
from app.ports import CallOutcome, Email, HttpRequest, Message, Sent
from app.runtime import Runtime
from app.work import SYSTEM, open_work
from db.queries.effect_claims import ClaimedEffect, list_member_emails


class EmailPayload(msgspec.Struct, frozen=True):
    """An email to the contact at `to`; an internal one goes to the members `users` instead."""

    to: str = ""
    subject: str = ""
    body: str = ""
    from_name: str = ""
    reply_to: str = ""
    transactional: bool = False
    internal: bool = False
    users: list[str] = []


class SmsPayload(msgspec.Struct, frozen=True):
    to: str
    body: str


class ChatPayload(msgspec.Struct, frozen=True):
    channel: str
    text: str


class WebhookPayload(msgspec.Struct, frozen=True):
    url: str
    method: str
    headers: dict[str, str] = {}
    body: str = ""
    save_as: str = ""


async def send_by_channel(runtime: Runtime, account_id: UUID, effect: ClaimedEffect) -> CallOutcome:
    """Builds the message of the effect and sends it. Raises whatever the adapter raises, and
    msgspec.ValidationError for a payload that is none of its kind."""
    match effect.kind:
        case "email":
            return await _send_email(runtime, account_id, effect)
        case "sms":
            sms = msgspec.convert(effect.payload, SmsPayload)
            return await _deliver(runtime, account_id, effect, "sms", sms.to, sms.body)
        case "chat":
            chat = msgspec.convert(effect.payload, ChatPayload)
            return await _deliver(runtime, account_id, effect, "chat", chat.channel, chat.text)
    webhook = msgspec.convert(effect.payload, WebhookPayload)
    return await runtime.caller.call(
        HttpRequest(
            url=webhook.url,
            method=webhook.method,
            headers=webhook.headers,
            body=webhook.body,
            key=effect.idempotency_key,
            keep=bool(webhook.save_as),
        )
    )


async def _send_email(runtime: Runtime, account_id: UUID, effect: ClaimedEffect) -> CallOutcome:
    payload = msgspec.convert(effect.payload, EmailPayload)
    if payload.internal:
        recipients = await member_emails(runtime, account_id, payload.users)
        if not recipients:
            return Sent({"answer": "None of the recipients is a member anymore."}, answered=False)
        return await runtime.mailer.send(build_email(account_id, effect, payload, recipients))
    email = build_email(account_id, effect, payload, [payload.to])
    link = link_of(runtime.settings.base_url, await link_key(runtime), account_id, effect.contact_id)
    return await runtime.mailer.send(
        add_unsubscribe_link(email, link, runtime.settings.unsubscribe_email, payload)
    )


async def _deliver(
    runtime: Runtime,
    account_id: UUID,
    effect: ClaimedEffect,
    channel: Literal["sms", "chat"],
    to: str,
    text: str,
) -> CallOutcome:
    return await runtime.provider.deliver(
        Message(
            channel=channel,
            to=to,
            text=text,
            key=effect.idempotency_key,
            account_id=str(account_id),
        )
    )


async def member_emails(runtime: Runtime, account_id: UUID, users: Sequence[str]) -> list[str]:
    """The email addresses of these members (ids); the payload has only their ids."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        return await list_member_emails(work.session, users)


def build_email(
    account_id: UUID, effect: ClaimedEffect, payload: EmailPayload, recipients: Sequence[str]
) -> Email:
    """One email to all recipients."""
    return Email(
        recipient=recipients[0],
        copies=recipients[1:],
        subject=payload.subject,
        body=payload.body,
        key=effect.idempotency_key,
        account_id=str(account_id),
        sender=payload.from_name,
        reply_to=payload.reply_to,
    )


def add_unsubscribe_link(email: Email, link: str, mailto: str, payload: EmailPayload) -> Email:
    """Adds the contact's own unsubscribe link: in the text at its merge tag, and in the headers unless the
    step is transactional. The stored payload keeps the tag instead of the link, because screens show it."""
    urls = [link]
    if mailto:
        urls.append(f"mailto:{quote(mailto, safe='@')}?subject=unsubscribe")
    return msgspec.structs.replace(
        email,
        body=email.body.replace(UNSUBSCRIBE_MARK, link),
        unsubscribe=() if payload.transactional else tuple(urls),
    )


def destination_of(effect: ClaimedEffect) -> str:
    """The webhook's host, or the channel: if one call is slow, the next one to the same destination may be
    too."""
    if effect.kind != "webhook":
        return effect.kind
    try:
        return urlsplit(str(effect.payload["url"])).netloc.lower()
    except ValueError:
        return ""
