"""Post a message to a channel of the chat provider."""

from typing import TYPE_CHECKING

from app.engine.core.checks import Problems, check_templates, check_text, check_window
from app.engine.core.merge_tags import Output
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import Line, OnDoubt, Text
from app.engine.core.steps.base import (
    Config,
    Sentence,
    StepKind,
    Templates,
    fails_on_long_text,
    text_preview,
)
from app.engine.core.steps.outbound import request_effect, wait_for_window
from app.engine.core.timing.sending_window import Window
from app.engine.core.types import EffectRequest
from app.filters.fields import Fields
from app.json_types import JsonObject

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class Chat(Config, frozen=True, tag="chat"):
    """`text` is a template."""

    channel: Line = ""
    text: Text = ""
    on_doubt: OnDoubt = OnDoubt.RESEND
    window: Window | None = None


def templates(config: Chat) -> Templates:
    return {"text": (config.text, Output.TEXT)}


@fails_on_long_text
def execute(run: "Run", node: "Node") -> int:
    config: Chat = node.config
    if node.window is not None and (waiting := wait_for_window(run, node)) is not None:
        return waiting
    payload: JsonObject = {"channel": config.channel, "text": node.templates["text"].render(run.facts)}
    return request_effect(run, node, EffectRequest("chat", node.key, 0, "", payload, config.on_doubt))


def describe(config: Chat, _fields: Fields, _names: Names) -> Sentence:
    return Sentence(f"Chat: {config.channel or '…'}", text_preview(config.text))


def validate(config: Chat, fields: Fields, names: Names) -> Problems:
    yield from check_text(config.channel, "channel", "Enter the channel to post to.")
    yield from check_text(config.text, "text", "The message has no text.")
    yield from check_templates(templates(config), fields, names)
    yield from check_window(config.window)


KIND = StepKind(
    Chat,
    label="Post to chat",
    group="Send",
    icon="msg",
    hint="Post a message to a chat channel",
    execute=execute,
    describe=describe,
    validate=validate,
    templates=templates,
)
