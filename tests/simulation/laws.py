"""What must be true of a whole world when it has come to rest."""

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from app.engine.core.steps import Drip
from app.engine.core.timing.wait_times import period_end
from app.engine.core.types import Status
from tests.simulation.store import RESOLVED, Store
from tests.simulation.transport import Transport
from tests.support.engine_kit import PARIS

Place = tuple[tuple[UUID, int], str]


def at_rest(store: Store, transport: Transport) -> None:
    """No row is past due, no effect outlives its enrollment, each effect marked as sent has arrived."""
    late = [row for row in store.live if row.due_at is not None and row.due_at <= store.now]
    assert not late, f"past due and still waiting: {late[0].wait_reason} at {late[0].step_key}"
    for entry in store.ledger:
        assert entry.status in (*RESOLVED, "retry", "pending", "unknown")
        if entry.row.status is not Status.ACTIVE:
            ahead = entry.due_at is not None and entry.due_at > store.now
            assert ahead or entry.status in (*RESOLVED, "unknown"), "an effect outlived its enrollment"
        if entry.status == "sent" and not entry.by_hand:
            assert entry.effect.idempotency_key in transport.arrived, "called sent, and never arrived"
    drips(store)


def drips(store: Store) -> None:
    """No period of a drip has more contacts than its limit."""
    slots: dict[Place, list[datetime]] = defaultdict(list)
    drip_configs: dict[Place, Drip] = {}
    for row in store.rows:
        for visit in row.executions.values():
            until = visit.detail.get("until")
            if visit.kind == "drip" and (until or visit.outcome == "passed"):
                key = row.version, visit.step_key
                drip_configs[key] = row.program.nodes[row.program.by_key[visit.step_key]].config
                slots[key].append(datetime.fromisoformat(str(until)) if until else visit.started)
    for key, drip in drip_configs.items():
        end, arrivals = None, 0
        for slot in sorted(slots[key]):
            if end is None or slot >= end:
                end, arrivals = period_end(drip.amount, drip.unit, slot, PARIS), 0
            arrivals += 1
            assert arrivals <= drip.count, f"{arrivals} in one stretch of {drip}"
