"""Date operators as ranges. Both compilers, Python and SQL, use them, so their results cannot differ.

`days` gives ranges of dates, `instants` ranges of moments, and `anniversaries` ranges of days in a year."""

from calendar import isleap, monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from app.filters.ast import Op
from app.filters.times import day_start, instant, shift, shift_day
from app.filters.values import Operands, Span

T = TypeVar("T")
Days = tuple[str, str]
Instants = tuple[datetime | None, datetime | None]

# ISO dates sort as text; these two sort before and after all of them.
BEFORE_ALL, AFTER_ALL = "", "~"
TICK = timedelta(microseconds=1)
FIRST_YEAR = 1990
_RELATIVE = {Op.TODAY: 0, Op.YESTERDAY: -1, Op.TOMORROW: 1}


def days(op: Op, values: Operands, now: datetime, zone: ZoneInfo) -> Days:
    """First and last day, inclusive, as ISO text. Spans count whole days and include today: "in the last
    7 days" and "longer ago than 7 days" together cover all of the past."""
    today = now.astimezone(zone).date()
    if op in _RELATIVE:
        day = shift_day(today, _RELATIVE[op], "days").isoformat()
        return day, day
    first = values[0]
    if isinstance(first, Span):
        return _days_of(op, first, today)
    day = _day(first).isoformat()
    if op is Op.BEFORE:
        return BEFORE_ALL, _day_before(_day(first))
    if op is Op.AFTER:
        # This text is longer than the day itself, so it sorts after the day and before the next one.
        return day + AFTER_ALL, AFTER_ALL
    return day, _day(values[-1]).isoformat()


def _days_of(op: Op, span: Span, today: date) -> Days:
    if op is Op.IN_NEXT:
        return today.isoformat(), shift_day(today, span.amount, span.unit).isoformat()
    if op is Op.MORE_THAN_AHEAD:
        # Sorts after the day, as in `days`.
        return shift_day(today, span.amount, span.unit).isoformat() + AFTER_ALL, AFTER_ALL
    edge = shift_day(today, -span.amount, span.unit)
    return (edge.isoformat(), today.isoformat()) if op is Op.IN_LAST else (BEFORE_ALL, _day_before(edge))


def _day(value: object) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    raise TypeError(value)


def _day_before(day: date) -> str:
    return BEFORE_ALL if day == date.min else (day - timedelta(days=1)).isoformat()


def inside(moment: datetime, start: datetime | None, end: datetime | None) -> bool:
    """Whether the moment lies within the range, which comes from `instants`."""
    return (start is None or start <= moment) and (end is None or moment < end)


def instants(op: Op, values: Operands, now: datetime, zone: ZoneInfo) -> Instants:
    """Start (inclusive) and end (exclusive) in UTC; None is open. Whole days are days in `zone`."""
    if op in _RELATIVE:
        return _whole_day(shift_day(now.astimezone(zone).date(), _RELATIVE[op], "days"), zone)
    first = values[0]
    if isinstance(first, Span):
        return _instants_of(op, first, now, zone)
    start, end = _moment(first, zone)
    if op is Op.BEFORE:
        return None, start
    if op is Op.AFTER:
        return end, None
    return start, _moment(values[-1], zone)[1]


def _instants_of(op: Op, span: Span, now: datetime, zone: ZoneInfo) -> Instants:
    if op is Op.IN_NEXT:
        return now, shift(now, span.amount, span.unit, zone) + TICK
    if op is Op.MORE_THAN_AHEAD:
        return shift(now, span.amount, span.unit, zone) + TICK, None
    edge = shift(now, -span.amount, span.unit, zone)
    return (edge, now + TICK) if op is Op.IN_LAST else (None, edge)


def _moment(value: object, zone: ZoneInfo) -> tuple[datetime, datetime]:
    if isinstance(value, datetime):
        moment = value if value.tzinfo else instant(value, zone)
        return moment, moment + TICK
    return _whole_day(_day(value), zone)


def _whole_day(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    return day_start(day, zone), day_start(shift_day(day, 1, "days"), zone)


def anniversaries(op: Op, values: Operands, now: datetime, zone: ZoneInfo) -> tuple[Days, ...]:
    """Spans of "MM-DD", inclusive: today, or today and the days of the span. February 29 counts as the 28th
    in other than leap years. The year of the contact's date does not matter, even if it is in the future."""
    first = now.astimezone(zone).date()
    last = first
    if op is Op.ANNIVERSARY_IN and isinstance(values[0], Span):
        last = shift_day(first, values[0].amount, values[0].unit)
    if last.year > first.year + 1:
        return (("01-01", "12-31"),)
    end = last.isoformat()[5:]
    if end == "02-28" and not isleap(last.year):
        end = "02-29"
    start = first.isoformat()[5:]
    return ((start, end),) if last.year == first.year else ((start, "12-31"), ("01-01", end))


def anniversary_instants(
    op: Op, values: Operands, now: datetime, zone: ZoneInfo
) -> tuple[tuple[datetime, datetime], ...]:
    """The same as pairs of instants (start, end), for every year in which a contact can have been created."""
    return tuple(
        (_day_of(year, start, zone, 0), _day_of(year, end, zone, 1))
        for year in range(FIRST_YEAR, now.year + 2)
        for start, end in anniversaries(op, values, now, zone)
    )


def stored_spans(op: Op, values: Operands, now: datetime, zone: ZoneInfo) -> tuple[Days, ...]:
    """The ranges of any operator as moments are stored in custom fields, as text: start (inclusive) and end
    (exclusive)."""
    if op in (Op.ANNIVERSARY, Op.ANNIVERSARY_IN):
        return tuple(
            (_stored(start), _stored(end)) for start, end in anniversary_instants(op, values, now, zone)
        )
    start, end = instants(op, values, now, zone)
    return ((BEFORE_ALL if start is None else _stored(start), AFTER_ALL if end is None else _stored(end)),)


def _stored(edge: datetime) -> str:
    """The first whole second that isn't before the edge: moments are stored without fractions."""
    moment = edge.astimezone(UTC).replace(tzinfo=None)
    if moment.microsecond:
        moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    return f"{moment.isoformat()}Z"


def _day_of(year: int, month_day: str, zone: ZoneInfo, later: int) -> datetime:
    """The start of that day, or of the next day when `later` is 1. Without a leap day, February 29 is an
    empty span at the start of March 1."""
    month, day = int(month_day[:2]), int(month_day[3:])
    within = date(year, month, min(day, monthrange(year, month)[1]))
    return day_start(shift_day(within, 1 if within.day < day else later, "days"), zone)


def remembered(compute: Callable[[datetime, ZoneInfo], T]) -> Callable[[datetime, ZoneInfo], T]:
    """Caches the last result: a batch of enrollments is evaluated at one `now`."""
    last: tuple[datetime, ZoneInfo, T] | None = None

    def cached(now: datetime, zone: ZoneInfo) -> T:
        nonlocal last
        if last is None or last[0] is not now or last[1] is not zone:
            last = (now, zone, compute(now, zone))
        return last[2]

    return cached
