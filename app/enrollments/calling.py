"""An effect as the ways out of the house take it: which one, with what, and to whom."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from app.ports import Call, Letter, Message, Outcome
from app.runtime import Runtime


async def call_out(runtime: Runtime, account_id: UUID, effect: Any) -> Outcome:
    """Sends it by the way of its kind. What the way raises is the caller's to name."""
    said = effect.payload
    match effect.kind:
        case "email":
            return await runtime.mailer.send(letter_of(account_id, effect))
        case "sms" | "chat":
            to, text = ("to", "body") if effect.kind == "sms" else ("channel", "text")
            return await runtime.provider.deliver(
                Message(
                    channel=effect.kind,
                    to=said[to],
                    text=said[text],
                    key=effect.idempotency_key,
                    account_id=str(account_id),
                )
            )
    return await runtime.caller.call(
        Call(
            url=said["url"],
            method=said["method"],
            headers=said.get("headers", {}),
            body=said.get("body", ""),
            key=effect.idempotency_key,
            keep=bool(said.get("save_as")),
        )
    )


def letter_of(account_id: UUID, effect: Any) -> Letter:
    """One to members names all of them, separated by commas; a contact has one address."""
    said = effect.payload
    first, copies = said["to"], []
    if said.get("internal"):
        first, *copies = [part for part in map(str.strip, said["to"].split(",")) if part] or [""]
    return Letter(
        recipient=first,
        copies=copies,
        subject=said.get("subject", ""),
        body=said.get("body", ""),
        key=effect.idempotency_key,
        account_id=str(account_id),
        sender=said.get("from_name", ""),
        reply_to=said.get("reply_to", ""),
    )


def place_of(effect: Any) -> str:
    """A host, or the way: where one call being slow says something about the next."""
    if effect.kind != "webhook":
        return str(effect.kind)
    try:
        return urlsplit(str(effect.payload["url"])).netloc.lower()
    except ValueError:
        return ""
