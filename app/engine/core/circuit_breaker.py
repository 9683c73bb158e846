"""The breaker of one step and one class of error: when to stop attempting what fails for everybody, and when
to begin again. Pure.

Two rules open it. Of the latest 20 subjects within ten minutes at least five, and half of them, failed. Or
three in a row were refused for good, with nothing between them that went well: a server that says the same to
three people speaks about the sender. Those three are `struck`: they were given up before that was known."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile

import msgspec

SAMPLE = 20  # the latest distinct subjects that count
WITHIN = timedelta(minutes=10)
LEAST_FAILING = 5
LEAST_ALIKE = 3  # different subjects, refused for good one after the other
ALIKE_WITHIN = timedelta(days=1)  # also where few are sent
LEAST_SHARE = 0.5
FIRST_PAUSE = 30.0  # seconds; doubled each time
LONGEST_PAUSE = 600.0
SPREAD = 0.25  # of a pause, at most, more: those who failed together do not come back together
PROBE_SECONDS = 60.0  # a probe that is not heard of for so long is taken for lost


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Seen(msgspec.Struct, frozen=True):
    """The latest outcome of one subject; `final` when it was refused for good and nobody fared well since."""

    subject: str
    failed: bool
    at: datetime
    final: bool = False


class Breaker(msgspec.Struct, frozen=True):
    """`recent` oldest first, one for each subject. `opened` counts openings without a success between them.
    `until`: open, the next try; half open, when its probe is given up; closed, the due time given to whoever
    was released last, None when nobody is parked any more. `struck` are subjects who were refused for good in
    a row when it opened, while it has not closed."""

    state: State = State.CLOSED
    recent: list[Seen] = []
    opened: int = 0
    until: datetime | None = None
    struck: list[str] = []

    @property
    def idle(self) -> bool:
        """It says no more than no breaker at all."""
        failing = any(outcome.failed for outcome in self.recent)
        return self.state is State.CLOSED and self.until is None and not failing


def pause(opened: int, chance: float) -> timedelta:
    """How long the breaker stays open for the `opened`th time in a row (from 1); `chance` is 0 to 1."""
    seconds = min(FIRST_PAUSE * 2 ** min(max(opened, 1) - 1, 20), LONGEST_PAUSE)
    return timedelta(seconds=seconds * (1 + SPREAD * chance))


def heard(
    breaker: Breaker, subject: str, failed: bool, now: datetime, chance: float, *, final: bool = False
) -> Breaker:
    """After one attempt for `subject`, `final` when it was refused for good. Open, the outcomes of calls that
    were under way change nothing; half open, one decides: it is the probe's, or as good."""
    match breaker.state:
        case State.OPEN:
            return breaker
        case State.HALF_OPEN if failed:
            return _open(breaker, now, chance)
        case State.HALF_OPEN:
            return Breaker(until=now)
    final = final and failed
    others = [
        outcome
        for outcome in breaker.recent
        if outcome.subject != subject and outcome.at > now - _lasts(outcome)
    ]
    if not final:
        others = [msgspec.structs.replace(outcome, final=False) for outcome in others]
    recent = [*others, Seen(subject, failed, now, final)][-SAMPLE:]
    updated = msgspec.structs.replace(breaker, recent=recent)
    if failed and (_many(recent, now) or len(in_a_row(recent)) >= LEAST_ALIKE):
        return _open(updated, now, chance)
    return updated


def _lasts(outcome: Seen) -> timedelta:
    return ALIKE_WITHIN if outcome.final else WITHIN


def _many(recent: Sequence[Seen], now: datetime) -> bool:
    lately = [outcome for outcome in recent if outcome.at > now - WITHIN]
    failing = sum(outcome.failed for outcome in lately)
    return failing >= LEAST_FAILING and failing >= LEAST_SHARE * len(lately)


def in_a_row(recent: Sequence[Seen]) -> list[str]:
    """The subjects who were refused for good last, one after the other."""
    return [latest.subject for latest in takewhile(lambda outcome: outcome.final, reversed(recent))]


def _open(breaker: Breaker, now: datetime, chance: float) -> Breaker:
    opened = breaker.opened + 1
    struck = in_a_row(breaker.recent) or breaker.struck
    return Breaker(State.OPEN, [], opened, now + pause(opened, chance), struck)


def probing(breaker: Breaker, now: datetime) -> Breaker | None:
    """The breaker while one attempt is let through; None when that is not yet due."""
    if breaker.state is State.CLOSED or breaker.until is None or breaker.until > now:
        return None
    return msgspec.structs.replace(
        breaker, state=State.HALF_OPEN, until=now + timedelta(seconds=PROBE_SECONDS)
    )
