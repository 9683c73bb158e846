"""Conditions on what is related to a contact: segments, workflows, history, members, yearly days."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from app.engine.core import events
from app.filters.analysis import UsedHistory, size_of, used_fields, used_history
from app.filters.ast import Filter, FilterError, Group, Op, Predicate
from app.filters.evaluate import compile_filter
from app.filters.event_kinds import EVENT_KINDS
from app.filters.facts import ContactWorkflows, Facts, Happened
from app.filters.fields import NO_NAMES, AccountNames, field_catalog
from app.filters.parse import describe, filter_problems, parse
from app.filters.ranges import anniversaries, anniversary_instants
from app.filters.values import Span
from tests.support.engine_kit import (
    ANN,
    FIELDS,
    NOW,
    OURS,
    PARIS,
    SEGMENTS,
    TEXANS,
    WELCOME,
    ask,
    contact_facts,
    every,
)


def holds(condition: Filter, facts: Facts, now: datetime = NOW) -> bool:
    assert filter_problems(condition, FIELDS) == {}
    return compile_filter(condition, FIELDS)(facts, now)


def test_a_segment_stands_for_its_filter() -> None:
    texan, other = contact_facts(state="CA"), contact_facts(state="NY")
    inside = ask("segments", Op.ANY_OF, [str(TEXANS)])
    assert (holds(inside, texan), holds(inside, other)) == (True, False)
    outside = ask("segments", Op.NONE_OF, [str(TEXANS)])
    assert (holds(outside, texan), holds(outside, other)) == (False, True)
    ours = ask("segments", Op.ANY_OF, [str(OURS)])
    assert holds(ours, texan)
    texan.history = [Happened("tag.added", NOW)] * 2
    assert not holds(ours, texan)


def test_a_deleted_segment_matches_no_contact_and_is_reported() -> None:
    gone = ask("segments", Op.ANY_OF, [str(UUID(int=9))])
    assert filter_problems(gone, FIELDS) == {
        "value": "A segment of this condition no longer exists. Choose another."
    }
    assert not compile_filter(gone, FIELDS)(contact_facts(), NOW)
    assert filter_problems(gone, field_catalog()) == {}, "the engine knows no names and asks for none"


def chain(length: int) -> dict[UUID, Filter]:
    """Each segment asks for the next."""
    conditions = [ask("segments", Op.ANY_OF, [str(UUID(int=number + 1))]) for number in range(length)]
    return dict(zip((UUID(int=number) for number in range(length)), conditions, strict=True))


def test_segment_cycles_and_depth_are_refused() -> None:
    round_trip = chain(3) | {UUID(int=2): ask("segments", Op.ANY_OF, [str(UUID(int=0))])}
    with pytest.raises(FilterError, match="loop"):
        size_of(round_trip[UUID(int=0)], round_trip)
    with pytest.raises(FilterError, match="loop"):
        compile_filter(round_trip[UUID(int=0)], field_catalog(named=AccountNames(filters=round_trip)))
    assert size_of(chain(5)[UUID(int=0)], chain(5)).depth == 5
    with pytest.raises(FilterError, match="deep"):
        size_of(chain(6)[UUID(int=0)], chain(6))


def test_size_of_a_filter_with_its_segments() -> None:
    """Twice as many on each level: without an end of it the statement would not fit anywhere."""
    filters: dict[UUID, Filter] = {UUID(int=0): every(*[ask("city", "is", "x")] * 80)}
    for number in range(1, 5):
        condition = ask("segments", Op.ANY_OF, [str(UUID(int=number - 1))])
        filters[UUID(int=number)] = every(condition, condition)
    fields = field_catalog(named=AccountNames(filters=filters))
    fits = ask("segments", Op.ANY_OF, [str(UUID(int=3))])
    assert filter_problems(fits, fields) == {}
    assert size_of(fits, filters).conditions == 1 + 2 + 4 + 8 + 8 * 80
    assert "more than 1000" in filter_problems(ask("segments", Op.ANY_OF, [str(UUID(int=4))]), fields)[""]


def test_fields_used_by_nested_segments_are_found() -> None:
    condition = every(ask("city", "is", "x"), ask("segments", Op.ANY_OF, [str(OURS)]))
    assert used_fields(condition, FIELDS) == {"city", "segments", "state", "tags", "owner", "history"}


def test_only_needed_history_is_read() -> None:
    """A span is not longer than said, whatever months, leap years and changes of clocks it has."""
    inside = every(ask("history", Op.CHANGED_TO, ["city", "Rome", "3 months"]))
    fields = field_catalog(named=AccountNames(filters={OURS: inside}))
    condition = every(
        ask("history", Op.HAPPENED, ["tag.added", 2, "7 days"]), ask("segments", Op.ANY_OF, [str(OURS)])
    )
    queried = used_history(condition, fields)
    assert (set(queried.kinds), set(queried.fields)) == ({"tag.added", "contact.updated"}, {"city"})
    assert timedelta(days=92) <= queried.within <= timedelta(days=95)
    assert used_history(ask("city", "is", "x"), fields) == UsedHistory()
    forever = used_history(ask("history", Op.HAPPENED, ["tag.added", 1, "10000 years"]), fields)
    assert NOW - forever.within < NOW - timedelta(days=36_500)


@pytest.mark.parametrize(
    ("op", "true"),
    [
        (Op.ACTIVE_IN, {"active"}),
        (Op.NOT_ACTIVE_IN, {"completed", "never"}),
        (Op.EVER_IN, {"active", "completed"}),
        (Op.NEVER_IN, {"never"}),
        (Op.COMPLETED, {"completed"}),
        (Op.NOT_COMPLETED, {"active", "never"}),
    ],
)
def test_workflows(op: Op, true: set[str]) -> None:
    people = {
        "active": ContactWorkflows({WELCOME}, {WELCOME}, set()),
        "completed": ContactWorkflows(set(), {WELCOME}, {WELCOME}),
        "never": ContactWorkflows(),
    }
    condition = ask("workflows", op, [str(WELCOME)])
    assert {name for name, been in people.items() if holds(condition, Facts(workflows=been))} == true


def test_history_counts_within_its_time() -> None:
    condition = ask("history", Op.HAPPENED, ["tag.added", 2, "7 days"])
    edge, late = NOW - timedelta(days=7), NOW + timedelta(microseconds=1)
    for moments, expected in (
        ([NOW, edge], True),
        ([NOW, edge - timedelta(microseconds=1)], False),
        ([NOW, late], False),
        ([NOW], False),
    ):
        facts = Facts(history=[Happened("tag.added", moment) for moment in moments])
        facts.history.append(Happened("note.added", NOW))
        assert holds(condition, facts) is expected
        assert holds(ask("history", Op.NOT_HAPPENED, condition.value), facts) is not expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("tag.added", "three values"),
        (["tag.added", 3], "three values"),
        (["tag.aded", 3, "7 days"], "Did you mean “tag.added”?"),
        (["tag.added", 0, "7 days"], "whole number from 1 to 1000"),
        (["tag.added", 1.5, "7 days"], "whole number"),
        (["tag.added", "many", "7 days"], "Enter a number"),
        (["tag.added", 1, "soon"], "Enter an amount and a unit"),
    ],
)
def test_invalid_history_conditions_are_refused(
    value: list[bool | int | float | str] | str, message: str
) -> None:
    assert message in filter_problems(ask("history", Op.HAPPENED, value), FIELDS)["value"]


def test_history_conditions_offer_every_event_kind() -> None:
    kinds = {value for name, value in vars(events).items() if name.isupper() and isinstance(value, str)}
    assert set(EVENT_KINDS) <= kinds


def test_owners() -> None:
    ann, unowned = contact_facts(owner=str(ANN)), contact_facts()
    assert holds(ask("owner", Op.IS, str(ANN)), ann)
    assert not holds(ask("owner", Op.ANY_OF, [str(ANN)]), unowned)
    assert holds(ask("owner", Op.UNASSIGNED), unowned)
    assert holds(ask("owner", Op.ASSIGNED), ann)
    assert "Choose a member" in filter_problems(ask("owner", Op.IS, "Ann"), FIELDS)["value"]


@pytest.mark.parametrize(
    ("now", "span", "true", "false"),
    [
        ("2027-02-28", None, ["2000-02-28", "2000-02-29", "2030-02-28"], ["2000-02-27", "2000-03-01"]),
        ("2028-02-28", None, ["2000-02-28"], ["2000-02-29"]),
        ("2028-02-29", None, ["2000-02-29"], ["2000-02-28", "2000-03-01"]),
        ("2027-03-01", None, ["1999-03-01"], ["2000-02-29"]),
        ("2026-12-30", "7 days", ["2000-12-30", "2000-01-06"], ["2000-01-07", "2000-12-29"]),
        ("2027-02-25", "3 days", ["2000-02-28", "2000-02-29"], ["2000-03-01"]),
        ("2027-02-25", "14 months", ["2000-02-24", "2000-12-31"], []),
    ],
)
def test_anniversaries(now: str, span: str | None, true: list[str], false: list[str]) -> None:
    moment = datetime.fromisoformat(f"{now}T12:00:00+00:00")
    condition = ask("since", Op.ANNIVERSARY) if span is None else ask("since", Op.ANNIVERSARY_IN, span)
    key = next(spec.key for spec in FIELDS.values() if spec.slug == "since")
    match = compile_filter(Predicate(key, condition.op, condition.value), FIELDS)
    assert [day for day in true + false if match(contact_facts(since=day), moment)] == true
    # An instant of that day says the same: noon in Paris.
    created = ask("created_at", condition.op, condition.value)
    days = [day for day in true + false if "1995" < day < now]
    noons = {day: datetime.fromisoformat(f"{day}T11:00:00+00:00") for day in days}
    matching_days = [
        day for day, noon in noons.items() if holds(created, contact_facts(created_at=noon), moment)
    ]
    assert matching_days == [day for day in true if day in days]


def test_anniversaries_of_the_whole_calendar_have_two_ends() -> None:
    far = anniversaries(Op.ANNIVERSARY_IN, (Span(10_000, "months"),), NOW, PARIS)
    assert far == (("01-01", "12-31"),)
    spans = anniversary_instants(Op.ANNIVERSARY, (), NOW, PARIS)
    assert all(start < end for start, end in spans)
    assert spans[0][0] == datetime(1990, 11, 23, 23, 0, tzinfo=UTC)
    assert date(1990, 1, 1).year == spans[0][0].year


def test_sentences() -> None:
    items = {
        f"segments:any_of:{TEXANS}": "Segments in any of Texans",
        f"workflows:never_in:{WELCOME}": "Workflows never in any of Welcome",
        f"owner:is:{ANN}": "Owner is Ann",
        "owner:unassigned": "Owner is unassigned",
        "history:happened:tag.added,3,30 days": (
            "History happened at least 3 times in the last 30 days: Tag added"
        ),
        "created_at:more_than_ahead:2 days": "Created is further ahead than 2 days",
        "email_consent:any_of:granted,unknown": "Email consent is any of granted, unknown",
        f"segments:any_of:{UUID(int=9)}": "Segments in any of (a segment that no longer exists)",
    }
    for item, sentence in items.items():
        assert describe(parse([item]), FIELDS) == sentence


def test_catalog_of_an_empty_account() -> None:
    assert field_catalog(named=NO_NAMES)["segments"].filters == {}
    assert compile_filter(Group("all", []), field_catalog())(contact_facts(), NOW)
    assert set(SEGMENTS) == set(FIELDS["segments"].filters)
