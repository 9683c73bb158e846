"""Call another system over HTTP, and save its answer if wanted."""

import re
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from app.engine.core.checks import Problems, check_one_line, check_templates, check_window
from app.engine.core.merge_tags import Output
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import Line, OnDoubt, Text
from app.engine.core.steps.base import (
    MERGE_TAG,
    Config,
    Sentence,
    StepKind,
    Templates,
    fail,
    fails_on_long_text,
)
from app.engine.core.steps.outbound import render_templates, request_effect, wait_for_window
from app.engine.core.timing.sending_window import Window
from app.engine.core.types import EffectRequest
from app.filters.fields import Fields
from app.json_types import JsonObject

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
# Switchyard sets these: what the connection needs, and the key that makes a repeated call harmless.
_RESERVED = {"host", "content-length", "transfer-encoding", "connection", "idempotency-key"}


class Webhook(Config, frozen=True, tag="webhook"):
    """`url`, header values and `body` are templates; the body must render to JSON, or be empty for none. With
    `save_as` a JSON answer is saved with the enrollment, and later templates read
    `{{ response.<save_as>.… }}`."""

    url: Annotated[str, Meta(max_length=2000)] = ""
    method: Literal["POST", "PUT", "PATCH", "GET", "DELETE"] = "POST"
    headers: dict[str, Line] = {}
    body: Text = '{"contact": "{{ contact.id }}", "email": "{{ contact.email }}"}'
    on_doubt: OnDoubt = OnDoubt.RESEND
    save_as: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_]{0,39})?\Z")] = ""
    window: Window | None = None


def templates(config: Webhook) -> Templates:
    headers = {f"header:{name}": (value, Output.HEADER) for name, value in config.headers.items()}
    return {"url": (config.url, Output.URL), "body": (config.body, Output.JSON), **headers}


@fails_on_long_text
def execute(run: "Run", node: "Node") -> int:
    config: Webhook = node.config
    if node.window is not None and (waiting := wait_for_window(run, node)) is not None:
        return waiting
    rendered = render_templates(run, node)
    body = rendered["body"]
    if _leaves_path(rendered["url"]):
        return fail(run, node, "With this contact's values, the URL contains “.” or “..” as a path segment.")
    try:
        if body.strip():
            msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return fail(run, node, f"With this contact's values, the body isn't valid JSON: {error}")
    headers: JsonObject = {name: rendered[f"header:{name}"] for name in config.headers}
    payload: JsonObject = {
        "url": rendered["url"],
        "method": config.method,
        "headers": headers,
        "body": body,
    }
    if config.save_as:
        payload["save_as"] = config.save_as
    return request_effect(run, node, EffectRequest("webhook", node.key, 0, "", payload, config.on_doubt))


def _leaves_path(url: str) -> bool:
    """Whether a segment of the path is only dots, which leads to another path: no escaping prevents it."""
    path = re.split("[?#]", url, maxsplit=1)[0]
    return any(part.lower().replace("%2e", ".") in (".", "..") for part in path.split("/"))


def describe(config: Webhook, _fields: Fields, _names: Names) -> Sentence:
    saved = f" · response saved as {config.save_as}" if config.save_as else ""
    return Sentence(f"{config.method} {config.url or '…'}", f"Webhook{saved}")


def validate(config: Webhook, fields: Fields, names: Names) -> Problems:
    yield from _check_url(config.url)
    for name, value in config.headers.items():
        if not _HEADER.match(name):
            yield "headers", f"“{name[:40]}” isn't a valid header name."
        elif name.lower() in _RESERVED:
            yield "headers", f"The header {name} is set by Switchyard."
        yield from check_one_line(value, "headers", f"The header {name} must be a single line.")
    problems = list(check_templates(templates(config), fields, names))
    yield from problems
    if config.body.strip() and not any(field == "body" for field, _ in problems):
        try:
            # Without its merge tags, so that a tag outside quotes is refused now and not in a call.
            msgspec.json.decode(MERGE_TAG.sub("", config.body))
        except (msgspec.DecodeError, RecursionError) as error:
            yield "body", f"The body isn't valid JSON: {error}. Put quotes around merge tags."
    yield from check_window(config.window)


def _check_url(url: str) -> Problems:
    if not url.strip():
        yield "url", "Enter the URL to call, such as https://example.com/hook."
        return
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        yield "url", "This isn't a valid URL. Enter one such as https://example.com/hook."
        return
    if not valid or "{{" in parts.netloc or any(char.isspace() for char in MERGE_TAG.sub("", url)):
        yield "url", "The URL must start with http:// or https:// and a host without merge tags."
    elif "@" in parts.netloc:
        yield "url", "Put credentials in a header, not in the URL."


KIND = StepKind(
    Webhook,
    label="Call a webhook",
    group="Send",
    icon="hook",
    hint="Send JSON to another system and use its response",
    execute=execute,
    describe=describe,
    validate=validate,
    templates=templates,
)
