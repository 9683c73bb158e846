"""What keeps a draft from being published, in sentences, each with the place it belongs to."""

import re
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from app.filters import parse
from app.filters.ast import Filter, Group
from app.filters.fields import Fields, unknown_field
from app.filters.values import value_of
from app.workflows.domain import schedule, templates
from app.workflows.domain.draft import Draft, Reentry, walk
from app.workflows.domain.names import Names, within
from app.workflows.domain.steps import (
    AddTag,
    Branch,
    Exit,
    Goal,
    RemoveTag,
    SendEmail,
    Step,
    StepConfig,
    UpdateField,
    Wait,
    Webhook,
)
from app.workflows.domain.templates import Output
from app.workflows.domain.triggers import TRIGGER_LABELS, ContactUpdated, TagAdded, Trigger, trigger_kind

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
# Ours to set: what the connection needs, and the key that makes a repeated call harmless.
_RESERVED = {"host", "content-length", "transfer-encoding", "connection", "idempotency-key"}
_ADDRESS = re.compile(r"[^\s@<>,]+@[^\s@<>,]+\Z")
_MARK = re.compile(r"\{\{.*?\}\}", re.DOTALL)


class Problem(msgspec.Struct, frozen=True):
    """`step_key` is the step's or the trigger's key; None for the workflow as a whole. `field` is the
    input that the sentence belongs to ("filter.items.0.value"), "" for none in particular."""

    step_key: str | None
    message: str
    field: str = ""
    where: Literal["workflow", "trigger", "entry", "settings", "step"] = "step"


def lint(draft: Draft, fields: Fields, names: Names) -> list[Problem]:
    """Everything that blocks publishing, in the order of the screen; empty when it may go live. The draft's
    own steps and answers are added to `names`."""
    names = within(names, draft)
    return [
        *_workflow(draft, fields, names),
        *(found for trigger in draft.triggers for found in _trigger(trigger, fields, names)),
        *(
            Problem(step.key, message, field)
            for _, _, step in walk(draft.steps)
            for field, message in step_problems(step, fields, names)
        ),
    ]


def _workflow(draft: Draft, fields: Fields, names: Names) -> Iterator[Problem]:
    if not draft.triggers:
        yield Problem(None, "Nothing starts this workflow. Add a trigger.", where="workflow")
    if not draft.steps:
        yield Problem(None, "This workflow does nothing. Add a step.", where="workflow")
    for path, message in _filter(draft.entry, fields, names, "entry", "The entry condition", required=False):
        yield Problem(None, message, path, "entry")
    if draft.settings.reentry is Reentry.CONCURRENT_PER_KEY and not draft.settings.key_field.strip():
        yield Problem(
            None, "Say what tells entries apart: a field, or a path into the event.", "key_field", "settings"
        )


def _trigger(trigger: Trigger, fields: Fields, names: Names) -> Iterator[Problem]:
    label = TRIGGER_LABELS[trigger_kind(trigger)]
    if isinstance(trigger, TagAdded):
        for path, message in _tag(trigger.tag, names):
            yield Problem(trigger.key, message, path, "trigger")
    if isinstance(trigger, ContactUpdated):
        for key in trigger.fields:
            if key not in fields or key == "tags":
                yield Problem(trigger.key, unknown_field(key, fields), "fields", "trigger")
    if not trigger.sources:
        yield Problem(
            trigger.key, f"“{label}” listens to no source. Choose at least one.", "sources", "trigger"
        )
    for path, message in _filter(
        trigger.filter, fields, names, "filter", "The trigger's filter", required=False
    ):
        yield Problem(trigger.key, message, path, "trigger")


Found = Iterator[tuple[str, str]]


def step_problems(step: Step, fields: Fields, names: Names) -> list[tuple[str, str]]:
    """The problems of one step as (input, sentence). What it may go to, and which answers it may read, is
    asked as far as `names` knows it: see `names.within`."""
    return list(_step(step.config, fields, names))


def _step(config: StepConfig, fields: Fields, names: Names) -> Found:
    match config:
        case AddTag() | RemoveTag():
            yield from _tag(config.tag, names)
        case UpdateField():
            yield from _update(config, fields)
        case SendEmail():
            yield from _email(config, fields)
        case Webhook():
            yield from _webhook(config, fields)
        case Wait():
            yield from _wait(config)
        case Branch():
            yield from _branch(config, fields, names)
        case Goal():
            yield from _filter(config.filter, fields, names, "filter", "The goal", required=True)
            if config.on_unmet == "wait" and config.amount <= 0:
                yield "amount", "The goal must say how long to wait: more than nothing."
        case Exit():
            return


def _tag(tag: object, names: Names) -> Found:
    if tag is None:
        yield "tag", "Choose a tag."
    elif str(tag) not in names.tags:
        yield "tag", "This tag no longer exists. Choose another one."


def _filter(
    expression: Filter | None, fields: Fields, names: Names, path: str, label: str, *, required: bool
) -> Found:
    if expression is None:
        if required:
            yield path, f"{label} has no condition. Add at least one."
        return
    if isinstance(expression, Group) and not expression.items:
        yield path, f"{label} has no condition. Add at least one."
    for inner, message in parse.check(expression, fields, names.tags).items():
        yield f"{path}.{inner}".rstrip("."), message


def _template(text: str, field: str, fields: Fields, output: Output = Output.TEXT) -> Found:
    wrong = templates.check(text, fields, output)
    if wrong is not None:
        yield field, wrong


def _update(config: UpdateField, fields: Fields) -> Found:
    if not config.field:
        yield "field", "Choose a field."
        return
    spec = fields.get(config.field)
    if spec is None:
        yield "field", unknown_field(config.field, fields)
        return
    if not spec.writable:
        yield "field", f"{spec.label} cannot be changed by a step. Choose another field."
        return
    if config.operation == "clear":
        return
    if not config.value.strip():
        yield "value", "Give a value, or choose to clear the field."
    elif "{{" in config.value:
        yield from _template(config.value, "value", fields)
    else:
        try:
            value_of(spec, config.value)
        except ValueError as error:
            yield "value", str(error)


def _email(config: SendEmail, fields: Fields) -> Found:
    if not config.subject.strip():
        yield "subject", "The e-mail has no subject."
    if "\r" in config.subject or "\n" in config.subject:
        yield "subject", "A subject is one line."
    if not config.body.strip():
        yield "body", "The e-mail has no body."
    yield from _template(config.subject, "subject", fields, Output.SUBJECT)
    yield from _template(config.body, "body", fields)
    for name, text in (("from_name", config.from_name), ("reply_to", config.reply_to)):
        yield from _template(text, name, fields, Output.HEADER)
        if "\r" in text or "\n" in text:
            yield name, "This is one line."
    if config.reply_to and "{{" not in config.reply_to and not _ADDRESS.match(config.reply_to):
        yield "reply_to", "Reply to one e-mail address, such as help@example.com."


def _webhook(config: Webhook, fields: Fields) -> Found:
    yield from _url(config.url)
    yield from _template(config.url, "url", fields, Output.URL)
    for name, value in config.headers.items():
        if not _HEADER.match(name):
            yield "headers", f"“{name[:40]}” is not a header name."
        elif name.lower() in _RESERVED:
            yield "headers", f"The header {name} is set by Switchyard."
        if "\r" in value or "\n" in value:
            yield "headers", f"The header {name} must be one line."
        yield from _template(value, "headers", fields, Output.HEADER)
    wrong = list(_template(config.body, "body", fields, Output.JSON))
    yield from wrong
    if config.body.strip() and not wrong:
        try:
            # Nothing stands where a tag stood, so that a tag outside quotes is found now and not at night.
            msgspec.json.decode(_MARK.sub("", config.body))
        except (msgspec.DecodeError, RecursionError) as error:
            yield "body", f"The body is not JSON: {error}. Put quotes around merge tags."


def _url(url: str) -> Found:
    if not url.strip():
        yield "url", "Give the address to call, such as https://example.com/hook."
        return
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        yield "url", "This is not an address. Write one such as https://example.com/hook."
        return
    if not good or "{{" in parts.netloc or any(char.isspace() for char in _MARK.sub("", url)):
        yield "url", "The address must start with http:// or https:// and a host without merge tags."
    elif "@" in parts.netloc:
        yield "url", "Put credentials into a header, not into the address."


def _wait(config: Wait) -> Found:
    if config.mode == "duration":
        if config.amount <= 0:
            yield "amount", "The wait must be longer than nothing."
        return
    if not config.until.strip():
        yield "until", "Give the date and time to wait for."
        return
    try:
        schedule.moment(config.until, ZoneInfo("UTC"))
    except ValueError as error:
        yield "until", str(error)


def _branch(config: Branch, fields: Fields, names: Names) -> Found:
    if not config.branches:
        yield "branches", "The branch has only its else. Add a lane with a condition."
    for position, lane in enumerate(config.branches):
        label = f"The lane “{lane.name or lane.key}”"
        yield from _filter(lane.filter, fields, names, f"branches.{position}.filter", label, required=True)
