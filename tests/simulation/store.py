"""The fake store: rows that only a commit changes, locks, and the laws that each commit is held to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from app.engine.core.timing.sending_window import next_opening, zone_of
from app.engine.core.types import (
    Decision,
    EffectRequest,
    EffectState,
    EnrollmentState,
    Execution,
    ExitReason,
    Outcome,
    Status,
    WaitReason,
)
from app.engine.core.version import Program
from app.filters.facts import Facts, FactValue
from tests.support.engine_kit import PARIS

IN_FLIGHT = (WaitReason.EFFECT, WaitReason.RETRY, WaitReason.IN_DOUBT)
TIMED = (WaitReason.TIMER, WaitReason.WINDOW, WaitReason.DRIP_SLOT)
RESOLVED = ("sent", "failed_permanent", "cancelled")


@dataclass(slots=True)
class SimulatedContact:
    id: UUID
    values: dict[str, FactValue]
    tags: set[UUID]
    deleted: bool = False
    locked: bool = False


@dataclass(slots=True)
class Row:
    """An enrollment as stored."""

    id: UUID
    contact: SimulatedContact
    program: Program
    due_at: datetime | None
    status: Status = Status.ACTIVE
    exit_reason: ExitReason | None = None
    step_key: str | None = None
    seq: int = 0
    wait_reason: WaitReason | None = None
    wait_until: datetime | None = None
    goal_key: str | None = None
    error: str | None = None
    fence: int = 0
    paused: bool = False
    woken: bool = False
    answer: str | None = None
    gone: bool = False  # runs for a contact who was deleted
    locked: bool = False
    wake: bool = False  # an update waits for the lock
    data: dict[str, Any] = field(default_factory=dict)
    executions: dict[int, Execution] = field(default_factory=dict)
    version: tuple[UUID, int] = (UUID(int=0), 0)


@dataclass(slots=True)
class Entry:
    """A row of the ledger of effects."""

    id: int
    row: Row
    effect: EffectRequest
    due_at: datetime | None
    status: str = "pending"
    fence: int = 0
    lease_until: datetime | None = None
    call_began: bool = False
    attempts: int = 0
    error: str | None = None
    result: dict[str, Any] = field(default_factory=dict)
    # Only an observer knows it: a call without a known end may have arrived.
    in_doubt: bool = False
    resend_requested: bool = False
    by_hand: bool = False  # a person said: it went out


class Store:
    """Rows of one account. `commit_move` writes one decision, as one transaction. `live` and `open_effects`
    are those that may still change. `fail` raises where a worker dies, or not."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.fail: Callable[[Random], None] = lambda _rng: None
        self.live: list[Row] = []
        self.open_effects: list[Entry] = []
        self.busy: set[tuple[UUID, int]] = set()  # versions whose memory is being written
        self.moves = self.stale = self.wakes = 0
        self.touched: list[Row] = []
        self.contacts: list[SimulatedContact] = []
        self.rows: list[Row] = []
        self.ledger: list[Entry] = []
        self.by_visit: dict[tuple[UUID, int], Entry] = {}
        self.states: dict[tuple[UUID, int], dict[str, dict[str, Any]]] = {}
        self.keys: set[str] = set()

    def facts(self, row: Row) -> Facts:
        """A copy: what a worker read, which it may change as it likes."""
        contact = row.contact
        return Facts(
            dict(contact.values), set(contact.tags), PARIS, contact.id, "Acme", data={"event": {}, **row.data}
        )

    def enrollment(self, row: Row) -> EnrollmentState:
        return EnrollmentState(
            *(row.id, row.contact.id, row.step_key, row.seq, row.wait_reason, row.wait_until, row.goal_key),
            effect=self.outcome(row),
            answer=row.answer if row.wait_reason is WaitReason.APPROVAL else None,
            woken=row.woken,
            contact_gone=row.gone,
        )

    def outcome(self, row: Row) -> EffectState | None:
        """What the ledger says about the effect that a row waits for."""
        entry = self.by_visit.get((row.id, row.seq)) if row.wait_reason in IN_FLIGHT else None
        if entry is None:
            return None
        if entry.status == "cancelled":
            return EffectState("skipped", error=entry.error)
        status: Any = "pending" if entry.status == "claimed" and not entry.call_began else entry.status
        return EffectState(status, entry.due_at if status == "retry" else None, entry.error, entry.result)

    def wake(self, row: Row) -> None:
        """Due now; a worker that holds the row sees it afterwards."""
        self.wakes += 1
        self.touched.append(row)
        if row.status is Status.ACTIVE and not row.paused:
            if row.locked:
                row.wake = True
            else:
                row.due_at = self.now

    def unlock(self, row: Row) -> None:
        row.locked = False
        if row.wake:
            row.wake = False
            self.wake(row)

    def owned(self) -> dict[UUID, int]:
        counts: dict[UUID, int] = {}
        for contact in self.contacts:
            owner = contact.values.get("owner")
            if isinstance(owner, str):
                counts[UUID(owner)] = counts.get(UUID(owner), 0) + 1
        return counts

    def forget(self) -> None:
        """What has ended is not looked at again."""
        self.live = [row for row in self.live if row.status is Status.ACTIVE]
        self.open_effects = [entry for entry in self.open_effects if entry.status not in RESOLVED]

    def commit_move(self, row: Row, decision: Decision, at: datetime) -> None:
        """Writes what was decided at an instant, which may be a while ago."""
        self.touched.append(row)
        self.moves += 1
        assert row.status is Status.ACTIVE, "an ended enrollment moved"
        assert (row.program.version.workflow_id, row.program.version.number) == row.version, "unpinned"
        if not decision.moved:
            assert decision.due_at is None or decision.due_at > at
            row.due_at = decision.due_at
            return
        self._visits(row, decision, at)
        self._contact(row.contact, decision)
        opened_by_hand = row.woken and row.wait_reason is WaitReason.WINDOW
        row.status, row.exit_reason, row.error = decision.status, decision.exit_reason, decision.error
        row.step_key, row.seq, row.goal_key = decision.step_key, decision.seq, decision.goal_key
        row.wait_reason, row.wait_until, row.due_at = (
            decision.wait_reason,
            decision.wait_until,
            decision.due_at,
        )
        row.woken, row.answer, row.fence = False, None, row.fence + 1
        waited = self.by_visit.get((row.id, decision.closed[0].seq)) if decision.closed else None
        if waited is not None and waited.status in ("pending", "retry"):
            waited.status, waited.fence = "cancelled", waited.fence + 1
        row.data |= decision.data
        for effect in decision.effects:
            self._claim_key(row, effect, None if opened_by_hand else at)
        if row.status is not Status.ACTIVE:
            row.due_at = row.wait_until = row.wait_reason = None
            row.paused = False
            for entry in self.ledger:
                if entry.row is row and entry.status in ("pending", "retry"):
                    entry.status, entry.fence = "cancelled", entry.fence + 1
        for approval in decision.approvals:
            assert approval.due_at > at
            assert approval.seq == row.seq

    def _visits(self, row: Row, decision: Decision, at: datetime) -> None:
        """Numbers without a gap; the open visit is the last and is closed once; nothing ends early; goals
        lie ahead."""
        for closed in decision.closed:
            visit = row.executions[closed.seq]
            assert visit.finished is None, "closed twice"
            assert closed.seq == row.seq
            timed = row.wait_reason in TIMED and closed.outcome is Outcome.PASSED
            timed = timed or closed.detail.get("branch") == "timeout"
            if timed:
                assert row.wait_until is not None
                assert at >= row.wait_until, "early"
            visit.finished, visit.outcome = closed.finished, closed.outcome
        before, way = row.step_key, decision.closed[-1].detail if decision.closed else {}
        for visit in decision.executions:
            assert visit.seq == row.seq + 1 + decision.executions.index(visit)
            assert visit.started == at
            row.executions[visit.seq] = visit
            if visit.outcome is Outcome.MET and before is not None:
                ahead = _ahead(row.program, before, way)
                assert visit.step_key == before or row.program.by_key[visit.step_key] in ahead, "backwards"
            before, way = visit.step_key, visit.detail
        assert decision.seq == row.seq + len(decision.executions), "seq jumps"
        still_open = [number for number in range(row.seq, decision.seq + 1) if number in row.executions
                      and row.executions[number].finished is None]  # fmt: skip
        active = decision.status is Status.ACTIVE
        assert still_open == ([decision.seq] if active else []), "the open visit is not the last"

    def _contact(self, contact: SimulatedContact, decision: Decision) -> None:
        contact.values.update(decision.fields)
        contact.tags |= decision.tags_added
        contact.tags -= decision.tags_removed
        contact.deleted = contact.deleted or decision.delete

    def _claim_key(self, row: Row, effect: EffectRequest, at: datetime | None) -> None:
        assert effect.idempotency_key not in self.keys, "the key is taken"
        assert (row.id, effect.seq) not in self.by_visit
        assert row.status is Status.ACTIVE
        node = row.program.nodes[row.program.by_key[effect.step_key]]
        if node.window is not None and at is not None:
            zone = zone_of(node.window, self.facts(row))
            assert next_opening(node.window, at, zone) == at, "outside of the window"
        self.keys.add(effect.idempotency_key)
        entry = Entry(len(self.ledger), row, effect, self.now)
        self.ledger.append(entry)
        self.open_effects.append(entry)
        self.by_visit[row.id, effect.seq] = entry

    def check(self, row: Row) -> None:
        """Every enrollment is in exactly one legal state, and something will move it."""
        if row.status is not Status.ACTIVE:
            assert row.exit_reason is not None
            assert row.due_at is None
            return
        assert row.exit_reason is None
        if row.wait_reason is None:
            assert row.seq == 0, "active, and waits for nothing"
            assert row.paused or row.due_at is not None
            return
        entry = self.by_visit.get((row.id, row.seq))
        if row.wait_reason in IN_FLIGHT:
            assert entry is not None, "waits for an effect that is not there"
            woken = row.due_at is not None or row.paused
            assert woken or entry.status not in RESOLVED, "its effect is resolved and nobody wakes it"
        else:
            assert row.paused or row.due_at is not None, "nothing will ever wake it"
            assert row.wait_until is not None


def _ahead(program: Program, key: str, way: dict[str, Any]) -> set[int]:
    """The goals ahead of a step, and of the place where the enrollment continued: in a lane, elsewhere."""
    node = program.nodes[program.by_key[key]]
    next_index = node.starts.get(way.get("branch", ""), node.after)
    if "to" in way and way["to"] in program.by_key:
        next_index = program.by_key[way["to"]]
    return {*node.goals, *(program.nodes[next_index].goals if next_index >= 0 else ())}
