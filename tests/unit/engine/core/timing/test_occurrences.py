"""Occurrences of schedules and dates: due, missed, and never a storm."""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from app.engine.core.timing.occurrences import due_occurrences, target_day, yearly_days
from app.engine.core.triggers import DateReached, Schedule
from tests.support.engine_kit import PARIS

MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)  # 09:00 in Paris


def at(*ago: float) -> list[datetime]:
    return [MONDAY - timedelta(days=days) for days in ago]


@pytest.mark.parametrize(
    ("missed", "last", "now", "run", "left_out"),
    [
        ("once", at(1)[0], MONDAY + timedelta(seconds=1), at(0), 0),
        ("skip", at(1)[0], MONDAY + timedelta(minutes=9), at(0), 0),
        ("skip", at(1)[0], MONDAY + timedelta(minutes=11), [], 1),
        ("once", at(1)[0], MONDAY + timedelta(minutes=11), at(0), 0),
        ("once", at(4)[0], MONDAY + timedelta(hours=2), at(0), 3),
        ("once", at(4)[0], MONDAY + timedelta(minutes=1), at(0), 3),
        ("skip", at(4)[0], MONDAY + timedelta(minutes=1), at(0), 3),
        ("all", at(4)[0], MONDAY + timedelta(hours=2), at(3, 2, 1, 0), 0),
        ("all", at(4)[0], MONDAY + timedelta(minutes=1), at(3, 2, 1, 0), 0),
        ("all", MONDAY, MONDAY + timedelta(hours=2), [], 0),
    ],
)
def test_missed_occurrences_follow_the_policy(
    missed: Any, last: datetime, now: datetime, run: list[datetime], left_out: int
) -> None:
    due = due_occurrences(Schedule(cron="0 9 * * *", missed=missed), last, now, PARIS)
    assert due.run == run
    assert due.left_out == left_out
    assert due.next_at == MONDAY + timedelta(days=1)
    assert due.last_at == max(last, MONDAY)


def test_a_year_of_missed_minutes_is_bounded_and_cheap() -> None:
    started = time.perf_counter()
    due = due_occurrences(
        Schedule(cron="* * * * *", missed="all"), MONDAY - timedelta(days=365), MONDAY, PARIS
    )
    assert time.perf_counter() - started < 2
    assert len(due.run) == 101  # a hundred that were missed, and the newest
    assert due.run == sorted(set(due.run))
    assert due.run[-1] == MONDAY
    assert due.more
    assert due.next_at == MONDAY + timedelta(minutes=1)


def test_the_newest_hundred_of_a_rule_that_clusters() -> None:
    due = due_occurrences(
        Schedule(cron="* 3 * 1 *", missed="all"), MONDAY - timedelta(days=800), MONDAY, PARIS
    )
    assert len(due.run) == 100
    assert due.more
    assert due.run[-1] == datetime(2026, 1, 31, 2, 59, tzinfo=UTC)
    assert due.run[-1] - due.run[0] > timedelta(days=1) - timedelta(hours=1)


@pytest.mark.parametrize(("missed", "run"), [("skip", 1), ("once", 1), ("all", 9)])
def test_of_a_rule_of_minutes_only_the_newest_is_not_missed(missed: Any, run: int) -> None:
    now = MONDAY + timedelta(seconds=30)
    due = due_occurrences(
        Schedule(cron="* * * * *", missed=missed), MONDAY - timedelta(minutes=9), now, PARIS
    )
    assert len(due.run) == run
    assert due.run[-1] == MONDAY
    assert (due.missed, due.left_out) == (8, 9 - run)


@pytest.mark.parametrize(
    ("missed", "late", "run"),
    [
        ("once", timedelta(hours=3), at(2, 1, 0)),
        ("once", timedelta(minutes=1), at(2, 1, 0)),
        ("skip", timedelta(hours=3), []),
        ("skip", timedelta(minutes=1), at(0)),
    ],
)
def test_every_missed_day_of_a_date_is_done_because_it_is_about_others(
    missed: Any, late: timedelta, run: list[datetime]
) -> None:
    trigger = DateReached(field="since", at="09:00", missed=missed)
    assert due_occurrences(trigger, at(3)[0], MONDAY + late, PARIS).run == run


def test_a_schedule_without_further_occurrences() -> None:
    assert (
        due_occurrences(Schedule(cron="0 9 30 2 *"), MONDAY, MONDAY + timedelta(days=9), PARIS).next_at
        is None
    )


def test_days_of_dates() -> None:
    daily = DateReached(field="since", offset=-3, at="09:00")
    due = due_occurrences(daily, at(1)[0], MONDAY + timedelta(seconds=1), PARIS)
    assert due.run == [MONDAY]
    assert target_day(daily, MONDAY, PARIS) == date(2026, 11, 26)
    assert target_day(DateReached(field="since"), datetime(2026, 11, 22, 23, 30, tzinfo=UTC), PARIS) == date(
        2026, 11, 23
    )
    assert target_day(DateReached(field="since", offset=366), datetime(1, 1, 1, 9, tzinfo=UTC), PARIS) is None


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 2, 28), ["02-28", "02-29"]),
        (date(2028, 2, 28), ["02-28"]),
        (date(2028, 2, 29), ["02-29"]),
        (date(2026, 3, 1), ["03-01"]),
    ],
)
def test_anniversaries_of_29_february(day: date, expected: list[str]) -> None:
    assert yearly_days(day) == expected
