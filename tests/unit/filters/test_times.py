"""Local times and instants in every time zone, across daylight saving time."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.filters.times import day_start, instant, shift, shift_day

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        ("Europe/Paris", "2026-07-01T12:00", "2026-07-01T10:00"),
        ("Europe/Paris", "2026-03-29T02:30", "2026-03-29T01:00"),  # does not exist: the first minute after
        ("Europe/Paris", "2026-10-25T02:30", "2026-10-25T00:30"),  # comes twice: the first of them
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30"),  # a gap of half an hour
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00"),  # a day that never was
    ],
)
def test_local_times_become_instants(zone: str, local: str, expected: str) -> None:
    moment = instant(datetime.fromisoformat(local), ZoneInfo(zone))
    assert moment == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("UTC", "2026-11-24", "2026-11-24T00:00"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00"),  # no midnight: the day starts at one
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00"),
        ("America/Havana", "2026-11-01", "2026-11-01T04:00"),
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30"),  # the gap begins half an hour before midnight
    ],
)
def test_days_start(zone: str, day: str, expected: str) -> None:
    start = day_start(date.fromisoformat(day), ZoneInfo(zone))
    assert start == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@given(st.sampled_from(sorted(available_timezones())), st.dates(date(2020, 1, 1), date(2040, 12, 31)))
def test_an_instant_is_never_before_its_local_time(name: str, day: date) -> None:
    zone = ZoneInfo(name)
    for minutes in (0, 90, 150, 720):
        local = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minutes)
        there = instant(local, zone).astimezone(zone).replace(tzinfo=None)
        assert there >= local
        assert there - local <= timedelta(hours=24)
    start = day_start(day, zone)
    assert start.astimezone(zone).date() >= day
    assert (start - timedelta(seconds=1)).astimezone(zone).date() < day


def test_a_day_keeps_the_clock_and_an_hour_does_not() -> None:
    before = datetime(2026, 3, 7, 17, 0, tzinfo=UTC)  # noon in New York, the day before summer time
    assert shift(before, 1, "days", NEW_YORK) == datetime(2026, 3, 8, 16, 0, tzinfo=UTC)
    assert shift(before, 24, "hours", NEW_YORK) == datetime(2026, 3, 8, 17, 0, tzinfo=UTC)


def test_months_stay_within_the_month_and_the_calendar() -> None:
    assert shift_day(date(2026, 1, 31), 1, "months") == date(2026, 2, 28)
    assert shift_day(date(2024, 2, 29), -1, "years") == date(2023, 2, 28)
    assert shift_day(date(2026, 1, 31), 10_000, "years") == date.max
    assert shift_day(date(2026, 1, 31), -10_000, "months") == date(1192, 9, 30)
    assert shift(datetime(2026, 1, 31, tzinfo=UTC), -10_000, "years", NEW_YORK).year == 1
