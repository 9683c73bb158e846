"""Standing still while time passes: filters that ask for the time, dates that change, events not matched
yet."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from app.engine.core.advance import advance
from app.engine.core.draft import WorkflowSettings
from app.engine.core.steps import MET, TIMEOUT, AddTag, Goal, SendEmail, StepConfig, Unit, Wait, WaitFor
from app.engine.core.types import EffectState, StepContext
from app.filters.ast import Filter
from tests.support.engine_kit import (
    COLD,
    LATE,
    NEW,
    NOW,
    SENT,
    SINCE,
    TEXANS,
    VIP,
    DrivenEnrollment,
    ask,
    contact_facts,
    either,
    every,
    program,
)

DAY = f"custom.{SINCE}"
SOON = ask(DAY, "in_next", "3 days")
QUARTER = timedelta(minutes=15)
FAR = Wait(amount=30, unit=Unit.DAYS)
BOTH: dict[str, list[StepConfig]] = {MET: [AddTag(tag=COLD)], TIMEOUT: [AddTag(tag=LATE)]}
DATED = Wait(mode="date_field", field=DAY, at="12:00", past="exit")
MAIL = SendEmail(subject="Hi", body="Welcome")


def test_a_goal_that_turns_true_by_time_alone() -> None:
    driven = DrivenEnrollment(
        program(FAR, Goal(filter=SOON), AddTag(tag=COLD)), contact_facts(since="2026-12-05")
    )
    first = driven.go()
    assert (first.due_at, first.wait_until) == (NOW + QUARTER, NOW + timedelta(days=30))
    again = driven.go(minutes=15)
    assert (again.moved, again.due_at) == (False, NOW + 2 * QUARTER)
    driven.go(days=8)
    assert driven.path == [(1, "s1", "skipped"), (2, "s2", "met"), (3, "s3", "done")]


def test_a_condition_that_turns_true_by_time_alone() -> None:
    waits = WaitFor(mode="condition", filter=every(either(SOON)), amount=30, unit=Unit.DAYS)
    driven = DrivenEnrollment(program((waits, BOTH)), contact_facts(since="2026-12-05"))
    assert driven.go().due_at == NOW + QUARTER
    driven.go(days=9)
    assert COLD in driven.facts.tags


def test_a_contact_who_stops_matching_as_time_passes_exits() -> None:
    stays = WorkflowSettings(leave_when_unmatched=True)
    driven = DrivenEnrollment(
        program(FAR, AddTag(tag=COLD), entry=SOON, settings=stays), contact_facts(since="2026-11-25")
    )
    assert driven.go().due_at == NOW + QUARTER
    assert driven.go(days=2).status.value == "exited"


@pytest.mark.parametrize(
    ("condition", "looked_at"),
    [
        (ask("tags", "any_of", [str(VIP)]), False),
        (ask(DAY, "before", "2027-01-01"), False),
        (ask("segments", "any_of", [str(TEXANS)]), False),
        (ask(DAY, "today"), True),
        (ask(DAY, "anniversary_in", "7 days"), True),
        (ask("history", "happened", ["tag.added", 1, "7 days"]), True),
    ],
)
def test_only_time_dependent_filters_are_rechecked(condition: Filter, looked_at: bool) -> None:
    driven = DrivenEnrollment(program(FAR, Goal(filter=condition)), contact_facts())
    first = driven.go()
    assert first.due_at == (NOW + QUARTER if looked_at else first.wait_until)


def test_rechecks_of_many_contacts_are_spread_out() -> None:
    running = program(FAR, Goal(filter=SOON))
    looks = set()
    for number in range(1000):
        state = replace(NEW, id=UUID(int=number))
        decision = advance(running, state, contact_facts(), NOW, StepContext())
        assert decision.due_at is not None
        looks.add(decision.due_at - NOW)
    assert min(looks) > 0.75 * QUARTER
    assert max(looks) == QUARTER
    assert len(looks) > 200


def test_the_last_recheck_is_at_the_end_of_the_wait() -> None:
    driven = DrivenEnrollment(program(Wait(amount=20, unit=Unit.MINUTES), Goal(filter=SOON)), contact_facts())
    driven.go()
    assert driven.go(minutes=15).due_at == NOW + timedelta(minutes=20)


# Dates that change


def noon(day: int) -> datetime:
    return datetime(2026, 12, day, 11, tzinfo=UTC)  # in Paris


def test_a_postponed_date_prolongs_the_wait() -> None:
    """Also when no event reported it before the old date came."""
    driven = DrivenEnrollment(program(DATED, AddTag(tag=COLD)), contact_facts(since="2026-12-10"))
    first = driven.go()
    assert (first.wait_until, first.due_at) == (noon(10), NOW + timedelta(days=1))
    driven.facts.values[DAY] = "2026-12-20"
    driven.now = noon(10)
    assert driven.go().wait_until == noon(20)
    driven.now = noon(20)
    driven.go()
    assert driven.path == [(1, "s1", "passed"), (2, "s1", "passed"), (3, "s2", "done")]


@pytest.mark.parametrize(
    ("became", "left"), [("2026-12-01", noon(1)), ("2026-11-01", "past_window"), (None, "past_window")]
)
def test_an_earlier_past_or_cleared_date_ends_the_wait(became: Any, left: Any) -> None:
    driven = DrivenEnrollment(program(DATED, AddTag(tag=COLD)), contact_facts(since="2026-12-10"))
    driven.go()
    driven.facts.values[DAY] = became
    after = driven.go(hours=1)
    assert left in (after.wait_until, after.exit_reason)


def test_a_skipped_date_wait_does_not_resume_when_the_date_changes() -> None:
    driven = DrivenEnrollment(program(DATED, AddTag(tag=COLD)), contact_facts(since="2026-12-10"))
    driven.state = waiting_until(driven, NOW)
    driven.go(woken=True)
    assert driven.path == [(1, "s1", "passed"), (2, "s2", "done")]


def waiting_until(driven: DrivenEnrollment, moment: datetime) -> Any:
    """As if a person had ended the wait of the first step."""
    driven.go()
    return replace(driven.state, wait_until=moment)


def test_a_wait_for_a_moment_follows_the_zone_of_the_account() -> None:
    driven = DrivenEnrollment(program(Wait(mode="until", until="2026-12-01T09:00")), contact_facts())
    assert driven.go().wait_until == datetime(2026, 12, 1, 8, tzinfo=UTC)
    driven.facts.zone = ZoneInfo("America/New_York")
    assert driven.go(days=1).wait_until == datetime(2026, 12, 1, 14, tzinfo=UTC)


# Events


@pytest.mark.parametrize(
    ("event", "about", "steps", "met"),
    [
        ("email.delivered", "", [MAIL], True),
        ("email.delivered", "", [MAIL, AddTag(tag=VIP)], True),
        ("email.bounced", "", [MAIL], False),
        ("tag.added", str(VIP), [MAIL, AddTag(tag=VIP)], False),
        ("email.delivered", "", [AddTag(tag=VIP)], False),
    ],
)
def test_event_wait_counts_the_delivery_of_the_preceding_email(
    event: str, about: str, steps: list[StepConfig], met: bool
) -> None:
    """The mail server has taken it before the wait can begin."""
    waits = WaitFor(mode="event", event=event, about=about)
    driven = DrivenEnrollment(program(*steps, (waits, BOTH)), contact_facts(email="a@x.test"))
    driven.go()
    if MAIL in steps:
        driven.go(SENT)
    assert (COLD in driven.facts.tags) == met
    assert met or driven.state.wait_reason == "event"


@pytest.mark.parametrize("since", ["2026-12-05", "2027-01-05"])
def test_the_delivery_counts_while_the_filter_holds(since: str) -> None:
    waits = WaitFor(mode="event", event="email.delivered", filter=ask(DAY, "before", "2027-01-01"))
    driven = DrivenEnrollment(program(MAIL, (waits, BOTH)), contact_facts(email="a@x.test", since=since))
    driven.go()
    driven.go(SENT)
    assert (COLD in driven.facts.tags) == (since < "2027")


def test_event_wait_ignores_an_email_that_was_not_sent() -> None:
    waits = WaitFor(mode="event", event="email.delivered")
    driven = DrivenEnrollment(program(MAIL, (waits, BOTH)), contact_facts(email="a@x.test"))
    driven.go()
    assert driven.go(EffectState("skipped", error="No consent.")).wait_reason == "event"


@pytest.mark.parametrize(("seconds", "waits_on"), [(-1, True), (0, True), (1, False)])
def test_no_wait_for_an_event_is_over_before_what_happened_in_time_is_matched(
    seconds: int, waits_on: bool
) -> None:
    around = StepContext()
    waits = WaitFor(mode="event", event="tag.added", amount=1, unit=Unit.HOURS)
    driven = DrivenEnrollment(program((waits, BOTH)), contact_facts(), around)
    over = driven.go().wait_until
    assert over is not None
    around.unmatched_since = over + timedelta(seconds=seconds)
    late = driven.go(hours=2)
    assert late.moved is not waits_on
    if waits_on:
        assert late.due_at == driven.now + timedelta(seconds=30), "an hour behind"
        driven.go(woken=True, seconds=30)
        assert COLD in driven.facts.tags
    else:
        assert LATE in driven.facts.tags
