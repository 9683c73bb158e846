"""What a filter uses once each segment in it is replaced by that segment's own filter: its size, its fields,
its history, and whether time alone can change its result."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from uuid import UUID

import msgspec

from app.filters.ast import ARITY, TIMED, Arity, Filter, FilterError, Predicate, predicates
from app.filters.change_predicates import CONTACT_UPDATED
from app.filters.fields import UNITS, Fields, FieldType
from app.filters.values import read_span

DEEPEST_SEGMENTS = 5
MOST_UNFOLDED = 1000
Filters = Mapping[UUID, Filter | None]
_LONGEST_UNIT = {
    "minutes": timedelta(minutes=1),
    "hours": timedelta(hours=1),
    "days": timedelta(days=1),
    "weeks": timedelta(weeks=1),
    "months": timedelta(days=31),
    "years": timedelta(days=366),
}
_CLOCK_CHANGES = timedelta(days=2)  # some zones have skipped whole days
_LONGEST = timedelta(days=100 * 366)  # older than any event, and still a valid date when subtracted from now

CYCLE_MESSAGE = "These segments refer to each other in a loop."
UNREADABLE = "A segment's filter can't be read. Save that segment's filter again."
TOO_DEEP = f"Segments can be nested at most {DEEPEST_SEGMENTS} levels deep."
TOO_LARGE = f"With its segments, this filter has more than {MOST_UNFOLDED} conditions. Make it smaller."


class Size(msgspec.Struct, frozen=True):
    """`conditions` includes those of all nested segments; `depth` is 0 without segments."""

    conditions: int
    depth: int


def named_segments(predicate: Predicate) -> list[UUID]:
    """The ids in a condition on segments or workflows; invalid ids are skipped."""
    values = predicate.value if isinstance(predicate.value, list) else [predicate.value]
    segments = []
    for value in values:
        try:
            segments.append(UUID(str(value)))
        except ValueError:
            continue
    return segments


def segments_in(expression: Filter | None) -> set[UUID]:
    """The segments that a filter names itself, not those inside them."""
    return {
        segment
        for predicate in predicates(expression)
        if predicate.field == FieldType.SEGMENTS.value
        for segment in named_segments(predicate)
    }


def size_of(expression: Filter | None, filters: Filters) -> Size:
    """The size of a filter with its segments. Raises FilterError (path "") when a segment contains itself or
    the nesting is too deep."""
    return _size(expression, filters, {}, ())


def _size(
    expression: Filter | None, filters: Filters, sizes: dict[UUID, Size], inside: tuple[UUID, ...]
) -> Size:
    conditions, depth = 0, 0
    for predicate in predicates(expression):
        conditions += 1
        if predicate.field != FieldType.SEGMENTS.value:
            continue
        for segment in named_segments(predicate):
            if segment in inside:
                raise FilterError({"": CYCLE_MESSAGE})
            if len(inside) >= DEEPEST_SEGMENTS:
                raise FilterError({"": TOO_DEEP})
            if segment not in sizes:
                sizes[segment] = _size(filters.get(segment), filters, sizes, (*inside, segment))
            conditions += sizes[segment].conditions
            depth = max(depth, sizes[segment].depth + 1)
    return Size(conditions, depth)


def used_fields(expression: Filter | None, fields: Fields) -> set[str]:
    """The keys of all fields that a filter tests, including those of its segments."""
    return {predicate.field for predicate in _all_predicates(expression, fields)}


def changing_field(predicate: Predicate) -> str:
    """The key of the field whose changes a condition tests; "" for every other condition."""
    if ARITY[predicate.op] is not Arity.CHANGE or not isinstance(predicate.value, list):
        return ""
    return str(predicate.value[0]) if predicate.value else ""


class UsedHistory(msgspec.Struct, frozen=True):
    """The part of a contact's history that filters read: events of these `kinds`, at most `within` old, and
    changes of these `fields`. False when they read no history."""

    kinds: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    within: timedelta = timedelta()

    def __bool__(self) -> bool:
        return bool(self.kinds)

    def __or__(self, other: "UsedHistory") -> "UsedHistory":
        return UsedHistory(
            self.kinds | other.kinds, self.fields | other.fields, max(self.within, other.within)
        )


def used_history(expression: Filter | None, fields: Fields) -> UsedHistory:
    """The history that a valid filter and its segments read."""
    history = UsedHistory()
    for predicate in _all_predicates(expression, fields):
        if predicate.field == FieldType.HISTORY.value and isinstance(predicate.value, list):
            first, *_, within = map(str, predicate.value)
            changing = changing_field(predicate)
            history |= UsedHistory(
                frozenset({CONTACT_UPDATED if changing else first}),
                frozenset({changing} if changing else ()),
                _longest(within),
            )
    return history


def asks_time(expression: Filter | None, fields: Fields) -> bool:
    """Whether time alone can change the result of a filter or of its segments."""
    return any(predicate.op in TIMED for predicate in _all_predicates(expression, fields))


def _longest(text: str) -> timedelta:
    """The longest duration of a span such as "3 months", in any zone and year."""
    span = read_span(text, UNITS[FieldType.HISTORY])
    return min(span.amount * _LONGEST_UNIT[span.unit] + _CLOCK_CHANGES, _LONGEST)


def _all_predicates(expression: Filter | None, fields: Fields) -> Iterator[Predicate]:
    spec = fields.get(FieldType.SEGMENTS.value)
    filters: Filters = spec.filters if spec is not None else {}
    visited: set[UUID] = set()
    return _walk(expression, filters, visited)


def _walk(expression: Filter | None, filters: Filters, visited: set[UUID]) -> Iterator[Predicate]:
    for predicate in predicates(expression):
        yield predicate
        if predicate.field == FieldType.SEGMENTS.value:
            for segment in named_segments(predicate):
                if segment not in visited:
                    visited.add(segment)
                    yield from _walk(filters.get(segment), filters, visited)
