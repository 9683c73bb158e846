"""Cron expressions: five fields (minute, hour, day of month, month, day of week) as in crontab(5).

Each field is `*`, a number, a name (jan, mon), a range, any of these with a step (`*/15`, `9-17/2`), or a
list of them. Sunday is 0 or 7. When neither day field begins with `*`, a day that fits either of them counts;
else it must fit both. Instants follow the rule of `calendar`: in a gap the first instant after it, in an
overlap once, the first time.

Not cronsim or croniter, which were tried: cronsim refuses `fri-sun`, runs `6-6/5` at 6, 11, 16 and 21, and
says no more than "Bad hour"; croniter reads `6-6` as every hour. Each call parses the expression again."""

import calendar
from bisect import bisect_right
from datetime import date, datetime, time, timedelta

from app.engine.core.timing.recurrence import LAST_YEAR

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
# Name, lowest, highest, names.
_FIELDS: list[tuple[str, int, int, dict[str, int]]] = [
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
]
# 29 February is on the same weekday again after 40 years at the most.
_FARTHEST_YEARS = 41


class Cron:
    """A rule of five fields; see the module. Raises ValueError with a message for an invalid expression."""

    def __init__(self, text: str) -> None:
        parts = text.split()
        if len(parts) != 5:
            raise ValueError(
                "Enter five fields, such as 0 9 * * 1: minute, hour, day of month, month, day of week."
            )
        minutes, hours, days, months, weekdays = (
            _field(part.lower(), *limits) for part, limits in zip(parts, _FIELDS, strict=True)
        )
        self.times = [time(hour, minute) for hour in sorted(hours) for minute in sorted(minutes)]
        self.days, self.months = days, months
        self.weekdays = {number % 7 for number in weekdays}
        self.both = parts[2].startswith("*") or parts[4].startswith("*")

    def next_local(self, after: datetime) -> datetime | None:
        day, last = after.date(), min(after.year + _FARTHEST_YEARS, LAST_YEAR)
        while day.year < last:
            if day.month not in self.months:
                day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
                continue
            if self._fits(day):
                later = 0 if day > after.date() else bisect_right(self.times, after.time())
                if later < len(self.times):
                    return datetime.combine(day, self.times[later])
            day += timedelta(days=1)
        return None

    def _fits(self, day: date) -> bool:
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (in_month and in_week) if self.both else (in_month or in_week)


def _field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(first, name, low, high, names)
            end = _number(last, name, low, high, names) if dash else (high if slash else start)
            if names is _DAYS and end == 0 and start > 0:
                end = 7  # fri-sun
        step = _number(step_text, f"step of the {name}", 1, 60, {}) if slash else 1
        if end < start:
            raise ValueError(f"The {name} “{part[:20]}” ends before it starts.")
        numbers.update(range(start, end + 1, step))
    return numbers


def _number(text: str, name: str, low: int, high: int, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if text.isascii() and text.isdigit() and len(text) <= 4 and low <= int(text) <= high:
        return int(text)
    hint = f", or a name such as {next(iter(names))}" if names else ""
    raise ValueError(f"“{text[:20]}” isn't a valid {name}. Enter a number from {low} to {high}{hint}.")
