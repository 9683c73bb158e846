"""SQL conditions on single JSON values: those of custom fields, and those that events record of a change.
`db.filters` composes them. None is ever null."""

from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Numeric,
    Text,
    and_,
    any_,
    case,
    cast,
    collate,
    func,
    literal,
    not_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from app.filters import ranges
from app.filters.ast import Op
from app.filters.fields import NUMBER_TYPES, FieldType
from app.filters.values import CAPITALS, ChangeOperand, Operands
from app.json_types import Json

Clause = ColumnElement[bool]
ValueT = TypeVar("ValueT")
# Code-point order, as Python compares text, independent of the database's locale.
BYTES = "C"


def text_in(value: ColumnElement[Json]) -> ColumnElement[str]:
    """The value as text; empty when it is none."""
    return case((func.jsonb_typeof(value) == "string", astext(value)), else_="")


def number_in(value: ColumnElement[Json]) -> ColumnElement[Decimal]:
    """The value as an exact number; null when it is none."""
    return case((func.jsonb_typeof(value) == "number", cast(astext(value), Numeric)))


def astext(value: ColumnElement[Json]) -> ColumnElement[str]:
    """An element of a JSON column as text: `->>` where `value` has `->`."""
    element = value.comparator
    if not isinstance(element, JSONB.Comparator):
        raise TypeError(value)
    return element.astext


def folded_text(value: ColumnElement[str], texts: list[str]) -> ColumnElement[str]:
    """The column in lower case, as far as the comparison with these values needs it: all ASCII capitals, and
    those other capitals whose lower case occurs in a value. No other capital can make a difference."""
    lowered = func.lower(collate(value, BYTES))
    pairs = [
        (capital, char)
        for char in sorted(set("".join(texts)))
        for capital in CAPITALS.get(char, "")
        if capital > "Z"
    ]
    if not pairs:
        return lowered
    return func.translate(
        lowered, "".join(capital for capital, _ in pairs), "".join(char for _, char in pairs)
    )


def is_any_of(value: ColumnElement[ValueT], candidates: list[ValueT], kind: TypeEngine[ValueT]) -> Clause:
    """Equal to one of the candidates. They are passed as one array, because the driver accepts at most 32,767
    values per statement."""
    return value == any_(literal(candidates, ARRAY(kind)))


def list_in(value: ColumnElement[Json]) -> ColumnElement[Json]:
    """The value as a JSON list; empty when it is none."""
    return case((func.jsonb_typeof(value) == "array", value), else_=func.jsonb_build_array())


def includes(value: ColumnElement[Json], op: Op, values: Operands) -> Clause:
    """A condition on the chosen options of a multi-select."""
    chosen = list_in(value)
    if op is Op.EMPTY:
        return func.jsonb_array_length(chosen) == 0
    if op is Op.NOT_EMPTY:
        return func.jsonb_array_length(chosen) > 0
    options = literal(sorted({str(item) for item in values}), ARRAY(Text()))
    if op is Op.ALL_OF:
        return chosen.bool_op("?&")(options)
    any_of = chosen.bool_op("?|")(options)
    return any_of if op is Op.ANY_OF else not_(any_of)


def moment_is(stored: ColumnElement[str], op: Op, values: Operands, now: datetime, zone: ZoneInfo) -> Clause:
    """A condition on a moment in a custom field: its stored text is within one of the ranges. Those of
    anniversaries are passed as two arrays to keep the statement short."""
    value = collate(stored, BYTES)
    if op is Op.EMPTY:
        return value == ""
    if op is Op.NOT_EMPTY:
        return value != ""
    spans = ranges.stored_spans(op, values, now, zone)
    if len(spans) == 1:
        [(start, end)] = spans
        return and_(value != "", value >= start, value < end)
    edges = [[span[at] for span in spans] for at in (0, 1)]
    rows = (
        func.unnest(*(literal(edge, ARRAY(Text())) for edge in edges))
        .table_valued("start", "end", name="spans", joins_implicitly=True)
        .render_derived()
    )
    inside = and_(value >= collate(rows.c.start, BYTES), value < collate(rows.c.end, BYTES))
    return and_(value != "", select(literal(1)).select_from(rows).where(inside).exists())


def json_equals(
    value: ColumnElement[Json], expected: ChangeOperand, kind: FieldType, now: datetime, zone: ZoneInfo
) -> Clause:
    """Whether this JSON value equals the operand; a value of another type than the field's counts as
    empty."""
    if isinstance(expected, date):
        return moment_is(text_in(value), Op.ON, (expected,), now, zone)
    if kind is FieldType.MULTI_SELECT:
        op, options = (Op.ANY_OF, (str(expected),)) if expected else (Op.EMPTY, ())
        return includes(value, op, options)
    if kind in NUMBER_TYPES:
        number = number_in(value)
        return number.is_(None) if expected == "" else number == literal(expected, Numeric)
    if kind is FieldType.BOOLEAN:
        json_type = func.coalesce(func.jsonb_typeof(value), "")
        if expected == "":
            return json_type != "boolean"
        return and_(json_type == "boolean", astext(value) == str(expected).lower())
    return folded_text(text_in(value), [str(expected)]) == literal(str(expected))
