"""Generated filters and contacts over the fields of `stories`: edges first (empty, capitals, DST, years)."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from app.filters.ast import ARITY, Arity, Filter, Group, Op, Predicate
from app.filters.facts import UTC_ZONE
from app.filters.field_values import stored_moment
from app.filters.fields import (
    CHOICE_TYPES,
    NUMBER_TYPES,
    OPERATORS,
    TEXT_TYPES,
    UNITS,
    FieldSpec,
    FieldType,
)
from app.filters.phone_conditions import PHONES
from app.filters.values import WHOLE_DAYS
from app.stored_text import clean_text
from tests.support.engine_kit import (
    ANN,
    BEN,
    BUDGET,
    FIELDS,
    GONE,
    GUIDE,
    LIKES,
    MEMBER,
    MET,
    MOTTO,
    NOW,
    PLAN,
    RENEWAL,
    SCORE,
    SEGMENTS,
    SINCE,
    TAGS,
    WELCOME,
)

ZONES = [
    ZoneInfo(name) for name in ("UTC", "Europe/Paris", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia")
]
# Kelvin sign, dotted capital I, both sigmas and the long s fold differently in other places.
WORDS = [
    "CA",
    "ca",
    "São Paulo",
    "SÃO PAULO",
    "straße",
    "STRASSE",
    "ΣΑΣ",
    "σας",
    "İz",
    "K",
    "k",
    "ſ",
    "%_",
    "a,b",
]
NUMBERS = [
    "+14152933313",
    "(415) 293-3313",
    "001 415",
    "+442079460000",
    "020 7946 0000",
    "0612345678",
    "293-33",
]
MOMENTS = [
    NOW,
    NOW - timedelta(days=7),
    NOW + timedelta(microseconds=1),
    datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
    datetime(2018, 11, 4, 3, 0, tzinfo=UTC),
    datetime(2011, 12, 30, 10, 0, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 0, tzinfo=UTC),
    datetime(2025, 2, 28, 23, 30, tzinfo=UTC),
    datetime(2025, 3, 1, 0, 30, tzinfo=UTC),
]
DAYS = [NOW.date() + timedelta(days=shift) for shift in (-366, -31, -7, -1, 0, 1, 7)] + [
    date(1, 1, 1),
    date(2024, 2, 28),
    date(2024, 2, 29),
    date(2024, 3, 1),
    date.max,
]
# Where the year turns, and where February ends: in a leap year and in another one.
NOWS = [
    NOW,
    datetime(2027, 2, 28, 12, 0, tzinfo=UTC),
    datetime(2028, 2, 29, 0, 30, tzinfo=UTC),
    datetime(2028, 2, 28, 23, 30, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 30, tzinfo=UTC),
]
KINDS = ["tag.added", "contact.updated", "note.added"]
THINGS = {
    FieldType.TAGS: sorted(TAGS),
    FieldType.USER: [str(ANN), str(BEN)],
    FieldType.SEGMENTS: [*map(str, SEGMENTS), str(GONE)],
    FieldType.WORKFLOWS: [str(WELCOME), str(RENEWAL)],
}

# The fields whose changes are asked about, with few values of each, so that what is asked for happens too.
CHANGING: dict[str, list[Any]] = {
    "city": ["SÃO, %", "são, %", "K"],
    "owner": [str(ANN), str(BEN)],
    f"custom.{MOTTO}": ["ΣΑΣ", "σας", "5"],
    f"custom.{PLAN}": ["free", "pro"],
    f"custom.{SINCE}": ["2024-02-29", "2026-11-24"],
    f"custom.{SCORE}": [5, 5.5, -0.0],
    f"custom.{MEMBER}": [True, False],
    f"custom.{BUDGET}": [5, 12.5],
    f"custom.{MET}": ["2026-11-24T09:30:00Z", "2024-02-29T23:30:00Z"],
    f"custom.{GUIDE}": [str(ANN), str(BEN)],
    f"custom.{LIKES}": [["tea"], ["milk, oat", "tea"], ["Tea cake"]],
}
STATUSES = st.sampled_from(["active", "completed", "exited"])
# At the edges of spans before each `now`, to the microsecond, and in between.
HAPPENED = st.builds(
    lambda now, shift, tick: now - shift + timedelta(microseconds=tick),
    st.sampled_from(NOWS),
    st.sampled_from([timedelta(0), timedelta(minutes=1), timedelta(hours=2), timedelta(days=7)]),
    st.sampled_from([-1, 0, 1]),
)
texts = st.sampled_from(WORDS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6
).filter(lambda text: clean_text(text).strip() != "")
numbers: st.SearchStrategy[Any] = (
    st.sampled_from([0, -0.0, 0.1, 0.30000000000000004, 5, 5.5, 10**15, -1e15, 5e-324])
    | st.integers(-20, 20)
    | st.floats(-1e6, 1e6)
)
days = st.sampled_from(DAYS) | st.dates(date(2026, 10, 1), date(2027, 1, 31))
moments = st.sampled_from(MOMENTS) | st.timedeltas(timedelta(days=-60), timedelta(days=60)).map(
    lambda shift: NOW + shift
)


def _values(spec: FieldSpec, *, for_condition: bool = False) -> st.SearchStrategy[Any]:
    """One value that a contact holds, or with `asked` one of a predicate, as a form carries it."""
    if spec.type in TEXT_TYPES:
        return st.sampled_from(NUMBERS) | texts if spec.key in PHONES else texts
    if spec.type in NUMBER_TYPES:
        held = numbers if spec.type is FieldType.NUMBER else numbers.filter(lambda number: abs(number) < 1e13)
        return held | st.integers(-20, 20).map(str) if for_condition else held
    if spec.type in CHOICE_TYPES:
        several = spec.type is FieldType.MULTI_SELECT and not for_condition
        return _chosen(spec.options) if several else st.sampled_from(spec.options)
    if spec.type in THINGS:
        return st.sampled_from(THINGS[spec.type])
    if spec.type is FieldType.DATE:
        return days.map(date.isoformat)
    return _written_moments if for_condition else moments.map(lambda moment: stored_moment(moment, UTC_ZONE))


_written_moments = (
    days.map(date.isoformat).filter(lambda day: "1900" < day < "2200")
    | moments.map(lambda moment: moment.replace(tzinfo=None).isoformat(timespec="microseconds"))
    | moments.map(datetime.isoformat)
)


def _chosen(options: Sequence[str]) -> st.SearchStrategy[list[str]]:
    return st.sets(st.sampled_from(options), min_size=1).map(
        lambda chosen: [option for option in options if option in chosen]
    )


@st.composite
def predicates(draw: st.DrawFn) -> Predicate:
    """A predicate that `check` accepts."""
    # What happened is asked about in more ways than any field: it comes as often as six of them.
    spec = draw(st.sampled_from([*FIELDS.values(), *[FIELDS["history"]] * 5]))
    op: Op = draw(st.sampled_from([operator.op for operator in OPERATORS[spec.type]]))
    arity = ARITY[op]
    if arity is Arity.NONE:
        return Predicate(spec.key, op)
    if arity is Arity.SPAN:
        unit = draw(st.sampled_from(WHOLE_DAYS if op is Op.ANNIVERSARY_IN else UNITS[spec.type]))
        return Predicate(spec.key, op, f"{draw(st.sampled_from([1, 2, 7, 31, 10_000]))} {unit}")
    if arity is Arity.TIMES:
        unit = draw(st.sampled_from(UNITS[spec.type]))
        often = draw(st.integers(1, 3))
        return Predicate(
            spec.key, op, [draw(st.sampled_from(KINDS)), often, f"{draw(st.integers(1, 7))} {unit}"]
        )
    if arity is Arity.CHANGE:
        return Predicate(spec.key, op, draw(_changes(op)))
    if arity is Arity.ONE:
        return Predicate(spec.key, op, draw(_values(spec, for_condition=True)))
    size = (2, 2) if arity is Arity.TWO else (1, 3)
    return Predicate(
        spec.key, op, draw(st.lists(_values(spec, for_condition=True), min_size=size[0], max_size=size[1]))
    )


@st.composite
def _changes(draw: st.DrawFn, op: Op) -> list[Any]:
    """The value of a condition on a change, as a form or JSON would carry it."""
    key = draw(st.sampled_from(list(CHANGING)))
    values = [value[0] if isinstance(value, list) else value for value in CHANGING[key][:2]]
    side = st.sampled_from(["", *values])
    sides = [draw(side) for _ in range([Op.CHANGED, Op.CHANGED_TO, Op.CHANGED_FROM_TO].index(op))]
    unit = draw(st.sampled_from(UNITS[FieldType.HISTORY]))
    return [key, *sides, f"{draw(st.sampled_from([1, 7, 90, 1000]))} {unit}"]


def filters() -> st.SearchStrategy[Filter]:
    """A predicate alone, or groups nested up to three deep."""
    leaves: st.SearchStrategy[Filter] = predicates()
    either = st.sampled_from(["all", "any"])
    inner: st.SearchStrategy[Filter] = leaves | st.builds(Group, either, st.lists(leaves, max_size=2))
    nested: st.SearchStrategy[Filter] = leaves | st.builds(Group, either, st.lists(inner, max_size=3))
    return leaves | st.builds(Group, either, st.lists(nested, min_size=1, max_size=4))


def _held(spec: FieldSpec) -> st.SearchStrategy[Any]:
    """What a contact holds in a built-in field."""
    if spec.type is FieldType.USER:
        return _values(spec)
    return st.sampled_from(["a@x.test", "ca"]) if spec.key == "email" else texts


@st.composite
def _events(draw: st.DrawFn) -> tuple[str, datetime, dict[str, Any]]:
    """(kind, at, changes); some values are empty, and some of another type than the field is today."""
    kind = draw(st.sampled_from([*KINDS, "contact.updated"]))
    if kind != "contact.updated":
        return kind, draw(HAPPENED), {}
    keys = draw(st.lists(st.sampled_from(list(CHANGING)), max_size=5, unique=True))
    value = {key: st.sampled_from([None, *CHANGING[key], *CHANGING[key], 5, True]) for key in keys}
    return kind, draw(HAPPENED), {key: [draw(value[key]), draw(value[key])] for key in keys}


@st.composite
def contacts(draw: st.DrawFn) -> dict[str, Any]:
    """A contact as {"columns": …, "custom": {field id: value}, "tags": […], "enrollments": [(workflow,
    status)], "events": [(kind, at, changes)]}, much of it empty. Emails are small letters, as they are
    stored."""
    columns: dict[str, Any] = {"created_at": draw(moments), "updated_at": draw(moments)}
    custom: dict[str, Any] = {}
    for spec in FIELDS.values():
        if not spec.is_printable or spec.key in columns:
            continue
        if spec.key.endswith("_consent"):
            columns[spec.key] = draw(st.sampled_from(spec.options))
            continue
        if draw(st.booleans()):
            continue
        if spec.custom_id is None:
            columns[spec.key] = draw(_held(spec))
        elif spec.type is FieldType.BOOLEAN:
            custom[spec.custom_id] = draw(st.booleans())
        else:
            custom[spec.custom_id] = draw(_values(spec))
    return {
        "columns": columns,
        "custom": custom,
        "tags": draw(st.sets(st.sampled_from(sorted(TAGS)))),
        "enrollments": draw(st.lists(st.tuples(st.sampled_from([WELCOME, RENEWAL]), STATUSES), max_size=2)),
        "events": draw(st.lists(_events(), max_size=4)),
    }
