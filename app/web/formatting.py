"""Formats numbers, sizes, times and durations for templates. Pure and cheap enough for table cells."""

import re
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from app.filters.field_values import moment_of

T = TypeVar("T")
UNITS = (("y", 31_536_000), ("mo", 2_592_000), ("d", 86_400), ("h", 3_600), ("min", 60))
UUID_TEXT = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
SPELLED = {  # the text of stored names that `words` would render badly
    "cancelled": "Canceled",
    "failed_permanent": "Failed",
    "in_doubt": "In doubt",
    "effect.cancelled": "Message canceled",
    "effect.retried": "Message retried",
    "effect.resolved": "Message outcome decided",
    "webhook.address_created": "Webhook URL created",
    "webhook.secret_created": "Webhook signing secret created",
    "invitation.resent": "Invitation sent again",
    "member.password_set": "Password set",
    "circuit_breaker.probed": "Stopped step retried",
    "enrollment.moved": "Enrollment moved",
    "enrollment.requested": "Contacts added",
    "event.skipped": "Event skipped",
    "import.cancelled": "Import canceled",
    "job.cancelled": "Job canceled",
    "member.password_changed": "Password changed",
    "segment.evaluation_failed": "Segment evaluation failed",
    "session.others_ended": "Other sessions ended",
    "token.created": "Token created",
    "workflow.schedule_unreadable": "Workflow schedule unreadable",
    "assignee_id": "Assignee",
    "due_at": "Due",
    "default_region": "Default country for phone numbers",
}
LONG = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def number(value: float | None) -> str:
    """1234567 as 1,234,567; None as a dash."""
    return "–" if value is None else f"{value:,}"


def size(value: int | None) -> str:
    """A number of bytes as B, kB, MB or GB (powers of 1000)."""
    if value is None:
        return "–"
    amount = float(value)
    for unit in ("B", "kB", "MB"):
        if abs(amount) < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def ago(value: datetime | None, now: datetime | None = None) -> str:
    """An aware time as "3 min ago" or "in 2 d"; within a minute it is "now"."""
    if value is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - value).total_seconds()
    for unit, length in UNITS:
        if abs(seconds) >= length:
            count = int(abs(seconds) // length)
            return f"{count} {unit} ago" if seconds > 0 else f"in {count} {unit}"
    return "now"


def stamp(value: datetime | None, zone: str = "UTC") -> str:
    """An aware time as "2026-11-24 09:30:05 UTC", in this zone."""
    if value is None:
        return ""
    return value.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S %Z")


def local_input(value: object, zone: str) -> object:
    """The stored text of a moment as an input for date and time takes it, in this zone; anything else
    unchanged."""
    moment = moment_of(value)
    if moment is None:
        return value
    local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return local.isoformat(timespec="seconds" if local.second else "minutes")


def iso(value: datetime | None) -> str:
    """An aware time for the `datetime` attribute."""
    return "" if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def duration(value: timedelta | float | None) -> str:
    """Seconds or a timedelta as its two largest parts: "1 day 2 hours"; below a second in ms."""
    if value is None:
        return "–"
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    left, parts = int(seconds), []
    for unit, length in LONG:
        count, left = divmod(left, length)
        if count:
            parts.append(plural(count, unit))
    return " ".join(parts[:2]) or "0 seconds"


def words(name: str) -> str:
    """A stored name for display: "member.role_changed" as "Member role changed"."""
    return SPELLED.get(name) or name.replace(".", " ").replace("_", " ").capitalize()


def without_ids(value: T) -> T | str:
    """A text without the ids in it, which mean nothing to members; anything else unchanged."""
    return UUID_TEXT.sub("…", value) if isinstance(value, str) and "-" in value else value


def plural(count: int, singular: str, plural_form: str = "") -> str:
    """`3, "contact"` as "3 contacts"."""
    return f"{count:,} {singular if count == 1 else plural_form or singular + 's'}"
