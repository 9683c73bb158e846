"""Every zone of the time zone database, at every change of its clock from 2020 to 2040: no rule strikes
twice, none is missed, and none comes before its time.

What is expected is said without the code that is tested: a rule's clock time strikes at the first instant at
which the zone's clock shows that time or a later one, counted from the pieces between its changes."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from app.engine.core.steps import Window
from app.engine.core.timing.cron import Cron
from app.engine.core.timing.recurrence import Weekly, date_instant, occurrences
from app.engine.core.timing.sending_window import next_opening

FROM, UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC)
AROUND = timedelta(hours=30)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
# From, until (excluded), offset.
Piece = tuple[datetime, datetime, timedelta]


def offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    difference = moment.astimezone(zone).utcoffset()
    assert difference is not None
    return difference


def pieces(zone: ZoneInfo) -> list[Piece]:
    """The stretches of constant offset: looked at every five days, the change in between found by halving."""
    stretches, start, at = [], FROM, FROM
    current = offset(zone, FROM)
    while at < UNTIL:
        later = at + 5 * DAY
        if offset(zone, later) != current:
            low, high = at, later
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                low, high = (middle, high) if offset(zone, middle) == current else (low, middle)
            stretches.append((start, high, current))
            start, current = high, offset(zone, high)
        at = later
    return [*stretches, (start, UNTIL, current)]


def first_shown(local: datetime, stretches: list[Piece]) -> datetime:
    """The first instant at which a clock shows this time or a later one. Clock times are written as UTC."""
    for start, end, ahead in stretches:
        if (moment := max(start, local - ahead)) < end:
            return moment
    raise AssertionError(f"{local} is not within {stretches}")


def clock_times(before: timedelta, after: timedelta, at: datetime) -> Iterator[str]:
    """Times of day, each with a daily rule: at the edges of what is left out or comes twice, inside of it, an
    hour around, and noon."""
    low, high = sorted(((at + before).replace(tzinfo=None), (at + after).replace(tzinfo=None)))
    middle = low + (high - low) / 2
    hour = 60 * MINUTE
    for moment in (
        low - hour,
        low - MINUTE,
        low,
        low + MINUTE,
        middle,
        high - MINUTE,
        high,
        high + MINUTE,
        high + hour,
    ):
        yield moment.strftime("%M %H * * *")
    yield "0 12 * * *"


@cache
def cron(text: str) -> Cron:
    return Cron(text)


@cache
def named(rule: Cron | Weekly, first: date, last: date) -> tuple[datetime, ...]:
    """Every clock time that a rule names from one day to another."""
    moments, at = [], datetime.combine(first, datetime.min.time()) - MINUTE
    while (following := rule.next_local(at)) is not None and following.date() <= last:
        moments.append(following.replace(tzinfo=UTC))
        at = following
    return tuple(moments)


def compare(rule: Cron | Weekly, zone: ZoneInfo, near: list[Piece], at: datetime, around: timedelta) -> int:
    """How many strikes were compared."""
    since, until = at - around, at + around
    fired = occurrences(rule, since, until, zone, 10_000)
    clock = named(rule, since.date() - DAY, until.date() + DAY)
    expected = sorted({moment for local in clock if since < (moment := first_shown(local, near)) <= until})
    assert fired == expected, (zone.key, at, fired, expected)
    assert all(local < other for local, other in pairwise(fired))
    return len(fired)


def windows(zone: ZoneInfo, at: datetime) -> int:
    """An enrollment passes only inside the window; one that waits passes when it opens."""
    for window in (
        Window(start="01:30", end="02:30"),
        Window(start="22:00", end="02:15"),
        Window(days=[0, 5]),
    ):
        for minutes in range(-180, 240, 60):
            moment = at + minutes * MINUTE
            opens = next_opening(window, moment, zone)
            assert moment <= opens < moment + 8 * DAY
            assert next_opening(window, opens, zone) == opens
            if opens > moment:
                assert next_opening(window, opens - timedelta(seconds=1), zone) == opens
    return 21


def test_every_clock_change_of_every_time_zone() -> None:
    cases = changes = 0
    compared: set[tuple[Piece, ...]] = set()
    quarter, weekly = cron("*/20 * * * *"), Weekly([0, 6], "02:30")
    zones = sorted(available_timezones())
    assert len(zones) > 400
    for name in zones:
        zone = ZoneInfo(name)
        stretches = pieces(zone)
        for place, ((_, at, before), (_, _, after)) in enumerate(pairwise(stretches)):
            changes += 1
            near = stretches[max(place - 1, 0) : place + 4]
            for text in clock_times(before, after, at):
                cases += compare(cron(text), zone, near, at, AROUND)
            cases += compare(quarter, zone, near, at, timedelta(hours=2))
            cases += compare(weekly, zone, near, at, AROUND)
            if tuple(stretches) not in compared:  # of several names for one clock only the first
                cases += windows(zone, at)
            day = (at + before).date()
            for ahead in (-1, 0, 1):
                local = datetime.combine(day + ahead * DAY, datetime.min.time(), UTC) + 150 * MINUTE
                assert date_instant(day.isoformat(), ahead, "02:30", zone) == first_shown(local, near)
                cases += 1
        compared.add(tuple(stretches))
    assert changes > 5_000
    assert cases >= 100_000
