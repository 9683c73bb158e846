"""Slots: at most so many people in each stretch of time, in the order in which they came."""

from collections.abc import MutableMapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from app.engine.core.timing.wait_times import after

if TYPE_CHECKING:
    from app.engine.core.steps.drip import Drip


def take_slot(drip: "Drip", state: MutableMapping[str, Any], now: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which somebody who comes now may go on, `now` itself while there is room; notes it
    in `state` {"start": ISO, "taken": n}, which is the stretch that is being filled.

    A stretch begins with the first who comes after the one before is over. When it is full the next one
    begins where it ends, also in the future: so nobody is overtaken. Who comes for a slot when its stretch is
    over, after a downtime, has lost it and takes another: see `Run.missed`."""
    start = datetime.fromisoformat(state["start"]) if "start" in state else None
    taken = int(state.get("taken", 0))
    if start is None or after(drip.amount, drip.unit, start, zone) <= now:
        start, taken = now, 0
    elif taken >= drip.count:
        start, taken = after(drip.amount, drip.unit, start, zone), 0
    state["start"], state["taken"] = start.isoformat(), taken + 1
    return max(start, now)
