"""Recurrence rules in local time, and the instants of their occurrences.

A rule names local clock times. Its instant in a zone is the clock time itself; when the clock skips it, the
first instant after the gap; when the clock shows it twice, the first of the two. This mapping is monotonic:
instants have the order of the clock times, and two clock times in the same gap fire once."""

import calendar
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from app.filters.field_values import moment_of, read_date
from app.filters.times import day_start, instant

ONE_DAY = timedelta(days=1)
LAST_YEAR = 9990


class Rule(Protocol):
    """`next_local` returns the first clock time (naive) of the rule strictly after another one, or None."""

    def next_local(self, after: datetime) -> datetime | None: ...


def next_after(rule: Rule, moment: datetime, zone: ZoneInfo) -> datetime | None:
    """The first instant (UTC) strictly after `moment` at which the rule fires; None when it never does.

    Starts at the clock time of `moment` and skips instants that have passed: in a repeated hour later clock
    times may be earlier instants."""
    local = moment.astimezone(zone).replace(tzinfo=None, fold=0)
    while (next_local := rule.next_local(local)) is not None:
        occurrence = instant(next_local, zone)
        if occurrence > moment:
            return occurrence
        local = next_local
    return None


def occurrences(rule: Rule, after: datetime, until: datetime, zone: ZoneInfo, limit: int) -> list[datetime]:
    """The instants (UTC) at which the rule fires, later than `after` and not later than `until`: the oldest
    `limit` of them, in order."""
    moments: list[datetime] = []
    while len(moments) < limit:
        occurrence = next_after(rule, moments[-1] if moments else after, zone)
        if occurrence is None or occurrence > until:
            break
        moments.append(occurrence)
    return moments


def time_of_day(at: str) -> time:
    """The time of day of text such as 09:30; "" is midnight."""
    return time(int(at[:2]), int(at[3:])) if at else time.min


def at_local(day: date, at: str, zone: ZoneInfo) -> datetime:
    """The instant of a local time of a day; without a time the first instant of the day."""
    return instant(datetime.combine(day, time_of_day(at)), zone) if at else day_start(day, zone)


def date_instant(value: object, offset: int, at: str, zone: ZoneInfo) -> datetime | None:
    """The instant that lies `offset` days after the date that a field holds (ISO text or an aware datetime,
    whose local day counts), at the local time `at`; None where it holds none or the calendar ends. Without a
    time it is that of a custom date-and-time field, else the first instant of the day."""
    day = day_of(value, zone)
    if day is None:
        return None
    try:
        day += timedelta(days=offset)
    except OverflowError:
        return None
    if not 1 < day.year < LAST_YEAR:
        return None
    if not at and isinstance(value, str) and (moment := moment_of(value)):
        return instant(datetime.combine(day, moment.astimezone(zone).time()), zone)
    return at_local(day, at, zone)


def day_of(value: object, zone: ZoneInfo) -> date | None:
    """The day that a field's value names."""
    moment = moment_of(value)
    if moment is not None:
        return moment.astimezone(zone).date()
    try:
        return read_date(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _clipped(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


class Weekly:
    """On some weekdays (Monday is 0) at a local time."""

    def __init__(self, weekdays: Iterable[int], at: str) -> None:
        self.weekdays, self.at = frozenset(weekdays), time_of_day(at)

    def next_local(self, after: datetime) -> datetime | None:
        if after.year >= LAST_YEAR:
            return None
        for ahead in range(8):
            day = after.date() + ahead * ONE_DAY
            candidate = datetime.combine(day, self.at)
            if candidate > after and day.weekday() in self.weekdays:
                return candidate
        return None


class Monthly:
    """On one day of each month, the last where a month is shorter, at a local time."""

    def __init__(self, month_day: int, at: str) -> None:
        self.month_day, self.at = month_day, time_of_day(at)

    def next_local(self, after: datetime) -> datetime | None:
        year, month = after.year, after.month
        while year < LAST_YEAR:
            candidate = datetime.combine(_clipped(year, month, self.month_day), self.at)
            if candidate > after:
                return candidate
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return None


class Either:
    """The occurrences of any of several rules."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules

    def next_local(self, after: datetime) -> datetime | None:
        candidates = [candidate for rule in self.rules if (candidate := rule.next_local(after)) is not None]
        return min(candidates, default=None)
