"""Slots of a drip step: at most so many enrollments in each period, in order of arrival."""

from collections.abc import MutableMapping
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from app.engine.core.timing.wait_times import period_end
from app.json_types import Json

if TYPE_CHECKING:
    from app.engine.core.steps.drip import Drip


def take_slot(drip: "Drip", state: MutableMapping[str, Json], now: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which an enrollment that arrives now may pass; `now` itself while there is room.
    Records it in `state` {"start": ISO, "taken": n}, the period that is being filled.

    A period begins with the first arrival after the one before is over. When it is full, the next one begins
    where it ends, even if that is in the future, so no enrollment overtakes another. An enrollment whose
    period is over when it wakes up, after a downtime, has lost its slot and takes another: see
    `Run.slot_missed`."""
    began, taken = state.get("start"), state.get("taken")
    start = datetime.fromisoformat(began) if isinstance(began, str) else None
    arrivals = taken if isinstance(taken, int) else 0
    if start is None or period_end(drip.amount, drip.unit, start, zone) <= now:
        start, arrivals = now, 0
    elif arrivals >= drip.count:
        start, arrivals = period_end(drip.amount, drip.unit, start, zone), 0
    state["start"], state["taken"] = start.isoformat(), arrivals + 1
    return max(start, now)
