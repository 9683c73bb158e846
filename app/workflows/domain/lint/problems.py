"""Checks that many kinds share. Each yields (input, sentence)."""

import re
from collections.abc import Iterable, Iterator, Mapping

from app.engine.core import merge_tags
from app.engine.core.steps import StepConfig, Window
from app.engine.core.template_fields import texts_of
from app.engine.core.timing.sending_window import zone_named
from app.filters import parse
from app.filters.ast import Filter, Group
from app.filters.fields import Fields, FieldType, unknown_field
from app.workflows.domain.name_lookup import Names

Found = Iterator[tuple[str, str]]
DATES = (FieldType.DATE, FieldType.DATETIME)
MARK = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def named(value: object, known: Mapping[str, str], field: str, what: str) -> Found:
    """Something chosen by its id, which must still be there."""
    if value is None or value == "":
        yield field, f"Choose a {what}."
    elif str(value) not in known:
        yield field, f"This {what} no longer exists. Choose another one."


def people(users: Iterable[object], names: Names, field: str = "users") -> Found:
    if any(str(user) not in names.users for user in users):
        yield field, "Somebody named here is no member any more. Choose again."


def asked(expression: Filter | None, fields: Fields, names: Names, path: str, label: str) -> Found:
    """A filter where there is one: with a condition, and each of them with a meaning."""
    if expression is None:
        return
    if isinstance(expression, Group) and not expression.items:
        yield path, f"{label} has no condition. Add at least one."
    for inner, message in parse.check(expression, fields, names.tags).items():
        yield f"{path}.{inner}".rstrip("."), message


def required(expression: Filter | None, fields: Fields, names: Names, path: str, label: str) -> Found:
    if expression is None:
        yield path, f"{label} has no condition. Add at least one."
    yield from asked(expression, fields, names, path, label)


def written(config: StepConfig, fields: Fields, names: Names) -> Found:
    """Every template of a step."""
    for name, (text, output) in texts_of(config).items():
        wrong = merge_tags.check(text, fields, output, names.saved)
        if wrong is not None:
            yield name.partition(":")[0].replace("header", "headers"), wrong


def text(value: str, field: str, message: str) -> Found:
    if not value.strip():
        yield field, message


def one_line(value: str, field: str, message: str = "This is one line.") -> Found:
    if "\r" in value or "\n" in value:
        yield field, message


def date_field(key: str, fields: Fields) -> Found:
    spec = fields.get(key)
    if not key:
        yield "field", "Choose a date field."
    elif spec is None:
        yield "field", unknown_field(key, fields)
    elif spec.type not in DATES:
        yield "field", f"{spec.label} holds no date. Choose a date field."


def lasts(amount: int, message: str) -> Found:
    if amount <= 0:
        yield "amount", message


def window(given: Window | None) -> Found:
    if given is None:
        return
    if not given.start or not given.end:
        yield "window.start" if not given.start else "window.end", "Give the time as HH:MM, such as 09:00."
    if any(not 0 <= day <= 6 for day in given.days):
        yield "window.days", "Days are numbered from 0, Monday, to 6, Sunday."
    if given.zone not in ("account", "contact") and zone_named(given.zone) is None:
        yield "window.zone", f"There is no time zone “{given.zone[:60]}”. Choose one such as Europe/Paris."


def leads(key: str, field: str, names: Names, own: str) -> Found:
    """A way to another step."""
    if not key:
        yield field, "Choose the step to go to."
    elif key == own:
        yield field, "A step cannot lead to itself. Choose another one."
    elif names.steps is not None and key not in names.steps:
        yield field, "This step no longer exists. Choose another one."
