"""The templates of each step kind, and the place that each one goes to."""

from collections.abc import Callable
from typing import Any

from app.engine.core.merge_tags import Output
from app.engine.core.steps import (
    AddNote,
    Approval,
    Chat,
    CreateTask,
    Notify,
    SendEmail,
    SendSms,
    StepConfig,
    UpdateField,
    Webhook,
)

Texts = dict[str, tuple[str, Output]]


def _email(config: SendEmail) -> Texts:
    return {
        "subject": (config.subject, Output.SUBJECT),
        "body": (config.body, Output.EMAIL),
        "from_name": (config.from_name, Output.HEADER),
        "reply_to": (config.reply_to, Output.HEADER),
    }


def _webhook(config: Webhook) -> Texts:
    headers = {f"header:{name}": (value, Output.HEADER) for name, value in config.headers.items()}
    return {"url": (config.url, Output.URL), "body": (config.body, Output.JSON), **headers}


def _update(config: UpdateField) -> Texts:
    return {"value": (config.value, Output.TEXT)} if config.operation in ("set", "add") else {}


_TEXTS: dict[type[StepConfig], Callable[[Any], Texts]] = {
    UpdateField: _update,
    AddNote: lambda one: {"text": (one.text, Output.TEXT)},
    CreateTask: lambda one: {"title": (one.title, Output.SUBJECT), "body": (one.body, Output.TEXT)},
    SendEmail: _email,
    SendSms: lambda one: {"body": (one.body, Output.TEXT)},
    Notify: lambda one: {"title": (one.title, Output.SUBJECT), "body": (one.body, Output.TEXT)},
    Chat: lambda one: {"text": (one.text, Output.TEXT)},
    Webhook: _webhook,
    Approval: lambda one: {"question": (one.question, Output.TEXT)},
}


def texts_of(config: StepConfig) -> Texts:
    """Every template of a step by its name, with the place that its text goes to."""
    found = _TEXTS.get(type(config))
    return {} if found is None else found(config)
