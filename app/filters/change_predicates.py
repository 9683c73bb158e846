"""Conditions on field changes as Python closures; `db.filters` compiles the same ones to SQL."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

from app.filters import ranges
from app.filters.ast import Op
from app.filters.facts import Facts
from app.filters.fields import NUMBER_TYPES, FieldType
from app.filters.values import Change, ChangeOperand, fold

CONTACT_UPDATED = "contact.updated"
Match = Callable[[Facts, datetime], bool]


def changed(change: Change) -> Match:
    """A closure that tests whether the field changed this way within the period."""
    key = change.field
    was, became = _side(change.old, change.type), _side(change.new, change.type)
    span = ranges.remembered(partial(ranges.instants, Op.IN_LAST, (change.within,)))

    def has_change(facts: Facts, now: datetime) -> bool:
        start, end = span(now, facts.zone)
        return any(
            was(pair[0], now, facts.zone) and became(pair[1], now, facts.zone)
            for event in facts.history
            if event.kind == CONTACT_UPDATED
            and ranges.inside(event.at, start, end)
            and (pair := event.changes.get(key)) is not None
        )

    return has_change


def _side(operand: ChangeOperand | None, kind: FieldType) -> Callable[[object, datetime, ZoneInfo], bool]:
    """A test whether a value equals the operand, in the zone of the account."""
    if isinstance(operand, date):
        spans = ranges.remembered(partial(ranges.stored_spans, Op.ON, (operand,)))

        def at(value: object, now: datetime, zone: ZoneInfo) -> bool:
            [(start, end)] = spans(now, zone)
            return isinstance(value, str) and start <= value < end

        return at
    equals = _equals(operand, kind)
    return lambda value, _now, _zone: equals(value)


def _equals(operand: str | Decimal | bool | None, kind: FieldType) -> Callable[[object], bool]:
    """A test whether a value equals the operand; a value of another type counts as empty."""
    if operand is None:
        return lambda _value: True
    if kind in NUMBER_TYPES:
        return _number(operand)
    if kind is FieldType.MULTI_SELECT:
        return lambda value: operand in value if isinstance(value, list) and value else operand == ""
    if kind is FieldType.BOOLEAN:
        return lambda value: (value if isinstance(value, bool) else "") == operand
    return lambda value: (fold(value) if isinstance(value, str) else "") == operand


def _number(operand: str | Decimal | bool) -> Callable[[object], bool]:
    def is_number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    if not isinstance(operand, Decimal):
        return lambda value: not is_number(value)
    plain = int(operand) if operand == operand.to_integral_value() else float(operand)
    return lambda value: is_number(value) and value == plain
