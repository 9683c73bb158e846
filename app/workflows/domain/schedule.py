"""When waits end. Rules are kept as they were written, in local time, and become instants only when somebody
arrives at them."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from app.filters.times import day_start, instant, shift
from app.filters.values import read_moment
from app.workflows.domain.steps import Unit, Wait


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


def wait_end(wait: Wait, now: datetime, zone: ZoneInfo) -> datetime:
    """When somebody who arrives now may go on; in the past where `until` is over already."""
    if wait.mode == "until":
        return moment(wait.until, zone)
    return after(wait.amount, wait.unit, now, zone)
