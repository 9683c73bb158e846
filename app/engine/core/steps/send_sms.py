"""Send a text message to the contact's phone."""

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from app.engine.core.checks import Problems, check_templates, check_text, check_window
from app.engine.core.merge_tags import Output
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import OnDoubt
from app.engine.core.steps.base import (
    Config,
    Sentence,
    StepKind,
    Templates,
    fails_on_long_text,
    first_line,
    skip,
)
from app.engine.core.steps.outbound import DENIED, request_effect, wait_for_window
from app.engine.core.timing.sending_window import Window
from app.engine.core.types import EffectRequest
from app.filters.fields import Fields
from app.filters.normalize import is_plausible_phone
from app.json_types import JsonObject

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class SendSms(Config, frozen=True, tag="send_sms"):
    """`body` is a template. Contacts who denied consent get none, unless it is `transactional`."""

    body: Annotated[str, Meta(max_length=1600)] = ""
    on_doubt: OnDoubt = OnDoubt.ASK_MEMBER
    transactional: bool = False
    window: Window | None = None


def templates(config: SendSms) -> Templates:
    return {"body": (config.body, Output.TEXT)}


@fails_on_long_text
def execute(run: "Run", node: "Node") -> int:
    config: SendSms = node.config
    to = run.facts.values.get("phone")
    if not isinstance(to, str) or not to:
        return skip(run, node, "The contact has no phone number.")
    if not is_plausible_phone(to):
        return skip(run, node, f"“{to}” isn't a valid phone number, so no SMS was sent.")
    if run.facts.values.get("sms_consent") == DENIED and not config.transactional:
        return skip(run, node, "The contact denied consent to SMS.")
    if node.window is not None and (waiting := wait_for_window(run, node)) is not None:
        return waiting
    body = node.templates["body"].render(run.facts)
    if not body.strip():
        return skip(run, node, "The SMS is empty with this contact's values.")
    payload: JsonObject = {"to": to, "body": body}
    if config.transactional:
        payload["transactional"] = True
    return request_effect(run, node, EffectRequest("sms", node.key, 0, "", payload, config.on_doubt))


def describe(config: SendSms, _fields: Fields, _names: Names) -> Sentence:
    return Sentence(f"SMS: {first_line(config.body) or '…'}", "Text message")


def validate(config: SendSms, fields: Fields, names: Names) -> Problems:
    yield from check_text(config.body, "body", "The SMS has no text.")
    yield from check_templates(templates(config), fields, names)
    yield from check_window(config.window)


KIND = StepKind(
    SendSms,
    label="Send SMS",
    group="Send",
    icon="phone",
    hint="Send a text message to the contact's phone",
    execute=execute,
    describe=describe,
    validate=validate,
    templates=templates,
    skips_deleted_contact=True,
    required_consent=lambda config: None if config.transactional else "sms_consent",
)
