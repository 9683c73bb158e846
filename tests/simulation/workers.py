"""Workers as generators: between two yields one transaction or one call, and anywhere they may die."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from app.engine.core.advance import advance, leave
from app.engine.core.types import Decision, ExitReason, Status, StepContext
from app.filters.facts import Facts
from tests.simulation.store import Entry, Row, SimulatedContact, Store
from tests.simulation.transport import Transport
from tests.simulation.workflows import TEAM

LEASE = timedelta(seconds=60)
UNWANTED = "The contact does not want it."


def mover(store: Store, rng: Random) -> Iterator[None]:
    """Claims a batch with its locks, decides, commits: the whole batch or nothing of it."""
    batch = _claim(store, rng.randint(1, 4))
    at = store.now
    contacts = {row.contact.id: row.contact for row in batch if row.program.changes_contact}
    versions = {row.version for row in batch if row.program.steps_with_state}
    for row in batch:
        row.locked = True
    for contact in contacts.values():
        contact.locked = True
    store.busy |= versions
    done = False
    try:
        yield
        decisions, states = _decide(store, batch, at)
        yield
        store.fail(rng)  # before the commit
        for row, decision in zip(batch, decisions, strict=True):
            store.commit_move(row, decision, at)
        store.states.update(states)
        done = True
        store.fail(rng)  # after it: no response arrives
    finally:
        for row in batch:
            store.unlock(row)
            if not done:
                store.touched.append(row)
        for contact in contacts.values():
            contact.locked = False
        store.busy -= versions


def _claim(store: Store, most: int) -> list[Row]:
    """Claims due and unlocked rows. Rows whose contact or slots are being written wait."""
    claimed: list[Row] = []
    mine: set[tuple[UUID, int]] = set()
    for row in store.live:
        if row.due_at is None or row.due_at > store.now or row.locked or row.paused:
            continue
        if row.program.changes_contact and row.contact.locked:
            continue
        if row.program.steps_with_state and row.version in store.busy and row.version not in mine:
            continue
        mine.add(row.version)
        claimed.append(row)
        if len(claimed) == most:
            break
    return claimed


def _decide(store: Store, batch: list[Row], at: datetime) -> tuple[list[Decision], dict[Any, Any]]:
    facts_by_contact: dict[UUID, Facts] = {}
    states = {
        row.version: {key: dict(step_state) for key, step_state in store.states.get(row.version, {}).items()}
        for row in batch
    }
    around = StepContext(members=list(TEAM), owned=store.owned())
    decisions = []
    for row in batch:
        facts = facts_by_contact.setdefault(row.contact.id, store.facts(row))
        facts.data = {"event": {}, **row.data}
        if row.contact.deleted and not row.gone:
            decisions.append(leave(store.enrollment(row), at, Status.EXITED, ExitReason.SUBJECT_DELETED))
            continue
        around.states = states[row.version]
        decisions.append(advance(row.program, store.enrollment(row), facts, at, around))
    return decisions, states


def sender(store: Store, transport: Transport, rng: Random) -> Iterator[None]:
    """Claims one effect by a lease, begins it in a commit of its own, calls, writes the outcome if the fence
    is still its own."""
    entry = _claim_effect(store)
    if entry is None:
        return
    entry.status, entry.fence, entry.call_began, entry.lease_until = (
        "claimed",
        entry.fence + 1,
        False,
        store.now + LEASE,
    )
    fence = entry.fence
    yield
    if not _begin(store, entry, fence):
        return
    store.fail(rng)
    yield
    reply = transport.call(entry, rng)
    yield
    store.fail(rng)  # between the answer and the row that says so
    _end(store, entry, fence, reply)


def _claim_effect(store: Store) -> Entry | None:
    for entry in store.open_effects:
        if entry.row.paused or entry.due_at is None or entry.due_at > store.now:
            continue
        expired = entry.lease_until is not None and entry.lease_until < store.now
        again = not entry.call_began or entry.effect.on_doubt == "resend"
        if entry.status in ("pending", "retry") or (entry.status == "claimed" and expired and again):
            return entry
    return None


def _begin(store: Store, entry: Entry, fence: int) -> bool:
    row = entry.row
    late = entry.lease_until is None or entry.lease_until <= store.now
    if entry.fence != fence or entry.status != "claimed" or late:
        return False
    internal = "internal" in entry.effect.payload
    denied = row.contact.values.get(f"{entry.effect.kind}_consent") == "denied" and not internal
    gone = row.contact.deleted and not row.gone and not internal
    went_on = row.seq != entry.effect.seq and not internal
    if row.status is not Status.ACTIVE or gone or went_on:
        entry.status, entry.fence, entry.lease_until = "cancelled", fence + 1, None
        entry.error = "ended"
        store.wake(row)
    elif denied:
        entry.status, entry.fence, entry.lease_until = "cancelled", fence + 1, None
        entry.error = UNWANTED
        store.wake(row)
    elif row.paused:
        entry.status, entry.fence, entry.lease_until = "pending", fence + 1, None
    else:
        may = entry.effect.on_doubt == "resend" or not entry.in_doubt or entry.resend_requested
        assert may, "a second call while the first may have arrived"
        entry.call_began, entry.in_doubt, entry.resend_requested = True, True, False
        entry.attempts += 1
        entry.lease_until = store.now + LEASE
        return True
    return False


def _end(store: Store, entry: Entry, fence: int, reply: str) -> None:
    if entry.fence != fence or entry.status != "claimed":
        store.stale += 1
        return
    entry.lease_until = None
    if reply == "silence":
        reply = "unknown" if entry.effect.on_doubt == "hold" else "retry"
    else:
        entry.in_doubt = False
    if reply == "retry" and entry.attempts >= 4:
        reply = "failed_permanent"
    entry.status = reply
    if reply == "retry":
        entry.due_at = store.now + timedelta(minutes=entry.attempts)
    elif reply == "sent":
        entry.result = {"status": 200, "body": '{"id": 7}'}
    elif reply == "failed_permanent":
        entry.error = "refused"
    store.wake(entry.row)


def sweep(store: Store) -> bool:
    """Calls that a dead worker had begun and that must not be repeated wait for a member."""
    any_claimed = False
    for entry in store.open_effects:
        expired = entry.lease_until is not None and entry.lease_until < store.now
        if entry.status == "claimed" and expired and entry.call_began and entry.effect.on_doubt == "hold":
            entry.status, entry.fence, entry.lease_until = "unknown", entry.fence + 1, None
            store.wake(entry.row)
            any_claimed = True
    return any_claimed


def remove(store: Store, row: Row, reason: ExitReason) -> None:
    """A member or a rule takes a person out; not while a worker holds the row."""
    if row.status is Status.ACTIVE and not row.locked:
        store.commit_move(row, leave(store.enrollment(row), store.now, Status.EXITED, reason), store.now)


def change(store: Store, contact: SimulatedContact, event: tuple[str, str]) -> None:
    """After a change of a contact: enrollments that watch it wake up, and those that wait for this event are
    woken."""
    for row in store.live:
        if row.contact is not contact or row.wait_reason is None:
            continue
        if row.program.watches and row.wait_reason != "hold":
            store.wake(row)
        if row.wait_reason == "event" and row.step_key is not None and not row.locked:
            interested = row.program.listens.get(event, ()) + row.program.listens.get((event[0], ""), ())
            node = row.program.nodes[row.program.by_key[row.step_key]]
            matches = node.index in interested and node.match is not None
            if matches and node.match is not None and node.match(store.facts(row), store.now):
                row.woken = True
                store.wake(row)
