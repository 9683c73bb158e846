"""When a snoozed or repeated task is due next. Pure: the caller passes the time and the zone."""

from datetime import datetime, time, timedelta
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from app.engine.core.timing.recurrence import Monthly, Rule, Weekly, next_after
from app.filters.times import instant

Repeat: TypeAlias = Literal["daily", "weekly", "monthly"]
Snooze: TypeAlias = Literal["later", "tomorrow", "next_week"]
LATER = timedelta(hours=3)
MORNING = time(9)


def snoozed_until(choice: Snooze, now: datetime, zone: ZoneInfo) -> datetime:
    """The due time that a snooze gives: in three hours, or at nine on the next day or Monday in this zone."""
    if choice == "later":
        return (now + LATER).replace(second=0, microsecond=0)
    today = now.astimezone(zone).date()
    days = 1 if choice == "tomorrow" else 7 - today.weekday()
    return instant(datetime.combine(today + timedelta(days=days), MORNING), zone)


def next_due(repeats: Repeat, first: datetime, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first time after `after` of a task that repeats from `first`, at the same local time: each day, on
    the same weekday, or on the same day of the month (its last where the month is shorter)."""
    local = first.astimezone(zone)
    at = f"{local:%H:%M}"
    rule: Rule
    if repeats == "monthly":
        rule = Monthly(local.day, at)
    else:
        rule = Weekly(range(7) if repeats == "daily" else [local.weekday()], at)
    return next_after(rule, after, zone)
