"""When waits end. A wait's rule stays in local time and becomes an instant when an enrollment arrives at it.

`wait_end` says when a wait step ends (`wait_until`); `period_end` adds a period, for every step with a limit.
The engine may look sooner (`due_at`): see `Run.next_recheck`."""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from app.engine.core.scalars import Unit
from app.engine.core.timing.recurrence import Either, Monthly, Rule, Weekly, date_instant, next_after
from app.filters.facts import Facts
from app.filters.field_values import read_moment
from app.filters.times import day_start, instant, shift

if TYPE_CHECKING:
    from app.engine.core.steps.wait import Wait

# The modes of a wait for a date. Its end is recomputed while an enrollment waits, because the contact's date
# or the account's zone may change. It may be over on arrival; `past` says what happens then.
FOLLOWS_A_DATE = ("until", "date_field")


def period_end(amount: int, unit: Unit, now: datetime, zone: ZoneInfo) -> datetime:
    """`amount` units from now; days keep the clock time of the zone when daylight saving time changes."""
    return shift(now, amount, unit.value, zone).astimezone(UTC)


def until_instant(text: str, zone: ZoneInfo) -> datetime:
    """The instant of an `until`: a date (its first instant) or a date with a time, local to the account
    unless it carries an offset. Raises ValueError with a sentence."""
    read: date | datetime = read_moment(text)
    if not isinstance(read, datetime):
        return day_start(read, zone)
    return read.astimezone(UTC) if read.tzinfo else instant(read, zone)


def wait_end(wait: "Wait", now: datetime, facts: Facts) -> datetime | None:
    """When the wait of an enrollment that arrives now ends; in the past if that time is over already, None if
    the date field is empty. Raises ValueError with a message for a wait that has no end."""
    if wait.mode == "duration":
        return period_end(wait.amount, wait.unit, now, facts.zone)
    if wait.mode == "until":
        return until_instant(wait.until, facts.zone)
    if wait.mode == "date_field":
        return date_instant(facts.values.get(wait.field), wait.offset, wait.at, facts.zone)
    occurrence = next_after(recurring(wait), now, facts.zone)
    if occurrence is None:
        raise ValueError("The wait has no day to wait for.")
    return occurrence


def wait_end_changed(wait: "Wait", until: datetime | None, now: datetime, facts: Facts) -> bool:
    """Whether a wait for a date now ends at another time than `until`, with which it began: the contact's
    date changed, or the account's zone."""
    return wait.mode in FOLLOWS_A_DATE and wait_end(wait, now, facts) != until


def recurring(wait: "Wait") -> Rule:
    """The days and times that a recurring wait names."""
    rules: list[Rule] = []
    if wait.weekdays:
        rules.append(Weekly(wait.weekdays, wait.at))
    if wait.month_day:
        rules.append(Monthly(wait.month_day, wait.at))
    return Either(*rules)
