"""Changes of fields as Python closures: what `db.filters` asks of the events of a contact."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import partial

from app.filters import ranges
from app.filters.ast import Op
from app.filters.facts import Facts
from app.filters.fields import FieldType
from app.filters.values import Change, Wanted, fold

CONTACT_UPDATED = "contact.updated"
Match = Callable[[Facts, datetime], bool]


def changed(asked: Change) -> Match:
    """Whether one of the contact's events within the time is this change of the field."""
    key = asked.field
    was, became = _one(asked.old, asked.type), _one(asked.new, asked.type)
    span = ranges.remembered(partial(ranges.instants, Op.IN_LAST, (asked.within,)))

    def found(facts: Facts, now: datetime) -> bool:
        start, end = span(now, facts.zone)
        return any(
            was(pair[0]) and became(pair[1])
            for one in facts.history
            if one.kind == CONTACT_UPDATED
            and ranges.inside(one.at, start, end)
            and (pair := one.changes.get(key)) is not None
        )

    return found


def _one(wanted: Wanted | None, kind: FieldType) -> Callable[[object], bool]:
    """Whether a value is the one asked for; what is not of the field's type is empty."""
    if wanted is None:
        return lambda _value: True
    if kind is FieldType.NUMBER:
        return _number(wanted)
    if kind is FieldType.BOOLEAN:
        return lambda value: (value if isinstance(value, bool) else "") == wanted
    return lambda value: (fold(value) if isinstance(value, str) else "") == wanted


def _number(wanted: Wanted) -> Callable[[object], bool]:
    def is_number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    if not isinstance(wanted, Decimal):
        return lambda value: not is_number(value)
    plain = int(wanted) if wanted == wanted.to_integral_value() else float(wanted)
    return lambda value: is_number(value) and value == plain
