"""Checks that step kinds and trigger kinds share. Each yields its problems as (input name, message)."""

from collections.abc import Iterator, Mapping

from app.engine.core.name_lookup import Names
from app.filters import parse
from app.filters.ast import Filter, Group
from app.filters.fields import Fields, FieldType, unknown_field

Problems = Iterator[tuple[str, str]]
DATES = (FieldType.DATE, FieldType.DATETIME)


def check_reference(target: object, names: Mapping[str, str], field: str, noun: str) -> Problems:
    """A tag, segment or workflow chosen by its id: it is chosen, and it still exists."""
    if target is None or target == "":
        yield field, f"Choose a {noun}."
    elif str(target) not in names:
        yield field, f"This {noun} no longer exists. Choose another one."


def check_filter(expression: Filter | None, fields: Fields, names: Names, path: str, label: str) -> Problems:
    """A filter, if there is one: it has a condition, and each condition is valid."""
    if expression is None:
        return
    if isinstance(expression, Group) and not expression.items:
        yield path, f"{label} has no condition. Add at least one."
    for inner, message in parse.check(expression, fields, names.tags).items():
        yield f"{path}.{inner}".rstrip("."), message


def check_date_field(key: str, fields: Fields) -> Problems:
    """The input `field` names a field that holds a date."""
    spec = fields.get(key)
    if not key:
        yield "field", "Choose a date field."
    elif spec is None:
        yield "field", unknown_field(key, fields)
    elif spec.type not in DATES:
        yield "field", f"{spec.label} doesn't hold a date. Choose a date field."
