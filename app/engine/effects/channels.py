"""Sends an effect through its channel: email, SMS, chat or webhook. Entry point: `send_by_channel`."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import msgspec

from app.engine.core.merge_tags import UNSUBSCRIBE_MARK
from app.engine.effects.unsubscribe_links import link_key, link_of
from app.ports import CallOutcome, Email, HttpRequest, Message, Sent
from app.runtime import Runtime
from app.work import SYSTEM, open_work
from db.queries.batch_session import BatchSession
from db.queries.effect_claims import READ_MEMBER_EMAILS


async def send_by_channel(runtime: Runtime, account_id: UUID, effect: Any) -> CallOutcome:
    """Builds the message of the effect and sends it. Raises whatever the adapter raises."""
    payload = effect.payload
    match effect.kind:
        case "email" if payload.get("internal"):
            recipients = await member_emails(runtime, account_id, payload.get("users", []))
            if not recipients:
                return Sent({"answer": "None of the recipients is a member anymore."}, answered=False)
            return await runtime.mailer.send(build_email(account_id, effect, recipients))
        case "email":
            email = build_email(account_id, effect, [payload["to"]])
            link = link_of(runtime.settings.base_url, await link_key(runtime), account_id, effect.contact_id)
            return await runtime.mailer.send(
                add_unsubscribe_link(email, link, runtime.settings.unsubscribe_email, payload)
            )
        case "sms" | "chat":
            to, text = ("to", "body") if effect.kind == "sms" else ("channel", "text")
            return await runtime.provider.deliver(
                Message(
                    channel=effect.kind,
                    to=payload[to],
                    text=payload[text],
                    key=effect.idempotency_key,
                    account_id=str(account_id),
                )
            )
    return await runtime.caller.call(
        HttpRequest(
            url=payload["url"],
            method=payload["method"],
            headers=payload.get("headers", {}),
            body=payload.get("body", ""),
            key=effect.idempotency_key,
            keep=bool(payload.get("save_as")),
        )
    )


async def member_emails(runtime: Runtime, account_id: UUID, users: Sequence[str]) -> list[str]:
    """The email addresses of these members (ids); the payload has only their ids."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        return [row.email for row in await BatchSession(work.session).all(READ_MEMBER_EMAILS, ids=users)]


def build_email(account_id: UUID, effect: Any, recipients: Sequence[str]) -> Email:
    """One email to all recipients."""
    payload = effect.payload
    return Email(
        recipient=recipients[0],
        copies=recipients[1:],
        subject=payload.get("subject", ""),
        body=payload.get("body", ""),
        key=effect.idempotency_key,
        account_id=str(account_id),
        sender=payload.get("from_name", ""),
        reply_to=payload.get("reply_to", ""),
    )


def add_unsubscribe_link(email: Email, link: str, mailto: str, payload: Mapping[str, Any]) -> Email:
    """Adds the contact's own unsubscribe link: in the text at its merge tag, and in the headers unless the
    step is transactional. The stored payload keeps the tag instead of the link, because screens show it."""
    urls = [link]
    if mailto:
        urls.append(f"mailto:{quote(mailto, safe='@')}?subject=unsubscribe")
    return msgspec.structs.replace(
        email,
        body=email.body.replace(UNSUBSCRIBE_MARK, link),
        unsubscribe=() if payload.get("transactional") else tuple(urls),
    )


def destination_of(effect: Any) -> str:
    """The webhook's host, or the channel: if one call is slow, the next one to the same destination may be
    too."""
    if effect.kind != "webhook":
        return str(effect.kind)
    try:
        return urlsplit(str(effect.payload["url"])).netloc.lower()
    except ValueError:
        return ""
