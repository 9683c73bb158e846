"""When schedule and date triggers fire, and which missed occurrences are made up.

An occurrence is missed when it is processed more than ten minutes late, or when a later one is due as well:
the engine looks every second, so it was down, or the workflow was paused. The trigger's policy applies:
`skip` runs none of them; `once` runs the newest for all of them, unless one that is not missed is due as
well; `all` runs each, oldest first, but at most the newest hundred. For dates `once` works like `all`,
because each day is about other contacts."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from app.engine.core.timing.cron import Cron
from app.engine.core.timing.recurrence import Rule, Weekly, day_of, next_after, occurrences
from app.engine.core.triggers import DateReached, Schedule

LATE = timedelta(minutes=10)
MOST_CAUGHT_UP = 100
MINUTE = timedelta(minutes=1)
Timed = Schedule | DateReached


class DueOccurrences(msgspec.Struct, frozen=True):
    """The occurrences to run now, in order; how many were missed, and how many of those are left out (`more`:
    there are older ones that were not counted); when the trigger fires next, None when never again."""

    run: list[datetime]
    missed: int
    left_out: int
    more: bool
    last_at: datetime
    next_at: datetime | None


def rule_of(trigger: Timed) -> Rule:
    """When a trigger fires; a date trigger every day, for the contacts whose day it is. Raises ValueError for
    an invalid cron expression."""
    return Cron(trigger.cron) if isinstance(trigger, Schedule) else Weekly(range(7), trigger.at)


def due_occurrences(trigger: Timed, last_at: datetime, now: datetime, zone: ZoneInfo) -> DueOccurrences:
    """The occurrences due at `now` when those up to `last_at` have run. Raises ValueError."""
    rule = rule_of(trigger)
    newest, more = _newest(rule, last_at, now, zone)
    fresh = [moment for moment in newest[-1:] if now - moment <= LATE]
    missed = newest[: len(newest) - len(fresh)]
    if trigger.missed == "all" or (trigger.missed == "once" and isinstance(trigger, DateReached)):
        caught_up = missed[-MOST_CAUGHT_UP:]
    else:
        caught_up = missed[-1:] if trigger.missed == "once" and not fresh else []
    return DueOccurrences(
        [*caught_up, *fresh],
        len(missed),
        len(missed) - len(caught_up),
        more,
        newest[-1] if newest else last_at,
        next_after(rule, now, zone),
    )


def _newest(rule: Rule, after: datetime, until: datetime, zone: ZoneInfo) -> tuple[list[datetime], bool]:
    """The newest occurrences of a period, at most as many as can run, and whether there are older ones. A
    binary search finds them, so a year of minutes costs no more than a day."""
    enough = MOST_CAUGHT_UP + 1
    moments = occurrences(rule, after, until, zone, enough + 1)
    if len(moments) <= enough:
        return moments, False
    low, high = after, until
    while high - low > MINUTE:
        middle = low + (high - low) / 2
        moments = occurrences(rule, middle, until, zone, enough + 1)
        if len(moments) == enough:
            return moments, True
        low, high = (middle, high) if len(moments) > enough else (low, middle)
    return occurrences(rule, low, until, zone, 2 * enough)[-enough:], True


def target_day(trigger: DateReached, moment: datetime, zone: ZoneInfo) -> date | None:
    """The date that contacts must have in the trigger's field at this occurrence."""
    local_date = day_of(moment, zone)
    try:
        return None if local_date is None else local_date - timedelta(days=trigger.offset)
    except OverflowError:
        return None


def yearly_days(day: date) -> list[str]:
    """The months and days (ISO, such as 02-28) whose anniversary falls on a day: 29 February falls on the
    28th in years without a 29th."""
    days = [day.strftime("%m-%d")]
    if days == ["02-28"] and (day + timedelta(days=1)).month == 3:
        days.append("02-29")
    return days
