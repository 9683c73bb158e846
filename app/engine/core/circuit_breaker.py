"""The circuit breaker of one step and one class of error: when to stop calls that fail for every contact, and
when to try again. Pure.

Two rules open it. Of the latest 20 subjects within ten minutes, at least five and at least half failed. Or
three subjects in a row were rejected permanently, without a success between them: the cause is then the
sender, not the contacts. Those three are `affected`: they failed before the cause was clear."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile

import msgspec

SAMPLE = 20  # the latest distinct subjects that count
WITHIN = timedelta(minutes=10)
LEAST_FAILING = 5
LEAST_ALIKE = 3  # different subjects, rejected permanently one after the other
ALIKE_WITHIN = timedelta(days=1)  # also where few are sent
LEAST_SHARE = 0.5
FIRST_PAUSE = 30.0  # seconds; doubled each time
LONGEST_PAUSE = 600.0
# At most this share of a pause is added, so that subjects that failed together do not retry together.
SPREAD = 0.25
PROBE_SECONDS = 60.0  # a probe without an outcome for so long counts as lost


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class SubjectOutcome(msgspec.Struct, frozen=True):
    """The latest outcome of one subject; `final` after a permanent rejection with no success since."""

    subject: str
    failed: bool
    at: datetime
    final: bool = False


class BreakerState(msgspec.Struct, frozen=True):
    """`recent` holds one outcome per subject, oldest first. `opened` counts openings without a success
    between them. `until` is the next try (open), when the probe times out (half open), or the due time of the
    latest released enrollment (closed), None when none waits. `affected` are the subjects that were
    rejected permanently in a row when it opened, until it closes."""

    state: State = State.CLOSED
    recent: list[SubjectOutcome] = []
    opened: int = 0
    until: datetime | None = None
    affected: list[str] = []

    @property
    def idle(self) -> bool:
        """Whether it has the same effect as no breaker."""
        failing = any(outcome.failed for outcome in self.recent)
        return self.state is State.CLOSED and self.until is None and not failing


def pause(opened: int, chance: float) -> timedelta:
    """How long the breaker stays open for the `opened`th time in a row (from 1); `chance` is 0 to 1."""
    seconds = min(FIRST_PAUSE * 2 ** min(max(opened, 1) - 1, 20), LONGEST_PAUSE)
    return timedelta(seconds=seconds * (1 + SPREAD * chance))


def after_attempt(
    breaker: BreakerState, subject: str, failed: bool, now: datetime, chance: float, *, final: bool = False
) -> BreakerState:
    """The breaker after one attempt for `subject`; `final` when it was rejected permanently. While open, the
    outcomes of calls already in flight change nothing; while half open, a single outcome decides."""
    match breaker.state:
        case State.OPEN:
            return breaker
        case State.HALF_OPEN if failed:
            return _open(breaker, now, chance)
        case State.HALF_OPEN:
            return BreakerState(until=now)
    final = final and failed
    others = [
        outcome
        for outcome in breaker.recent
        if outcome.subject != subject and outcome.at > now - _lasts(outcome)
    ]
    if not final:
        others = [msgspec.structs.replace(outcome, final=False) for outcome in others]
    recent = [*others, SubjectOutcome(subject, failed, now, final)][-SAMPLE:]
    updated = msgspec.structs.replace(breaker, recent=recent)
    if failed and (_many(recent, now) or len(in_a_row(recent)) >= LEAST_ALIKE):
        return _open(updated, now, chance)
    return updated


def _lasts(outcome: SubjectOutcome) -> timedelta:
    return ALIKE_WITHIN if outcome.final else WITHIN


def _many(recent: Sequence[SubjectOutcome], now: datetime) -> bool:
    lately = [outcome for outcome in recent if outcome.at > now - WITHIN]
    failing = sum(outcome.failed for outcome in lately)
    return failing >= LEAST_FAILING and failing >= LEAST_SHARE * len(lately)


def in_a_row(recent: Sequence[SubjectOutcome]) -> list[str]:
    """The latest subjects that were rejected permanently one after the other."""
    return [latest.subject for latest in takewhile(lambda outcome: outcome.final, reversed(recent))]


def _open(breaker: BreakerState, now: datetime, chance: float) -> BreakerState:
    opened = breaker.opened + 1
    affected = in_a_row(breaker.recent) or breaker.affected
    return BreakerState(State.OPEN, [], opened, now + pause(opened, chance), affected)


def probing(breaker: BreakerState, now: datetime) -> BreakerState | None:
    """The breaker while one attempt probes the target; None when no probe is due yet."""
    if breaker.state is State.CLOSED or breaker.until is None or breaker.until > now:
        return None
    return msgspec.structs.replace(
        breaker, state=State.HALF_OPEN, until=now + timedelta(seconds=PROBE_SECONDS)
    )
