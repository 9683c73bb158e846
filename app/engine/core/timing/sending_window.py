"""Sending windows: when a step may send."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from app.engine.core.scalars import TimeOfDay, Weekday
from app.engine.core.timing.recurrence import ONE_DAY, time_of_day
from app.filters.facts import Facts
from app.filters.times import instant
from app.json_types import Json, JsonObject


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When something may be sent: on these days (none: every day), from `start` until before `end`, local
    times of `zone`. A window whose end is not after its start lasts until the next morning. `zone` is
    "account", "contact" (the account's where a contact has none) or the name of a time zone."""

    days: Annotated[list[Weekday], Meta(max_length=7)] = []
    start: TimeOfDay = "09:00"
    end: TimeOfDay = "17:00"
    zone: Annotated[str, Meta(max_length=60)] = "account"


def zone_named(name: object) -> ZoneInfo | None:
    """The time zone of this name, or None."""
    if not isinstance(name, str) or not name or name != name.strip():
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def zone_of(window: Window, facts: Facts) -> ZoneInfo:
    """The zone of the window's times; the account's zone if the window's own is unknown."""
    if window.zone == "account":
        return facts.zone
    named = facts.values.get("time_zone") if window.zone == "contact" else window.zone
    return zone_named(named) or facts.zone


def window_payload(window: Window, facts: Facts) -> JsonObject:
    """The window for the payload of an effect. Its zone is resolved, because the dispatcher does not read the
    contact's facts."""
    named = msgspec.structs.replace(window, zone=zone_of(window, facts).key)
    payload: JsonObject = msgspec.to_builtins(named)
    return payload


def closed_until(payload: Mapping[str, Json], moment: datetime) -> datetime | None:
    """When the window of an effect opens next; None while it is open, or if the effect has none."""
    if "window" not in payload:
        return None
    window = msgspec.convert(payload["window"], Window)
    opens = next_opening(window, moment, ZoneInfo(window.zone))
    return opens if opens > moment else None


def next_opening(window: Window, moment: datetime, zone: ZoneInfo) -> datetime:
    """`moment` itself while the window is open, else the next instant (UTC) at which it opens.

    The window of a day lasts from the instant of its start to the instant of its end, which is on the next
    day unless it is later on the clock. One that falls completely into a gap of the clock does not open on
    that day; one that ends in a repeated hour ends there the first time. Raises ValueError when it never
    opens."""
    start, end = time_of_day(window.start), time_of_day(window.end)
    today = moment.astimezone(zone).date()
    for ahead in range(-1, 16):
        day = today + timedelta(days=ahead)
        if window.days and day.weekday() not in window.days:
            continue
        closing_day = day if end > start else day + ONE_DAY
        opens = instant(datetime.combine(day, start), zone)
        closes = instant(datetime.combine(closing_day, end), zone)
        if closes > moment and opens < closes:
            return max(opens, moment)
    raise ValueError("The sending window never opens.")
