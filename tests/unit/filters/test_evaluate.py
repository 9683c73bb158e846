"""Evaluating filters on the facts about a contact."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.filters.ast import ARITY, Filter, FilterError, Group, Op, Predicate, Value
from app.filters.evaluate import compile_filter
from app.filters.fields import OPERATORS
from app.filters.parse import describe, filter_problems, parse, to_items
from app.filters.values import fold
from tests.support.engine_kit import (
    COLD,
    FIELDS,
    LATE,
    NOW,
    PARIS,
    SCORE,
    TAGS,
    VIP,
    ask,
    contact_facts,
    either,
    every,
)
from tests.support.filter_cases import filters

PLAN = FIELDS["custom.00000000-0000-0000-0000-00000000000e"].key
SINCE = FIELDS["custom.00000000-0000-0000-0000-00000000000d"].key
MEMBER = FIELDS["custom.00000000-0000-0000-0000-00000000000c"].key
POINTS = f"custom.{SCORE}"


def holds(condition: Filter, now: datetime = NOW, **person: object) -> bool:
    return compile_filter(condition, FIELDS)(contact_facts(**person), now)  # type: ignore[arg-type]  # -- any value


@pytest.mark.parametrize(
    ("op", "value", "city", "expected"),
    [
        ("is", "paris", "PARIS", True),
        ("is", "São Paulo", "SÃO PAULO", True),
        ("is", "paris", None, False),
        ("is_not", "paris", None, True),
        ("is_not", "paris", "Paris", False),
        ("contains", "ARI", "Paris", True),
        ("not_contains", "x", None, True),
        ("starts", "pa", "Paris", True),
        ("ends", "IS", "Paris", True),
        ("in", ["Rome", "paris"], "Paris", True),
        ("in", ["Rome"], None, False),
        ("empty", None, None, True),
        ("empty", None, "", True),
        ("not_empty", None, "x", True),
    ],
)
def test_text(op: str, value: Value, city: str | None, expected: bool) -> None:
    assert holds(ask("city", op, value), city=city) is expected


def test_email_is_compared_as_it_is_stored() -> None:
    assert holds(ask("email", "is", "  Ann@Example.COM "), email="ann@example.com")


@pytest.mark.parametrize(
    ("op", "value", "score", "expected"),
    [
        ("eq", "5", 5, True),
        ("eq", 5, 5.0, True),
        ("eq", "0.1", 0.1, True),
        ("eq", 5, None, False),
        ("ne", 5, None, True),
        ("gt", 5, 5, False),
        ("ge", 5, 5, True),
        ("lt", 5, None, False),
        ("le", "5", 4.5, True),
        ("between", ["1", "5"], 5, True),
        ("between", [1, 5], 0, False),
        ("empty", None, True, True),
        ("not_empty", None, 0, True),
    ],
)
def test_number(op: str, value: Value, score: object, expected: bool) -> None:
    assert holds(ask(POINTS, op, value), score=score) is expected


@pytest.mark.parametrize(
    ("value", "truths"), [(True, "true"), (False, "false"), (None, "unknown"), (1, "unknown")]
)
def test_boolean(value: object, truths: str) -> None:
    assert [op for op in ("true", "false", "unknown") if holds(ask(MEMBER, op), member=value)] == [truths]


def test_select_and_tags() -> None:
    assert holds(ask(PLAN, "any_of", ["pro", "team"]), plan="pro")
    assert holds(ask(PLAN, "none_of", ["pro"]), plan=None)
    both = {VIP, COLD}
    assert holds(ask("tags", "all_of", [str(VIP), str(COLD)]), tags=both)
    assert not holds(ask("tags", "all_of", [str(VIP), str(LATE)]), tags=both)
    assert holds(ask("tags", "any_of", [str(VIP), str(LATE)]), tags=both)
    assert holds(ask("tags", "none_of", [str(LATE)]), tags=both)
    assert holds(ask("tags", "empty"))
    assert holds(ask("tags", "not_empty"), tags=both)


@pytest.mark.parametrize(
    ("op", "value", "true", "false"),
    [
        ("on", "2026-11-24", ["2026-11-24"], ["2026-11-23", None]),
        ("before", "2026-11-24", ["2026-11-23"], ["2026-11-24", None]),
        ("after", "2026-11-24", ["2026-11-25"], ["2026-11-24", None]),
        ("between", ["2026-11-01", "2026-11-24"], ["2026-11-01", "2026-11-24"], ["2026-11-25"]),
        ("today", None, ["2026-11-24"], ["2026-11-25", None]),
        ("yesterday", None, ["2026-11-23"], ["2026-11-24"]),
        ("tomorrow", None, ["2026-11-25"], ["2026-11-24"]),
        ("in_last", "7 days", ["2026-11-17", "2026-11-24"], ["2026-11-16", "2026-11-25", None]),
        ("in_next", "1 month", ["2026-11-24", "2026-12-24"], ["2026-12-25"]),
        ("more_than_ago", "7 days", ["2026-11-16"], ["2026-11-17", None]),
        ("empty", None, [None], ["2026-11-16"]),
    ],
)
def test_date(op: str, value: Value, true: list[str | None], false: list[str | None]) -> None:
    condition = ask(SINCE, op, value)
    assert [day for day in true + false if holds(condition, since=day)] == true


def test_days_of_an_instant_are_days_of_the_accounts_zone() -> None:
    late = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    assert holds(ask("created_at", "on", "2026-11-25"), created_at=late, zone=PARIS)
    assert holds(ask("created_at", "on", "2026-11-24"), created_at=late, zone=ZoneInfo("America/New_York"))
    assert holds(ask("created_at", "today"), now=late, created_at=late, zone=PARIS)
    assert holds(ask("created_at", "in_last", "2 hours"), created_at=NOW - timedelta(hours=2))
    assert not holds(ask("created_at", "in_last", "2 hours"), created_at=NOW - timedelta(hours=2, seconds=1))
    assert holds(
        ask("created_at", "more_than_ago", "2 hours"), created_at=NOW - timedelta(hours=2, seconds=1)
    )
    assert holds(ask("created_at", "before", "2026-11-24T10:31"), created_at=NOW, zone=PARIS)
    assert not holds(ask("created_at", "before", "2026-11-24T10:30"), created_at=NOW, zone=PARIS)


def test_the_remembered_range_follows_clock_and_zone() -> None:
    match = compile_filter(ask("created_at", "today"), FIELDS)
    facts = contact_facts(created_at=NOW)
    assert match(facts, NOW)
    assert match(facts, NOW)
    assert not match(facts, NOW + timedelta(days=1))
    facts.zone = ZoneInfo("Pacific/Kiritimati")
    assert match(facts, NOW)
    assert not match(facts, NOW - timedelta(hours=24))


def test_groups() -> None:
    condition, two = ask("city", "is", "Rome"), ask("state", "is", "CA")
    assert holds(every(condition, two), city="rome", state="ca")
    assert not holds(every(condition, two), city="rome")
    assert holds(either(condition, two), city="rome")
    assert holds(every())
    assert not holds(either())
    assert holds(every(condition, either(two, condition), condition), city="Rome")


def test_problems_name_the_place_and_the_nearest_field() -> None:
    condition = every(
        ask("first_nam", "is", "x"),
        ask("city", "gt", "3"),
        either(ask("created_at", "on", "2026-02-30"), ask(POINTS, "eq", "many")),
        ask("tags", "any_of", [str(VIP), "nonsense"]),
        ask(SINCE, "in_last", "3 hours"),
        ask(PLAN, "any_of", ["gold"]),
        ask("city", "is"),
        ask(POINTS, "between", ["1"]),
        ask("city", "is", "nul\0"),
        ask("custom.gone", "is", "x"),
    )
    problems = filter_problems(condition, FIELDS, TAGS)
    assert problems["items.0.field"] == "There is no field “first_nam”. Did you mean “first_name”?"
    assert set(problems) == {
        "items.0.field",
        "items.1.op",
        "items.2.items.0.value",
        "items.2.items.1.value",
        *(f"items.{index}.value" for index in range(3, 9)),
        "items.9.field",
    }
    with pytest.raises(FilterError):
        compile_filter(condition, FIELDS)


def test_a_filter_nested_too_deeply_is_refused() -> None:
    deep: Group = every()
    for _ in range(20_000):
        deep = every(deep)
    assert "deep" in filter_problems(deep, FIELDS)[""]


def test_a_removed_option_is_refused_only_when_saving() -> None:
    gone = ask(PLAN, "any_of", ["gold", "pro"])
    became = ask("history", "changed_to", [PLAN, "Gold", "7 days"])
    for condition in (gone, became):
        assert "has no option" in filter_problems(condition, FIELDS)["value"]
    assert filter_problems(ask("history", "changed_to", [PLAN, "PRO", "7 days"]), FIELDS) == {}
    assert holds(gone, plan="pro")
    assert not holds(gone, plan="free")
    assert not holds(became, plan="gold")


def test_a_tag_that_is_gone_and_a_filter_without_end() -> None:
    assert "no longer exists" in filter_problems(ask("tags", "any_of", [str(VIP)]), FIELDS, {})["value"]
    deep: Group = every()
    for _ in range(8):
        deep = every(deep)
    assert "deep" in " ".join(filter_problems(deep, FIELDS).values())
    assert "at most" in filter_problems(every(*[ask("city", "empty")] * 101), FIELDS)[""]


@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "1_000", "٣", "9" * 16, "--1", True])
def test_invalid_numbers_are_refused(value: Value) -> None:
    assert "value" in filter_problems(ask(POINTS, "eq", value), FIELDS)


@given(filters())
def test_every_filter_survives_the_url_and_json(condition: Group) -> None:
    match, items = to_items(condition)
    assert to_items(parse(items, match)) == (match, items)
    back = msgspec.json.decode(msgspec.json.encode(condition), type=Group | Predicate)
    assert back == condition
    assert filter_problems(parse(items, match), FIELDS) == {} == filter_problems(condition, FIELDS)
    assert describe(condition, FIELDS, TAGS)


def test_the_url_form() -> None:
    condition = parse(
        ["state:is:CA", "city:in:a%2Cb,c%25", "", "website:is:https://x.y/?a=b:c", "tags:empty"], "any"
    )
    assert condition == either(
        ask("state", "is", "CA"),
        ask("city", "in", ["a,b", "c%"]),
        ask("website", "is", "https://x.y/?a=b:c"),
        ask("tags", "empty"),
    )
    with pytest.raises(FilterError) as caught:
        parse(["state:contain:CA", "nothing", '{"type": 1}'], "some")
    assert set(caught.value.problems) == {"f.0", "f.1", "f.2", "match"}
    assert "Did you mean “contains”" in caught.value.problems["f.0"]


def test_a_sentence() -> None:
    condition = every(ask("state", "is", "CA"), ask("tags", "any_of", [str(VIP)]))
    assert describe(condition, FIELDS, TAGS) == "State is CA and Tags include any of vip"
    nested = either(condition, ask(POINTS, "between", [1, 5]), ask("city", "is_not", "Rome"))
    assert (
        describe(nested, FIELDS, TAGS)
        == "(State is CA and Tags include any of vip) or Score is between 1 and 5 or City is not Rome"
    )
    assert describe(None, FIELDS) == "All contacts"


def test_every_operator_of_every_type_compiles() -> None:
    offered = {op.op for operators in OPERATORS.values() for op in operators}
    assert offered == set(Op) == set(ARITY)


@given(st.text(max_size=20))
def test_fold_is_stable_and_keeps_length(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert len(fold(text)) == len(text)


def test_a_day_ends_where_the_next_begins() -> None:
    midnight = datetime(2026, 11, 25, 23, 0, tzinfo=UTC)  # in Paris
    condition = ask("created_at", "on", "2026-11-25")
    assert not holds(condition, created_at=midnight, zone=PARIS)
    assert holds(condition, created_at=midnight - timedelta(microseconds=1), zone=PARIS)
    assert holds(ask("created_at", "after", "2026-11-25"), created_at=midnight, zone=PARIS)
