"""Compile filters to Python closures that test one contact; about 0.3 µs per predicate.

`compile_filter` is the entry point. Empty is an ordinary value: no predicate returns "unknown". The SQL of
`db.filters` gives the same result for every contact. Text is compared without case; "is not" and "none
of" include empty."""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from functools import partial
from operator import ge, gt, le, lt
from uuid import UUID

from app.filters import ranges
from app.filters.analysis import CYCLE_MESSAGE, UNREADABLE
from app.filters.ast import Filter, FilterError, Group, Op
from app.filters.change_predicates import changed
from app.filters.facts import Facts
from app.filters.fields import NUMBER_TYPES, TEXT_TYPES, Fields, FieldSpec, FieldType
from app.filters.phone_conditions import PHONES, matches, operand_of
from app.filters.values import Change, Operands, Times, fold, read

Match = Callable[[Facts, datetime], bool]
Inside = tuple[UUID, ...]


def compile_filter(expression: Filter | None, fields: Fields) -> Match:
    """The closure of a filter; None matches every contact. Raises FilterError for unknown fields, operators
    that the field's type does not have, and values that cannot be read."""
    return _compile(expression, fields, ())


def _compile(expression: Filter | None, fields: Fields, inside: Inside) -> Match:
    if expression is None:
        return lambda _facts, _now: True
    if isinstance(expression, Group):
        return _group(expression, fields, inside)
    spec, values = read(expression, fields)
    if spec.type is FieldType.SEGMENTS:
        return _segments(spec, expression.op, values, fields, inside)
    return _COMPILERS[spec.type](spec, expression.op, values)


def _group(group: Group, fields: Fields, inside: Inside) -> Match:
    parts = []
    for index, item in enumerate(group.items):
        try:
            parts.append(_compile(item, fields, inside))
        except FilterError as error:
            raise FilterError(
                {f"items.{index}.{path}": text for path, text in error.problems.items()}
            ) from None
    return _joined(parts, group.match)


def _joined(parts: list[Match], match: str) -> Match:
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        first, second = parts
        if match == "all":
            return lambda facts, now: first(facts, now) and second(facts, now)
        return lambda facts, now: first(facts, now) or second(facts, now)
    if match == "all":
        return lambda facts, now: all(part(facts, now) for part in parts)
    return lambda facts, now: any(part(facts, now) for part in parts)


def _text(spec: FieldSpec, op: Op, values: Operands) -> Match:
    key = spec.key

    def text(facts: Facts) -> str:
        value = facts.values.get(key)
        return fold(value) if isinstance(value, str) else ""

    if op is Op.EMPTY:
        return lambda facts, _now: text(facts) == ""
    if op is Op.NOT_EMPTY:
        return lambda facts, _now: text(facts) != ""
    operand = str(values[0])
    many = frozenset(str(value) for value in values)
    if key in PHONES and any(operand_of(value) for value in many):
        return _phone(text, op, many)
    tests: dict[Op, Match] = {
        Op.IS: lambda facts, _now: text(facts) == operand,
        Op.IS_NOT: lambda facts, _now: text(facts) != operand,
        Op.CONTAINS: lambda facts, _now: operand in text(facts),
        Op.NOT_CONTAINS: lambda facts, _now: operand not in text(facts),
        Op.STARTS: lambda facts, _now: text(facts).startswith(operand),
        Op.ENDS: lambda facts, _now: text(facts).endswith(operand),
        Op.IN: lambda facts, _now: text(facts) in many,
    }
    return tests[op]


def _phone(text: Callable[[Facts], str], op: Op, values: Iterable[str]) -> Match:
    """Numbers by their digits, and other text as it is."""
    positive = {Op.IS_NOT: Op.IS, Op.NOT_CONTAINS: Op.CONTAINS}.get(op, op)
    operands = [(value, operand_of(value)) for value in values]

    def match(stored: str) -> bool:
        return any(
            matches(positive, stored, operand) if operand else stored == value for value, operand in operands
        )

    if op is positive:
        return lambda facts, _now: match(text(facts))
    return lambda facts, _now: not match(text(facts))


def _number(spec: FieldSpec, op: Op, values: Operands) -> Match:
    key = spec.key

    def number(facts: Facts) -> int | float | None:
        value = facts.values.get(key)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    if op is Op.EMPTY:
        return lambda facts, _now: number(facts) is None
    if op is Op.NOT_EMPTY:
        return lambda facts, _now: number(facts) is not None
    limits = [_plain(value) for value in values if isinstance(value, Decimal)]
    operand = limits[0]
    if op is Op.EQ:
        return lambda facts, _now: number(facts) == operand
    if op is Op.NE:
        return lambda facts, _now: number(facts) != operand
    if op is Op.BETWEEN:
        high = limits[1]
        return lambda facts, _now: (value := number(facts)) is not None and operand <= value <= high
    compare = {Op.GT: gt, Op.GE: ge, Op.LT: lt, Op.LE: le}[op]
    return lambda facts, _now: (value := number(facts)) is not None and compare(value, operand)


def _plain(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _boolean(spec: FieldSpec, op: Op, _values: Operands) -> Match:
    key = spec.key
    if op is Op.TRUE:
        return lambda facts, _now: facts.values.get(key) is True
    if op is Op.FALSE:
        return lambda facts, _now: facts.values.get(key) is False
    return lambda facts, _now: not isinstance(facts.values.get(key), bool)


def _select(spec: FieldSpec, op: Op, values: Operands) -> Match:
    key, options = spec.key, frozenset(str(value) for value in values)

    def chosen(facts: Facts) -> str:
        value = facts.values.get(key)
        return value if isinstance(value, str) else ""

    tests: dict[Op, Match] = {
        Op.ANY_OF: lambda facts, _now: chosen(facts) in options,
        Op.NONE_OF: lambda facts, _now: chosen(facts) not in options,
        Op.EMPTY: lambda facts, _now: chosen(facts) == "",
        Op.NOT_EMPTY: lambda facts, _now: chosen(facts) != "",
    }
    return tests[op]


def _multi_select(spec: FieldSpec, op: Op, values: Operands) -> Match:
    key, options = spec.key, frozenset(str(value) for value in values)

    def chosen(facts: Facts) -> frozenset[str]:
        value = facts.values.get(key)
        texts = value if isinstance(value, list) else ()
        return frozenset(text for text in texts if isinstance(text, str))

    tests: dict[Op, Match] = {
        Op.ANY_OF: lambda facts, _now: not options.isdisjoint(chosen(facts)),
        Op.ALL_OF: lambda facts, _now: options <= chosen(facts),
        Op.NONE_OF: lambda facts, _now: options.isdisjoint(chosen(facts)),
        Op.EMPTY: lambda facts, _now: not chosen(facts),
        Op.NOT_EMPTY: lambda facts, _now: bool(chosen(facts)),
    }
    return tests[op]


def _tags(_spec: FieldSpec, op: Op, values: Operands) -> Match:
    ids = frozenset(value for value in values if isinstance(value, UUID))
    tests: dict[Op, Match] = {
        Op.ANY_OF: lambda facts, _now: not ids.isdisjoint(facts.tags),
        Op.ALL_OF: lambda facts, _now: ids <= facts.tags,
        Op.NONE_OF: lambda facts, _now: ids.isdisjoint(facts.tags),
        Op.EMPTY: lambda facts, _now: not facts.tags,
        Op.NOT_EMPTY: lambda facts, _now: bool(facts.tags),
    }
    return tests[op]


def _user(spec: FieldSpec, op: Op, values: Operands) -> Match:
    key, ids = spec.key, frozenset(str(value) for value in values)

    def chosen(facts: Facts) -> str:
        value = facts.values.get(key)
        return value if isinstance(value, str) else ""

    tests: dict[Op, Match] = {
        Op.IS: lambda facts, _now: chosen(facts) in ids,
        Op.ANY_OF: lambda facts, _now: chosen(facts) in ids,
        Op.UNASSIGNED: lambda facts, _now: chosen(facts) == "",
        Op.ASSIGNED: lambda facts, _now: chosen(facts) != "",
    }
    return tests[op]


def _date(spec: FieldSpec, op: Op, values: Operands) -> Match:
    key = spec.key

    def day(facts: Facts) -> str:
        value = facts.values.get(key)
        return value if isinstance(value, str) else ""

    if op is Op.EMPTY:
        return lambda facts, _now: day(facts) == ""
    if op is Op.NOT_EMPTY:
        return lambda facts, _now: day(facts) != ""
    if op in (Op.ANNIVERSARY, Op.ANNIVERSARY_IN):
        spans = ranges.remembered(partial(ranges.anniversaries, op, values))

        def yearly(facts: Facts, now: datetime) -> bool:
            value = day(facts)[5:]
            return value != "" and any(first <= value <= last for first, last in spans(now, facts.zone))

        return yearly
    span = ranges.remembered(partial(ranges.days, op, values))

    def within(facts: Facts, now: datetime) -> bool:
        first, last = span(now, facts.zone)
        value = day(facts)
        return value != "" and first <= value <= last

    return within


def _datetime(spec: FieldSpec, op: Op, values: Operands) -> Match:
    key = spec.key
    if spec.custom_id is not None:
        return _stored_moment(key, op, values)

    def moment(facts: Facts) -> datetime | None:
        value = facts.values.get(key)
        return value if isinstance(value, datetime) else None

    if op is Op.EMPTY:
        return lambda facts, _now: moment(facts) is None
    if op is Op.NOT_EMPTY:
        return lambda facts, _now: moment(facts) is not None
    if op in (Op.ANNIVERSARY, Op.ANNIVERSARY_IN):
        spans = ranges.remembered(partial(ranges.anniversary_instants, op, values))

        def yearly(facts: Facts, now: datetime) -> bool:
            value = moment(facts)
            return value is not None and any(start <= value < end for start, end in spans(now, facts.zone))

        return yearly
    span = ranges.remembered(partial(ranges.instants, op, values))

    def within(facts: Facts, now: datetime) -> bool:
        value = moment(facts)
        start, end = span(now, facts.zone)
        return value is not None and ranges.inside(value, start, end)

    return within


def _stored_moment(key: str, op: Op, values: Operands) -> Match:
    """Compares moments as they are stored in a custom field, as text."""

    def moment(facts: Facts) -> str:
        value = facts.values.get(key)
        return value if isinstance(value, str) else ""

    if op is Op.EMPTY:
        return lambda facts, _now: moment(facts) == ""
    if op is Op.NOT_EMPTY:
        return lambda facts, _now: moment(facts) != ""
    spans = ranges.remembered(partial(ranges.stored_spans, op, values))

    def within(facts: Facts, now: datetime) -> bool:
        value = moment(facts)
        return value != "" and any(start <= value < end for start, end in spans(now, facts.zone))

    return within


def _segments(spec: FieldSpec, op: Op, values: Operands, fields: Fields, inside: Inside) -> Match:
    """Matches contacts in any (or none) of the segments; a deleted segment contains no contact."""
    parts = [_compile(filters, fields, path) for filters, path in unfolded(spec, values, inside)]
    within = _joined(parts, "any")
    if op is Op.ANY_OF:
        return within
    return lambda facts, now: not within(facts, now)


def unfolded(spec: FieldSpec, values: Operands, inside: Inside) -> list[tuple[Filter, Inside]]:
    """The filters of the segments that a condition names, each with the path of segments around it. Raises
    FilterError for a segment that contains itself, and for one whose filter cannot be read: if it counted as
    empty, "in none of" would match every contact."""
    unfolded_filters = []
    for value in values:
        if isinstance(value, UUID) and value in spec.filters:
            if value in inside:
                raise FilterError({"value": CYCLE_MESSAGE})
            expression = spec.filters[value]
            if expression is None:
                raise FilterError({"value": UNREADABLE})
            unfolded_filters.append((expression, (*inside, value)))
    return unfolded_filters


def _workflows(_spec: FieldSpec, op: Op, values: Operands) -> Match:
    ids = frozenset(value for value in values if isinstance(value, UUID))
    tests: dict[Op, Match] = {
        Op.ACTIVE_IN: lambda facts, _now: not ids.isdisjoint(facts.workflows.active),
        Op.NOT_ACTIVE_IN: lambda facts, _now: ids.isdisjoint(facts.workflows.active),
        Op.EVER_IN: lambda facts, _now: not ids.isdisjoint(facts.workflows.ever),
        Op.NEVER_IN: lambda facts, _now: ids.isdisjoint(facts.workflows.ever),
        Op.COMPLETED: lambda facts, _now: not ids.isdisjoint(facts.workflows.completed),
        Op.NOT_COMPLETED: lambda facts, _now: ids.isdisjoint(facts.workflows.completed),
    }
    return tests[op]


def _history(_spec: FieldSpec, op: Op, values: Operands) -> Match:
    operand = values[0]
    if isinstance(operand, Change):
        return changed(operand)
    if not isinstance(operand, Times):
        raise TypeError(operand)
    kind, count = operand.kind, operand.count
    span = ranges.remembered(partial(ranges.instants, Op.IN_LAST, (operand.within,)))

    def happened(facts: Facts, now: datetime) -> bool:
        start, end = span(now, facts.zone)
        times = sum(
            1 for event in facts.history if event.kind == kind and ranges.inside(event.at, start, end)
        )
        return times >= count

    if op is Op.HAPPENED:
        return happened
    return lambda facts, now: not happened(facts, now)


_COMPILERS: dict[FieldType, Callable[[FieldSpec, Op, Operands], Match]] = {
    **dict.fromkeys(TEXT_TYPES, _text),
    **dict.fromkeys(NUMBER_TYPES, _number),
    FieldType.BOOLEAN: _boolean,
    FieldType.SELECT: _select,
    FieldType.MULTI_SELECT: _multi_select,
    FieldType.TAGS: _tags,
    FieldType.USER: _user,
    FieldType.DATE: _date,
    FieldType.DATETIME: _datetime,
    FieldType.WORKFLOWS: _workflows,
    FieldType.HISTORY: _history,
}
