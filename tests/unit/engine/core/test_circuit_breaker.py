"""The breaker of one step and one class of error."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.engine.core.circuit_breaker import (
    FIRST_PAUSE,
    LEAST_FAILING,
    LONGEST_PAUSE,
    PROBE_SECONDS,
    SAMPLE,
    SPREAD,
    WITHIN,
    BreakerState,
    State,
    after_attempt,
    pause,
    probing,
)

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
# (subject, failed, seconds since the one before, chance)
OUTCOMES = st.lists(
    st.tuples(st.integers(0, 12), st.booleans(), st.integers(0, 400), st.floats(0, 1)), max_size=80
)


def after(*outcomes: tuple[int, bool], breaker: BreakerState | None = None) -> BreakerState:
    state = breaker or BreakerState()
    for subject, failed in outcomes:
        state = after_attempt(state, str(subject), failed, NOW, 0.0)
    return state


def test_five_failing_contacts_open_the_breaker() -> None:
    assert after(*((number, True) for number in range(4))).state is State.CLOSED
    opened = after(*((number, True) for number in range(5)))
    assert (opened.state, opened.until) == (State.OPEN, NOW + timedelta(seconds=FIRST_PAUSE))


def test_one_contact_failing_often_does_not_open_the_breaker() -> None:
    assert after(*((1, True) for _ in range(100))).state is State.CLOSED


def test_few_failures_among_many_do_not_open_the_breaker() -> None:
    well = [(number, False) for number in range(100, 120)]
    assert after(*well, *((number, True) for number in range(9))).state is State.CLOSED
    assert after(*well, *((number, True) for number in range(10))).state is State.OPEN


def test_old_failures_are_forgotten() -> None:
    early = after(*((number, True) for number in range(4)))
    late = after_attempt(early, "9", True, NOW + WITHIN, 0.0)
    assert late.state is State.CLOSED
    assert len(late.recent) == 1


def test_one_probe_at_a_time_and_it_decides() -> None:
    opened = after(*((number, True) for number in range(5)))
    assert opened.until is not None
    assert probing(opened, opened.until - timedelta(seconds=1)) is None
    half = probing(opened, opened.until)
    assert half is not None
    assert probing(half, opened.until) is None
    lost = opened.until + timedelta(seconds=PROBE_SECONDS)
    assert probing(half, lost) is not None, "a probe that was lost is followed by another"
    again = after_attempt(half, "1", True, NOW, 0.0)
    assert (again.state, again.opened) == (State.OPEN, 2)
    closed = after_attempt(half, "1", False, NOW, 0.0)
    assert (closed.state, closed.opened, closed.recent) == (State.CLOSED, 0, [])
    assert not closed.idle, "effects are still delayed"
    assert probing(closed, lost) is None


def test_outcomes_of_calls_begun_before_opening_are_ignored() -> None:
    opened = after(*((number, True) for number in range(5)))
    assert after((7, True), (8, False), breaker=opened) == opened


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_grow_to_ten_minutes(opened: int, chance: float) -> None:
    shortest = pause(opened, 0).total_seconds()
    assert FIRST_PAUSE <= shortest <= LONGEST_PAUSE
    assert shortest <= pause(opened + 1, 0).total_seconds()
    assert shortest <= pause(opened, chance).total_seconds() <= shortest * (1 + SPREAD)


@given(OUTCOMES)
def test_breaker_invariants(outcomes: list[tuple[int, bool, int, float]]) -> None:
    """It opens only when enough distinct contacts fail; while open it always has a next try."""
    breaker, now = BreakerState(), NOW
    failing: dict[int, datetime] = {}
    for subject, failed, seconds, chance in outcomes:
        now += timedelta(seconds=seconds)
        before = breaker
        breaker = probing(breaker, now) or breaker
        breaker = after_attempt(breaker, str(subject), failed, now, chance)
        failing.pop(subject, None)
        if failed:
            failing[subject] = now
        if before.state is State.CLOSED and breaker.state is State.OPEN:
            assert failed
            assert sum(at > now - WITHIN for at in failing.values()) >= LEAST_FAILING
        assert (breaker.state is State.CLOSED) or breaker.until is not None
        assert len(breaker.recent) <= SAMPLE
        assert len({failure.subject for failure in breaker.recent}) == len(breaker.recent)
        if breaker.state is State.OPEN and breaker.until is not None:
            assert breaker.until <= now + timedelta(seconds=LONGEST_PAUSE * (1 + SPREAD))


@given(OUTCOMES)
def test_without_failures_the_breaker_stays_closed(outcomes: list[tuple[int, bool, int, float]]) -> None:
    breaker = BreakerState()
    for subject, _, seconds, chance in outcomes:
        breaker = after_attempt(breaker, str(subject), False, NOW + timedelta(seconds=seconds), chance)
        assert breaker.idle
