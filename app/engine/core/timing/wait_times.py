"""When waits end. Rules are kept as they were written, in local time, and become instants only when somebody
arrives at them."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from app.engine.core.steps import MAY_BE_OVER, StepConfig, Unit, Wait
from app.engine.core.timing.recurrence import Either, Monthly, Rule, Weekly, date_instant, next_after
from app.filters.facts import Facts
from app.filters.times import day_start, instant, shift
from app.filters.values import read_moment


def after(amount: int, unit: Unit, now: datetime, zone: ZoneInfo) -> datetime:
    """`amount` units from now; days keep the account's clock time across a change to summer time."""
    return shift(now, amount, unit.value, zone).astimezone(UTC)


def moment(text: str, zone: ZoneInfo) -> datetime:
    """The instant of an `until`: a date (its first instant) or a date with a time, local to the account
    unless it carries an offset. Raises ValueError with a sentence."""
    read: date | datetime = read_moment(text)
    if not isinstance(read, datetime):
        return day_start(read, zone)
    return read.astimezone(UTC) if read.tzinfo else instant(read, zone)


def wait_end(wait: Wait, now: datetime, facts: Facts) -> datetime | None:
    """When somebody who arrives now may go on; in the past where that moment is over already, None where the
    date field holds no date. Raises ValueError with a sentence for a wait that cannot be."""
    if wait.mode == "duration":
        return after(wait.amount, wait.unit, now, facts.zone)
    if wait.mode == "until":
        return moment(wait.until, facts.zone)
    if wait.mode == "date_field":
        return date_instant(facts.values.get(wait.field), wait.offset, wait.at, facts.zone)
    found = next_after(recurring(wait), now, facts.zone)
    if found is None:
        raise ValueError("The wait names no day to wait for.")
    return found


def moved_elsewhere(config: StepConfig, until: datetime | None, now: datetime, facts: Facts) -> bool:
    """Whether a wait for a date ends at another moment than `until`, with which it began: the contact's date
    is another by now, or the account's zone."""
    if not isinstance(config, Wait) or config.mode not in MAY_BE_OVER:
        return False
    return wait_end(config, now, facts) != until


def recurring(wait: Wait) -> Rule:
    """The days and times that a recurring wait names."""
    rules: list[Rule] = []
    if wait.weekdays:
        rules.append(Weekly(wait.weekdays, wait.at))
    if wait.month_day:
        rules.append(Monthly(wait.month_day, wait.at))
    return Either(*rules)
