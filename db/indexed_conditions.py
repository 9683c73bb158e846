"""Conditions that an index answers, for filters that compare text in ways that none does. They may match more
contacts, never fewer: a filter asks for both.

PostgreSQL may use an index for them under row-level security, because the functions of `=` and `<` are
leakproof, and that of LIKE is marked so by `db/bootstrap.sql` (docs/adr/0010-lists-of-a-million.md)."""

import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Protocol

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Double,
    Text,
    and_,
    any_,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    true,
)

from app.filters.ast import Op
from app.filters.fields import FieldSpec
from app.filters.phone_conditions import (
    COUNTRY_CODES,
    PHONES,
    SHORTEST_NATIONAL,
    SIGNS,
    PhoneOperand,
    digits_of,
    operand_of,
)
from app.filters.search_text import folded, pattern_within
from app.filters.values import CAPITALS

Clause = ColumnElement[bool]
KEYED = ("email", "company", "city", "state")  # their keys are columns
SEARCHED = (
    "first_name",
    "last_name",
    "email",
    "company",
    "phone",
    "phone2",
    "city",
    "website",
    "external_id",
)
MOST_PATTERNS = 10
_YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = "\U0010ffff"  # the end of all texts with a beginning


class Columns(Protocol):
    """The columns of contacts, by name."""

    def __getitem__(self, name: str) -> ColumnElement[str]: ...


def indexed(wider: Clause | None, clause: Clause) -> Clause:
    """A condition and a wider one that an index answers, if there is one."""
    return unindexed(clause) if wider is None else and_(wider, unindexed(clause))


def unindexed(clause: Clause) -> Clause:
    """A condition that no index answers and of whose values PostgreSQL knows nothing. For a comparison it
    would assume that hardly any contact matches, and read all of them to sort those; of CASE it assumes
    that half of them do, and reads the list in its order."""
    return case((clause, true()), else_=false())


def has_no_text(columns: Columns, spec: FieldSpec) -> Clause | None:
    """Contacts that may have no text in this field; None when no index has it."""
    if spec.key not in KEYED:
        return None
    key = columns[f"{spec.key}_key"]
    return or_(key.is_(None), key == "")


def may_match(columns: Columns, spec: FieldSpec, op: Op, texts: Sequence[str]) -> Clause | None:
    """Contacts that may match a comparison with these texts; None when no index helps."""
    if op not in (Op.IS, Op.IN, Op.STARTS, Op.CONTAINS, Op.ENDS) or not all(map(_has_stable_key, texts)):
        return None
    if spec.key in PHONES:
        return _may_have_digits(columns, texts)
    if spec.key in KEYED and op in (Op.IS, Op.IN, Op.STARTS):
        keys = [folded(text) for text in texts]
        return _by_key(columns[f"{spec.key}_key"], op, keys)
    if spec.key not in SEARCHED:
        return None
    starts = op is Op.STARTS
    return _within(columns, [pattern_within(text, starts=starts) for text in texts])


def _may_have_digits(columns: Columns, texts: Sequence[str]) -> Clause | None:
    operands = [operand_of(text) for text in texts]
    spellings = [
        digits
        for text, operand in zip(texts, operands, strict=True)
        for digits in (operand.digits if operand else [digits_of(text)])
    ]
    return _within(columns, [pattern_within(digits) for digits in spellings])


def may_be_number(columns: Columns, spec: FieldSpec, op: Op, values: Sequence[float]) -> Clause | None:
    """Contacts whose value in an indexed field may match; None when no index helps. The column has the
    nearest float of a number, so it may equal a limit that the number passes."""
    if not spec.slot or op in (Op.NE, Op.EMPTY):
        return None
    value = columns[f"value_{spec.slot}"]
    if op is Op.NOT_EMPTY:
        return value.is_not(None)
    first: ColumnElement[float] = literal(values[0], Double())
    tests: dict[Op, Callable[[], Clause]] = {
        Op.EQ: lambda: value == first,
        Op.GT: lambda: value >= first,
        Op.GE: lambda: value >= first,
        Op.LT: lambda: value <= first,
        Op.LE: lambda: value <= first,
        Op.BETWEEN: lambda: and_(value >= first, value <= literal(values[1], Double())),
    }
    return tests[op]()


def may_be_day(columns: Columns, spec: FieldSpec, first: str, last: str) -> Clause | None:
    """Contacts whose day in an indexed field may be in this span of YYYY-MM-DD."""
    if not spec.slot:
        return None
    value = columns[f"value_{spec.slot}"]
    return and_(
        value >= literal(_day_number(first, date.min), Double()),
        value <= literal(_day_number(last, date.max), Double()),
    )


def may_be_moment(
    columns: Columns, spec: FieldSpec, start: datetime | None, end: datetime | None
) -> Clause | None:
    """Contacts whose moment in an indexed field may be from `start` to `end`."""
    if not spec.slot:
        return None
    value = columns[f"value_{spec.slot}"]
    limits: list[Clause] = [value.is_not(None)]
    if start is not None:
        limits.append(value >= literal((start - _YEAR_2000).total_seconds() - 1, Double()))
    if end is not None:
        limits.append(value <= literal((end - _YEAR_2000).total_seconds() + 1, Double()))
    return and_(*limits)


def _day_number(day: str, unlimited: date) -> float:
    try:
        number = date.fromisoformat(day)
    except ValueError:
        number = unlimited
    return float((number - date(2000, 1, 1)).days)


def _within(columns: Columns, patterns: Sequence[str | None]) -> Clause | None:
    likes = [columns["search"].like(pattern) for pattern in patterns if pattern is not None]
    return or_(*likes) if 0 < len(likes) == len(patterns) <= MOST_PATTERNS else None


def _by_key(column: ColumnElement[str], op: Op, keys: list[str]) -> Clause | None:
    if op is Op.STARTS:
        return and_(column >= keys[0], column < keys[0] + _LAST) if keys[0] else None
    return column == keys[0] if len(keys) == 1 else column == any_(literal(keys, ARRAY(Text)))


def phone_matches(
    phone: ColumnElement[str], op: Op, texts: Sequence[str], same: Callable[[str], Clause]
) -> Clause:
    """What `app.filters.phone_conditions.matches` says of each text, or `same` for a text that is no
    number."""
    number = func.translate(phone, SIGNS, "")
    positive = {Op.IS_NOT: Op.IS, Op.NOT_CONTAINS: Op.CONTAINS}.get(op, op)
    clauses: list[Clause] = []
    for text in texts:
        operand = operand_of(text)
        if operand is None:
            clauses.append(same(text))
            continue
        clauses += [_number_matches(number, phone, positive, digits, operand) for digits in operand.digits]
    return or_(*clauses) if op is positive else not_(or_(*clauses))


def _number_matches(
    number: ColumnElement[str], phone: ColumnElement[str], op: Op, digits: str, operand: PhoneOperand
) -> Clause:
    if op is Op.CONTAINS:
        return func.strpos(number, digits) > 0
    ends = func.right(number, len(digits)) == digits
    if op is Op.ENDS:
        return ends
    if op is Op.STARTS:
        starts: Clause = func.left(number, len(digits)) == digits
        if not operand.national:
            return starts
        within = [func.substr(number, length + 1, len(digits)) == digits for length in COUNTRY_CODES]
        return or_(starts, and_(func.left(phone, 1) == "+", or_(*within)))
    whole = operand.national and len(digits) >= SHORTEST_NATIONAL
    return or_(number == digits, ends) if whole else number == digits


def _has_stable_key(text: str) -> bool:
    """Whether the key of each text with this one inside, in whatever case, has the key of this one inside.
    Some marks, as those of Hebrew, stand in another order among others."""
    if any(map(unicodedata.combining, folded(text))):
        return False
    return all(folded(capital) == folded(char) for char in set(text) for capital in CAPITALS.get(char, ""))
