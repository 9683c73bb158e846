"""When a snoozed or repeated task is due."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from app.tasks.domain import Repeat, Snooze, next_due, snoozed_until

NEW_YORK = ZoneInfo("America/New_York")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("choice", "due"),
    [
        ("later", "2026-11-30T07:30"),
        ("tomorrow", "2026-11-30T14:00"),  # it is still Sunday in New York
        ("next_week", "2026-11-30T14:00"),
    ],
)
def test_snooze_counts_days_in_the_members_zone(choice: Snooze, due: str) -> None:
    assert snoozed_until(choice, utc("2026-11-30T04:30:21"), NEW_YORK) == utc(due)


def test_next_week_is_never_today() -> None:
    assert snoozed_until("next_week", utc("2026-11-30T15:00"), NEW_YORK) == utc("2026-12-07T14:00")


@pytest.mark.parametrize(
    ("repeats", "first", "after", "due"),
    [
        ("daily", "2026-03-06T14:00", "2026-03-07T14:00", "2026-03-08T13:00"),  # nine o'clock on both days
        ("weekly", "2026-11-25T14:00", "2026-11-25T14:00", "2026-12-02T14:00"),
        ("weekly", "2026-11-25T14:00", "2026-12-10T00:00", "2026-12-16T14:00"),  # missed ones are skipped
        ("monthly", "2026-01-31T14:00", "2026-01-31T14:00", "2026-02-28T14:00"),
        ("monthly", "2026-01-31T14:00", "2026-02-28T14:00", "2026-03-31T13:00"),  # the 31st again
        ("daily", "2026-11-30T03:00", "2026-11-30T03:00", "2026-12-01T03:00"),  # ten in the evening
    ],
)
def test_repeated_task_keeps_its_local_time(repeats: Repeat, first: str, after: str, due: str) -> None:
    assert next_due(repeats, utc(first), NEW_YORK, utc(after)) == utc(due)


@pytest.mark.parametrize("repeats", ["daily", "weekly", "monthly"])
def test_repetition_ends_with_the_calendar(repeats: Repeat) -> None:
    last = utc("9999-12-30T12:00")
    assert next_due(repeats, last, NEW_YORK, last) is None
