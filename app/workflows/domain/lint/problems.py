"""Checks that many kinds share. Each yields (input, sentence)."""

import re
from collections.abc import Iterable

from app.engine.core import merge_tags
from app.engine.core.checks import Problems, check_filter
from app.engine.core.name_lookup import Names
from app.engine.core.steps import StepConfig, Window
from app.engine.core.template_fields import texts_of
from app.engine.core.timing.sending_window import zone_named
from app.filters.ast import Filter
from app.filters.fields import Fields

MARK = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def people(users: Iterable[object], names: Names, field: str = "users") -> Problems:
    if any(str(user) not in names.users for user in users):
        yield field, "Somebody named here is no member any more. Choose again."


def required(expression: Filter | None, fields: Fields, names: Names, path: str, label: str) -> Problems:
    if expression is None:
        yield path, f"{label} has no condition. Add at least one."
    yield from check_filter(expression, fields, names, path, label)


def written(config: StepConfig, fields: Fields, names: Names) -> Problems:
    """Every template of a step."""
    for name, (text, output) in texts_of(config).items():
        wrong = merge_tags.check(text, fields, output, names.saved)
        if wrong is not None:
            yield name.partition(":")[0].replace("header", "headers"), wrong


def text(value: str, field: str, message: str) -> Problems:
    if not value.strip():
        yield field, message


def one_line(value: str, field: str, message: str = "This is one line.") -> Problems:
    if "\r" in value or "\n" in value:
        yield field, message


def lasts(amount: int, message: str) -> Problems:
    if amount <= 0:
        yield "amount", message


def window(given: Window | None) -> Problems:
    if given is None:
        return
    if not given.start or not given.end:
        yield "window.start" if not given.start else "window.end", "Give the time as HH:MM, such as 09:00."
    if any(not 0 <= day <= 6 for day in given.days):
        yield "window.days", "Days are numbered from 0, Monday, to 6, Sunday."
    if given.zone not in ("account", "contact") and zone_named(given.zone) is None:
        yield "window.zone", f"There is no time zone “{given.zone[:60]}”. Choose one such as Europe/Paris."


def leads(key: str, field: str, names: Names, own: str) -> Problems:
    """A way to another step."""
    if not key:
        yield field, "Choose the step to go to."
    elif key == own:
        yield field, "A step cannot lead to itself. Choose another one."
    elif names.steps is not None and key not in names.steps:
        yield field, "This step no longer exists. Choose another one."
