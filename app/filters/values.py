"""Parse a predicate's value into typed operands for both compilers: folded text, exact numbers, dates, ids.

`read` is the entry point. `field_values` parses text that a contact stores."""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from app.email_addresses import normalize_email
from app.filters.ast import ARITY, Arity, FilterError, Op, Predicate
from app.filters.countries import country_code
from app.filters.field_values import as_spelled, read_date, read_id, read_moment, read_number, yes_or_no
from app.filters.fields import (
    NUMBER_TYPES,
    TEXT_TYPES,
    UNITS,
    Fields,
    FieldSpec,
    FieldType,
    nearest,
    operator,
    unknown_field,
)
from app.filters.money import read_money
from app.stored_text import clean_text

MOST_VALUES = 500
LONGEST_TEXT = 500
MOST_UNITS = 10_000
MOST_TIMES = 1000
WHOLE_DAYS = ("days", "weeks", "months")


def _lower_pairs() -> dict[int, str]:
    """Upper to lower case for every letter whose lower case is one character. A fixed table instead of
    `lower()`, because the database's `lower()` depends on its locale and both compilers must agree."""
    pairs = {code: chr(code).lower() for code in range(0x80, 0x1EA00) if chr(code).lower() != chr(code)}
    capitals = {code: lower for code, lower in pairs.items() if len(lower) == 1 and not lower.isascii()}
    return capitals | {code: chr(code + 32) for code in range(ord("A"), ord("Z") + 1)}


LOWER = _lower_pairs()
CAPITALS: dict[str, str] = {}
for _code, _small in LOWER.items():
    CAPITALS[_small] = CAPITALS.get(_small, "") + chr(_code)


def fold(text: str) -> str:
    """The text in lower case, as both compilers compare it."""
    return text.lower() if text.isascii() else text.translate(LOWER)


class Span(msgspec.Struct, frozen=True):
    """An amount of time such as 7 days; `unit` is plural."""

    amount: int
    unit: str


class Times(msgspec.Struct, frozen=True):
    """The operand of "happened": `count` events of `kind` within the span `within`."""

    kind: str
    count: int
    within: Span


class Change(msgspec.Struct, frozen=True):
    """The operand of "changed": a change of `field` within the span `within`, from `old` to `new`. Both are
    folded text, a number, a boolean, a date or a moment, or an option; "" is empty, None matches any
    value."""

    field: str
    type: FieldType
    old: "ChangeOperand | None"
    new: "ChangeOperand | None"
    within: Span


ChangeOperand = str | Decimal | bool | date
Operand = None | str | Decimal | date | datetime | Span | UUID | Times | Change
Operands = tuple[Operand, ...]


def read(predicate: Predicate, fields: Fields) -> tuple[FieldSpec, Operands]:
    """The field and the typed operands of a predicate, as many as its operator takes. Raises FilterError with
    the path of the problem: "field", "op" or "value"."""
    spec = fields.get(predicate.field)
    if spec is None:
        raise FilterError({"field": unknown_field(predicate.field, fields)})
    if operator(spec, predicate.op) is None:
        raise FilterError(
            {"op": f"{spec.label} can't be compared with “{predicate.op.value}”. Choose another operator."}
        )
    try:
        if ARITY[predicate.op] is Arity.TIMES:
            return spec, (read_times(predicate.value, spec),)
        if ARITY[predicate.op] is Arity.CHANGE:
            return spec, (read_change(predicate, fields),)
        return spec, tuple(_read(item, predicate.op, spec) for item in _items(predicate))
    except ValueError as error:
        raise FilterError({"value": str(error)}) from None


def _items(predicate: Predicate) -> list[object]:
    arity, value = ARITY[predicate.op], predicate.value
    if arity is Arity.NONE:
        return []
    items: list[object] = list(value) if isinstance(value, list) else [] if value in (None, "") else [value]
    items = [item for item in items if item is not None and str(item).strip() != ""]
    if arity is Arity.TWO and len(items) != 2:
        raise ValueError("Enter two values: from and to.")
    if not items:
        raise ValueError("Choose at least one value." if arity is Arity.MANY else "Enter a value.")
    if arity in (Arity.ONE, Arity.SPAN) and len(items) > 1:
        raise ValueError("Enter one value, not a list.")
    if len(items) > MOST_VALUES:
        raise ValueError(f"Enter at most {MOST_VALUES} values.")
    return items


def _read(item: object, op: Op, spec: FieldSpec) -> Operand:
    if ARITY[op] is Arity.SPAN:
        return read_span(item, WHOLE_DAYS if op is Op.ANNIVERSARY_IN else UNITS[spec.type])
    return _READERS[spec.type](item, spec)


def read_text(item: object) -> str:
    """Text that both Python and the database can store; raises ValueError with a message."""
    if isinstance(item, bool) or not isinstance(item, str | int | float):
        raise ValueError("Enter text.")  # noqa: TRY004 -- one kind of error for all bad values
    text = str(item)
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"The text is longer than {LONGEST_TEXT} characters.")
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("The text contains a character that can't be stored.")
    return clean_text(text)


def read_span(item: object, units: tuple[str, ...]) -> Span:
    """An amount with its unit, "7 days" or "1 hour"."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*([a-z]+?)s?\s*", str(item), re.IGNORECASE | re.ASCII)
    choice = " or ".join([", ".join(units[:-1]), units[-1]])
    if match is None or f"{match[2].lower()}s" not in units:
        raise ValueError(f"Enter an amount and a unit, such as “7 days”. Units are {choice}.")
    if not 0 < int(match[1]) <= MOST_UNITS:
        raise ValueError(f"The amount must be between 1 and {MOST_UNITS}.")
    return Span(int(match[1]), f"{match[2].lower()}s")


def read_times(value: object, spec: FieldSpec) -> Times:
    """The kind of an event, a count and a period: ["tag.added", 3, "30 days"]. Raises ValueError with a
    message."""
    parts = list(value) if isinstance(value, list) else []
    if len(parts) != 3:
        raise ValueError("Enter three values: the event, how many times, and within what period.")
    kind, often, within = parts
    if str(kind) not in spec.options:
        close = nearest(str(kind), spec.options)
        hint = f" Did you mean “{close}”?" if close else " Choose one from the list."
        raise ValueError(f"There is no event “{str(kind)[:60]}”.{hint}")
    count = read_number(often)
    if not isinstance(count, int) or not 1 <= count <= MOST_TIMES:
        raise ValueError(f"The number of times must be a whole number from 1 to {MOST_TIMES}.")
    return Times(str(kind), count, read_span(within, UNITS[spec.type]))


_CHANGES = {
    Op.CHANGED: "Enter two values: the field, and within what period.",
    Op.CHANGED_TO: "Enter three values: the field, its new value, and within what period.",
    Op.CHANGED_FROM_TO: "Enter four values: the field, its old value, its new value, and within what period.",
}


def read_change(predicate: Predicate, fields: Fields) -> Change:
    """A field, its old and new value as far as the operator takes them, and the period: ["city", "Paris",
    "Rome", "30 days"]. Raises ValueError with a message."""
    parts: list[object] = list(predicate.value) if isinstance(predicate.value, list) else []
    if len(parts) != list(_CHANGES).index(predicate.op) + 2:
        raise ValueError(_CHANGES[predicate.op])
    key, *sides, within = parts
    spec = fields.get(str(key))
    if spec is None:
        raise ValueError(unknown_field(str(key), fields))
    if not spec.has_history:
        raise ValueError(f"Changes of {spec.label} aren't recorded. Choose another field.")
    old, new = [None, None, *(_read_operand(item, spec) for item in sides)][-2:]
    return Change(spec.key, spec.type, old, new, read_span(within, UNITS[FieldType.HISTORY]))


def _read_operand(item: object, spec: FieldSpec) -> ChangeOperand:
    """The old or new value of a change, in the form in which its field type is compared."""
    if item is None or str(item).strip() == "":
        return ""
    read = _CHANGE_READERS.get(spec.type)
    return read(item, spec) if read is not None else fold(read_text(item)).strip()


def _text(item: object, spec: FieldSpec) -> str:
    text = fold(read_text(item))
    if text.strip() == "":  # it had invisible characters only
        raise ValueError("Enter a value.")
    if spec.key == "country":
        return fold(country_code(text)) or text
    return normalize_email(text) or text.strip() if spec.key == "email" else text


def _number(item: object, spec: FieldSpec) -> Decimal:
    is_money = spec.type is FieldType.MONEY
    return Decimal(repr(read_money(item, spec.currency, exact=False) if is_money else read_number(item)))


_CHANGE_READERS: dict[FieldType, Callable[[object, FieldSpec], ChangeOperand]] = {
    **dict.fromkeys(NUMBER_TYPES, _number),
    FieldType.BOOLEAN: lambda item, spec: yes_or_no(str(item), spec),
    FieldType.DATE: lambda item, _spec: read_date(item).isoformat(),
    FieldType.DATETIME: lambda item, _spec: read_moment(item),
    FieldType.MULTI_SELECT: lambda item, spec: as_spelled(read_text(item).strip(), spec),
    FieldType.USER: lambda item, _spec: str(read_id(item, "a member")),
}


# Boolean operators take no value.
_READERS: dict[FieldType, Callable[[object, FieldSpec], Operand]] = {
    **dict.fromkeys(TEXT_TYPES, _text),
    **dict.fromkeys(NUMBER_TYPES, _number),
    FieldType.DATE: lambda item, _spec: read_date(item),
    FieldType.DATETIME: lambda item, _spec: read_moment(item),
    FieldType.SELECT: lambda item, _spec: read_text(item),
    FieldType.MULTI_SELECT: lambda item, _spec: read_text(item),
    FieldType.TAGS: lambda item, _spec: read_id(item, "a tag"),
    FieldType.USER: lambda item, _spec: read_id(item, "a member"),
    FieldType.SEGMENTS: lambda item, _spec: read_id(item, "a segment"),
    FieldType.WORKFLOWS: lambda item, _spec: read_id(item, "a workflow"),
}
