"""Steps that tell somebody something. Whom it does not reach is said before the window is looked at; who
waits for the window is visited again when it opens."""

import re
from typing import Any
from uuid import UUID

import msgspec

from app.engine.core.interpreter import Run
from app.engine.core.steps import Chat, Notify, OnDoubt, SendEmail, SendSms, Webhook
from app.engine.core.timing.sending_window import carried, next_opening, zone_of
from app.engine.core.types import Effect, NewNotification, Outcome, WaitReason
from app.engine.core.version import Node
from app.engine.core.visits.base import fail, owner_of, skip

DENIED = "denied"


def send_email(run: Run, node: Node) -> int:
    config: SendEmail = node.config
    values = run.facts.values
    to = values.get("email")
    if not isinstance(to, str) or not to:
        return skip(run, node, "The contact has no e-mail address.")
    if values.get("email_consent") == DENIED and not config.transactional:
        return skip(run, node, "The contact does not want e-mail: consent is denied.")
    if node.window is not None and (parked := _until_open(run, node)) is not None:
        return parked
    names = (values.get("first_name"), values.get("last_name"))
    payload: dict[str, Any] = {
        "to": to,
        "to_name": " ".join(" ".join(str(name) for name in names if name).split()),
        **_rendered(run, node),
    }
    if config.transactional:
        payload["transactional"] = True
    return _request(run, node, Effect("email", node.key, 0, "", payload, config.on_doubt))


def send_sms(run: Run, node: Node) -> int:
    config: SendSms = node.config
    to = run.facts.values.get("phone")
    if not isinstance(to, str) or not to:
        return skip(run, node, "The contact has no phone number.")
    if run.facts.values.get("sms_consent") == DENIED and not config.transactional:
        return skip(run, node, "The contact does not want SMS: consent is denied.")
    if node.window is not None and (parked := _until_open(run, node)) is not None:
        return parked
    payload: dict[str, Any] = {"to": to, "body": node.templates["body"].render(run.facts)}
    if not payload["body"].strip():
        return skip(run, node, "The SMS is empty with this contact's values.")
    if config.transactional:
        payload["transactional"] = True
    return _request(run, node, Effect("sms", node.key, 0, "", payload, config.on_doubt))


def chat(run: Run, node: Node) -> int:
    config: Chat = node.config
    if node.window is not None and (parked := _until_open(run, node)) is not None:
        return parked
    payload = {"channel": config.channel, "text": node.templates["text"].render(run.facts)}
    return _request(run, node, Effect("chat", node.key, 0, "", payload, config.on_doubt))


def webhook(run: Run, node: Node) -> int:
    config: Webhook = node.config
    if node.window is not None and (parked := _until_open(run, node)) is not None:
        return parked
    rendered = _rendered(run, node)
    body = rendered["body"]
    if _climbs(rendered["url"]):
        return fail(run, node, "The address has a part “.” or “..” with this contact's values.")
    try:
        if body.strip():
            msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return fail(run, node, f"The body is not JSON with this contact's values: {error}")
    headers = {name: rendered[f"header:{name}"] for name in config.headers}
    payload: dict[str, Any] = {
        "url": rendered["url"],
        "method": config.method,
        "headers": headers,
        "body": body,
    }
    if config.save_as:
        payload["save_as"] = config.save_as
    return _request(run, node, Effect("webhook", node.key, 0, "", payload, config.on_doubt))


def _climbs(url: str) -> bool:
    """Whether a part of the path leads somewhere else than it says: a value that is only dots is not escaped
    by anything."""
    path = re.split("[?#]", url, maxsplit=1)[0]
    return any(part.lower().replace("%2e", ".") in (".", "..") for part in path.split("/"))


def notify(run: Run, node: Node) -> int:
    """Rows for the members, and one e-mail to all of them: a second copy of it harms nobody, so doubt does
    not stop anyone."""
    config: Notify = node.config
    users = _told(run, config)
    if not users:
        none = "The contact has no owner." if config.to == "owner" else "Nobody named is a member any more."
        return skip(run, node, none)
    title, body = node.templates["title"].render(run.facts), node.templates["body"].render(run.facts)
    run.out.notifications.extend(NewNotification(user, title, body) for user in users)
    if not config.email:
        run.record(node, Outcome.DONE, {"users": [str(user) for user in users], "title": title})
        return node.after
    payload: dict[str, Any] = {
        "to": "",
        "to_name": "",
        "subject": title,
        "body": body,
        "from_name": "",
        "reply_to": "",
        "internal": True,
        "users": [str(user) for user in users],
    }
    return _request(run, node, Effect("email", node.key, 0, "", payload, OnDoubt.RESEND))


def _told(run: Run, config: Notify) -> list[UUID]:
    members = run.around.members
    if config.to == "everyone":
        return list(members)
    owner = owner_of(run)
    users = config.users if config.to == "users" else [] if owner is None else [owner]
    return [user for user in dict.fromkeys(users) if not members or user in members]


def _rendered(run: Run, node: Node) -> dict[str, str]:
    return {name: template.render(run.facts) for name, template in node.templates.items()}


def _until_open(run: Run, node: Node) -> int | None:
    """Parks until the window opens; None while it is open, or when a person opened it."""
    window = node.window
    if window is None or _opened(run, node):
        return None
    try:
        opens = next_opening(window, run.now, zone_of(window, run.facts))
    except ValueError as error:
        return fail(run, node, str(error))
    if opens <= run.now:
        return None
    run.begin(node, {"window": True, "until": opens.isoformat()})
    return run.park(node, WaitReason.WINDOW, opens)


def _opened(run: Run, node: Node) -> bool:
    """A person said that it need not wait for its window."""
    waited = run.enrollment
    return waited.wait_reason is WaitReason.WINDOW and waited.heard and waited.step_key == node.key


def _request(run: Run, node: Node, effect: Effect) -> int:
    """Hands an effect to the ledger and parks until it is resolved. It carries its window: it may be sent
    long after this visit."""
    if node.window is not None and "internal" not in effect.payload and not _opened(run, node):
        effect.payload["window"] = carried(node.window, run.facts)
    effect.seq = run.begin(node, {name: effect.payload[name] for name in _SHOWN[effect.kind]})
    effect.idempotency_key = f"{run.enrollment.id}:{effect.seq}"
    run.out.effects.append(effect)
    return run.park(node, WaitReason.EFFECT, None)


# What the enrollment page shows of an effect; the ledger holds the rest.
_SHOWN: dict[str, tuple[str, ...]] = {
    "email": ("to", "subject"),
    "sms": ("to",),
    "chat": ("channel",),
    "webhook": ("method", "url"),
}
