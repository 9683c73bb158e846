"""What is wrong with steps that tell somebody something."""

import re
from urllib.parse import urlsplit

import msgspec

from app.engine.core.checks import Problems
from app.engine.core.name_lookup import Names
from app.engine.core.steps import Chat, Notify, SendEmail, SendSms, Webhook
from app.filters.fields import Fields
from app.workflows.domain.lint.problems import MARK, one_line, people, text, window, written

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
# Ours to set: what the connection needs, and the key that makes a repeated call harmless.
_RESERVED = {"host", "content-length", "transfer-encoding", "connection", "idempotency-key"}
_ADDRESS = re.compile(r"[^\s@<>,]+@[^\s@<>,]+\Z")


def email(config: SendEmail, fields: Fields, names: Names) -> Problems:
    yield from text(config.subject, "subject", "The e-mail has no subject.")
    yield from one_line(config.subject, "subject", "A subject is one line.")
    yield from text(config.body, "body", "The e-mail has no body.")
    yield from written(config, fields, names)
    yield from one_line(config.from_name, "from_name")
    yield from one_line(config.reply_to, "reply_to")
    if config.reply_to and "{{" not in config.reply_to and not _ADDRESS.match(config.reply_to):
        yield "reply_to", "Reply to one e-mail address, such as help@example.com."
    yield from window(config.window)


def sms(config: SendSms, fields: Fields, names: Names) -> Problems:
    yield from text(config.body, "body", "The SMS has no text.")
    yield from written(config, fields, names)
    yield from window(config.window)


def notify(config: Notify, fields: Fields, names: Names) -> Problems:
    if config.to == "users" and not config.users:
        yield "users", "Choose whom to tell."
    if config.to == "users":
        yield from people(config.users, names)
    yield from text(config.title, "title", "The notification has no title.")
    yield from written(config, fields, names)


def chat(config: Chat, fields: Fields, names: Names) -> Problems:
    yield from text(config.channel, "channel", "Name the channel to post to.")
    yield from text(config.text, "text", "The message has no text.")
    yield from written(config, fields, names)
    yield from window(config.window)


def webhook(config: Webhook, fields: Fields, names: Names) -> Problems:
    yield from _url(config.url)
    for name, value in config.headers.items():
        if not _HEADER.match(name):
            yield "headers", f"“{name[:40]}” is not a header name."
        elif name.lower() in _RESERVED:
            yield "headers", f"The header {name} is set by Switchyard."
        yield from one_line(value, "headers", f"The header {name} must be one line.")
    wrong = list(written(config, fields, names))
    yield from wrong
    if config.body.strip() and not any(field == "body" for field, _ in wrong):
        try:
            # Nothing stands where a tag stood, so that a tag outside quotes is found now and not at night.
            msgspec.json.decode(MARK.sub("", config.body))
        except (msgspec.DecodeError, RecursionError) as error:
            yield "body", f"The body is not JSON: {error}. Put quotes around merge tags."
    yield from window(config.window)


def _url(url: str) -> Problems:
    if not url.strip():
        yield "url", "Give the address to call, such as https://example.com/hook."
        return
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        yield "url", "This is not an address. Write one such as https://example.com/hook."
        return
    if not good or "{{" in parts.netloc or any(char.isspace() for char in MARK.sub("", url)):
        yield "url", "The address must start with http:// or https:// and a host without merge tags."
    elif "@" in parts.netloc:
        yield "url", "Put credentials into a header, not into the address."
