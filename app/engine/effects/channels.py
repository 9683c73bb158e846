"""An effect as the ways out of the house take it: which one, with what, and to whom."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import msgspec

from app.engine.core.merge_tags import UNSUBSCRIBE_MARK
from app.engine.effects.unsubscribe_links import link_key, link_of
from app.ports import Email, HttpRequest, Message, Outcome, Sent
from app.runtime import Runtime
from app.work import SYSTEM, open_work
from db.queries.batch_session import BatchSession
from db.queries.effect_claims import READ_MEMBER_EMAILS


async def send_by_channel(runtime: Runtime, account_id: UUID, effect: Any) -> Outcome:
    """Sends it by the way of its kind. What the way raises is the caller's to name."""
    payload = effect.payload
    match effect.kind:
        case "email" if payload.get("internal"):
            everybody = await member_emails(runtime, account_id, payload.get("users", []))
            if not everybody:
                return Sent({"answer": "Nobody of those is a member any more."}, answered=False)
            return await runtime.mailer.send(build_email(account_id, effect, everybody))
        case "email":
            letter = build_email(account_id, effect, [payload["to"]])
            link = link_of(runtime.settings.base_url, await link_key(runtime), account_id, effect.contact_id)
            return await runtime.mailer.send(
                add_unsubscribe_link(letter, link, runtime.settings.unsubscribe_email, payload)
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
    """Where these members get their mail; the payload names only who they are."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        return [row.email for row in await BatchSession(work.session).all(READ_MEMBER_EMAILS, ids=users)]


def build_email(account_id: UUID, effect: Any, everybody: Sequence[str]) -> Email:
    """One letter to all of them."""
    payload = effect.payload
    return Email(
        recipient=everybody[0],
        copies=everybody[1:],
        subject=payload.get("subject", ""),
        body=payload.get("body", ""),
        key=effect.idempotency_key,
        account_id=str(account_id),
        sender=payload.get("from_name", ""),
        reply_to=payload.get("reply_to", ""),
    )


def add_unsubscribe_link(letter: Email, link: str, mailto: str, payload: Mapping[str, Any]) -> Email:
    """The letter with the contact's own unsubscribe link: where its text asks for it, and in its headers
    unless the step is transactional. The ledger keeps the mark, not the link: it is shown on screens."""
    member_emails = [link]
    if mailto:
        member_emails.append(f"mailto:{quote(mailto, safe='@')}?subject=unsubscribe")
    return msgspec.structs.replace(
        letter,
        body=letter.body.replace(UNSUBSCRIBE_MARK, link),
        unsubscribe=() if payload.get("transactional") else tuple(member_emails),
    )


def destination_of(effect: Any) -> str:
    """A host, or the way: where one call being slow says something about the next."""
    if effect.kind != "webhook":
        return str(effect.kind)
    try:
        return urlsplit(str(effect.payload["url"])).netloc.lower()
    except ValueError:
        return ""
