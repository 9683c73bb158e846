"""Checks that step kinds and trigger kinds share. Each yields its problems as (input name, message)."""

from collections.abc import Iterable, Iterator, Mapping

from app.engine.core import merge_tags
from app.engine.core.name_lookup import Names
from app.engine.core.timing.sending_window import Window, zone_named
from app.filters import parse
from app.filters.ast import Filter, Group
from app.filters.fields import Fields, FieldType, unknown_field

Problems = Iterator[tuple[str, str]]
DATES = (FieldType.DATE, FieldType.DATETIME)


def check_reference(target: object, names: Mapping[str, str], field: str, noun: str) -> Problems:
    """Checks a tag, segment or workflow chosen by its id: it is chosen, and it still exists."""
    if target is None or target == "":
        yield field, f"Choose a {noun}."
    elif str(target) not in names:
        yield field, f"This {noun} no longer exists. Choose another."


def check_filter(expression: Filter | None, fields: Fields, names: Names, path: str, label: str) -> Problems:
    """Checks a filter, if there is one: it has a condition, and each condition is valid."""
    if expression is None:
        return
    if isinstance(expression, Group) and not expression.items:
        yield path, f"{label} has no condition. Add at least one."
    for inner, message in parse.filter_problems(expression, fields, names.tags).items():
        yield f"{path}.{inner}".rstrip("."), message


def check_date_field(key: str, fields: Fields) -> Problems:
    """Checks that the input `field` names a field that holds a date."""
    spec = fields.get(key)
    if not key:
        yield "field", "Choose a date field."
    elif spec is None:
        yield "field", unknown_field(key, fields)
    elif spec.type not in DATES:
        yield "field", f"{spec.label} doesn't hold a date. Choose a date field."


def check_required_filter(
    expression: Filter | None, fields: Fields, names: Names, path: str, label: str
) -> Problems:
    """Checks a filter that is required."""
    if expression is None:
        yield path, f"{label} has no condition. Add at least one."
    yield from check_filter(expression, fields, names, path, label)


def check_members(users: Iterable[object], names: Names, field: str = "users") -> Problems:
    """Checks members chosen by id: all of them still are members."""
    if any(str(user) not in names.users for user in users):
        yield field, "A member chosen here no longer belongs to this account. Choose again."


def check_templates(
    templates: Mapping[str, tuple[str, merge_tags.Output]], fields: Fields, names: Names
) -> Problems:
    """Checks the merge tags of each template."""
    for name, (template, output) in templates.items():
        problem = merge_tags.template_problem(template, fields, output, names.saved)
        if problem is not None:
            yield name.partition(":")[0].replace("header", "headers"), problem


def check_text(text: str, field: str, message: str) -> Problems:
    """Checks a text that must not be blank."""
    if not text.strip():
        yield field, message


def check_one_line(text: str, field: str, message: str = "Use a single line.") -> Problems:
    """Checks a text that must be one line."""
    if "\r" in text or "\n" in text:
        yield field, message


def check_period(amount: int, message: str) -> Problems:
    """Checks that the input `amount` is more than zero."""
    if amount <= 0:
        yield "amount", message


def check_window(window: Window | None) -> Problems:
    """Checks a sending window, if there is one."""
    if window is None:
        return
    if not window.start or not window.end:
        yield "window.start" if not window.start else "window.end", "Enter the time as HH:MM, such as 09:00."
    if any(not 0 <= day <= 6 for day in window.days):
        yield "window.days", "Days are numbered from 0 (Monday) to 6 (Sunday)."
    if window.zone not in ("account", "contact") and zone_named(window.zone) is None:
        yield "window.zone", f"There is no time zone “{window.zone[:60]}”. Choose one, such as Europe/Paris."


def check_jump(step: str, field: str, names: Names, own_key: str) -> Problems:
    """Checks the key of another step to which the enrollment jumps."""
    if not step:
        yield field, "Choose the step to go to."
    elif step == own_key:
        yield field, "A step can't lead to itself. Choose another."
    elif names.steps is not None and step not in names.steps:
        yield field, "This step no longer exists. Choose another."
