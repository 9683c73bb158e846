"""Days and instants in a time zone. Filters and the engine convert local times to UTC only here, and only
here is daylight saving time handled: clock times that a change skips or repeats."""

import calendar
import math
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

FIRST = datetime(1, 1, 2, tzinfo=UTC)
LAST = datetime(9999, 12, 30, tzinfo=UTC)
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600}


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a naive local time: for a time that a clock change skips, the first instant after
    the gap; for a time that occurs twice, the first of the two."""
    early, late = _folds(local, zone)
    return early if early <= late else _end_of_gap(late, early, zone)


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day, in UTC. A day without midnight starts with its first minute. When the
    clock goes back over midnight, the repeated hour belongs to the previous day."""
    local = datetime.combine(day, time.min)
    early, late = _folds(local, zone)
    if early > late:
        return _end_of_gap(late, early, zone)
    repeats_midnight = early < late and (late - timedelta(seconds=1)).astimezone(zone).date() < day
    return late if repeats_midnight else early


def _folds(local: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    return _utc(local.replace(tzinfo=zone, fold=0)), _utc(local.replace(tzinfo=zone, fold=1))


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # the two ends of the calendar have no UTC in every zone
        return FIRST if moment.year == 1 else LAST


def _end_of_gap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The transition that lies between two UTC instants, to the second."""
    offset = before.astimezone(zone).utcoffset()
    low, high = int(before.timestamp()), math.ceil(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def shift_day(day: date, amount: int, unit: str) -> date:
    """`amount` days, weeks, months or years later (negative: earlier). January 31 plus a month is the last
    day of February; results stay within the calendar of Python."""
    try:
        if unit == "days":
            return day + timedelta(days=amount)
        if unit == "weeks":
            return day + timedelta(weeks=amount)
        months = day.year * 12 + day.month - 1 + amount * (12 if unit == "years" else 1)
        year, month = divmod(months, 12)
        return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    except (ValueError, OverflowError, IndexError):
        return date.max if amount > 0 else date.min


def shift(moment: datetime, amount: int, unit: str, zone: ZoneInfo) -> datetime:
    """`amount` units later, in UTC. Hours and shorter units are elapsed time; days and longer units keep the
    local time of day."""
    try:
        if unit in SECONDS:
            return moment + timedelta(seconds=amount * SECONDS[unit])
        local = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        day = shift_day(local.date(), amount, unit)
        return instant(datetime.combine(day, local.time()), zone)
    except OverflowError:
        return LAST if amount > 0 else FIRST
