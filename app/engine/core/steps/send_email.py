"""Send an email to the contact. The step requests an effect; `app.engine.effects.dispatcher` claims it and
`app.engine.effects.channels` sends it. The enrollment waits for the outcome."""

from typing import TYPE_CHECKING

from app.email_addresses import normalize_email
from app.engine.core.checks import Problems, check_one_line, check_templates, check_text, check_window
from app.engine.core.merge_tags import Output
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import Line, OnDoubt, Text
from app.engine.core.steps.base import (
    Config,
    Sentence,
    StepKind,
    Templates,
    fails_on_long_text,
    skip,
    text_preview,
)
from app.engine.core.steps.outbound import DENIED, render_templates, request_effect, wait_for_window
from app.engine.core.timing.sending_window import Window
from app.engine.core.types import EffectRequest
from app.filters.fields import Fields
from app.json_types import JsonObject

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class SendEmail(Config, frozen=True, tag="send_email"):
    """`subject`, `body`, `from_name`, `reply_to` are templates; the body is plain text. Contacts who denied
    consent get none, unless it is `transactional`."""

    subject: Line = ""
    body: Text = ""
    from_name: Line = ""
    reply_to: Line = ""
    on_doubt: OnDoubt = OnDoubt.ASK_MEMBER
    transactional: bool = False
    window: Window | None = None


def templates(config: SendEmail) -> Templates:
    return {
        "subject": (config.subject, Output.SUBJECT),
        "body": (config.body, Output.EMAIL),
        "from_name": (config.from_name, Output.HEADER),
        "reply_to": (config.reply_to, Output.HEADER),
    }


@fails_on_long_text
def execute(run: "Run", node: "Node") -> int:
    config: SendEmail = node.config
    values = run.facts.values
    to = values.get("email")
    if not isinstance(to, str) or not to:
        return skip(run, node, "The contact has no email address.")
    if values.get("email_consent") == DENIED and not config.transactional:
        return skip(run, node, "The contact denied consent to email.")
    if node.window is not None and (waiting := wait_for_window(run, node)) is not None:
        return waiting
    names = (values.get("first_name"), values.get("last_name"))
    payload: JsonObject = {
        "to": to,
        "to_name": " ".join(" ".join(str(name) for name in names if name).split()),
        **render_templates(run, node),
    }
    if config.transactional:
        payload["transactional"] = True
    return request_effect(run, node, EffectRequest("email", node.key, 0, "", payload, config.on_doubt))


def describe(config: SendEmail, _fields: Fields, _names: Names) -> Sentence:
    return Sentence(f"Email: {config.subject or '…'}", text_preview(config.body))


def validate(config: SendEmail, fields: Fields, names: Names) -> Problems:
    yield from check_text(config.subject, "subject", "The email has no subject.")
    yield from check_one_line(config.subject, "subject", "The subject must be a single line.")
    yield from check_text(config.body, "body", "The email has no body.")
    yield from check_templates(templates(config), fields, names)
    yield from check_one_line(config.from_name, "from_name")
    yield from check_one_line(config.reply_to, "reply_to")
    if config.reply_to and "{{" not in config.reply_to and not normalize_email(config.reply_to):
        yield "reply_to", "Enter one email address to reply to, such as help@example.com."
    yield from check_window(config.window)


KIND = StepKind(
    SendEmail,
    label="Send email",
    group="Send",
    icon="mail",
    hint="Send a message to the contact's email address",
    execute=execute,
    describe=describe,
    validate=validate,
    templates=templates,
    skips_deleted_contact=True,
    required_consent=lambda config: None if config.transactional else "email_consent",
)
