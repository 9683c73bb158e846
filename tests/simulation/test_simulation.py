"""The pure core in a simulated world: see tests/simulation. A failure names the seed of its world; run that
one alone with `simulate(seed, 500)`."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.engine.core.interpreter import Run
from app.engine.core.steps import drip, send_email
from app.engine.core.types import Closed, Outcome, WaitReason
from app.engine.core.version import Node
from tests.simulation.world import SimulatedWorld, simulate_many

STEPS = 200_000
NAMES = list(SimulatedWorld(0).actions)


class Engine(RuleBasedStateMachine):
    """Hypothesis chooses what happens, and makes what fails short."""

    def __init__(self) -> None:
        super().__init__()
        self.world = SimulatedWorld(0)

    @initialize(seed=st.integers(0, 10_000))
    def begin(self, seed: int) -> None:
        self.world = SimulatedWorld(seed)

    @rule(name=st.sampled_from(NAMES))
    def do_event(self, name: str) -> None:
        self.world.do(name)

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=5, max_size=30))
    def do_events(self, names: list[str]) -> None:
        for name in names:
            self.world.do(name)

    @rule(count=st.integers(1, 50))
    def take_steps(self, count: int) -> None:
        for _ in range(count):
            self.world.step()

    @invariant()
    def every_enrollment_is_in_a_legal_state(self) -> None:
        for row in self.world.store.rows:
            if not row.locked:
                self.world.store.check(row)

    def teardown(self) -> None:
        self.world.settle()


TestEngine = Engine.TestCase
TestEngine.settings = settings(max_examples=60, stateful_step_count=30, derandomize=True, deadline=None)


def test_many_worlds() -> None:
    assert simulate_many(STEPS) >= STEPS


def test_world_is_reproducible() -> None:
    def final_states(seed: int) -> list[tuple[Any, ...]]:
        world = SimulatedWorld(seed)
        while world.steps < 300:
            world.step()
        world.settle()
        return [(row.step_key, row.seq, row.status, row.exit_reason) for row in world.store.rows]

    assert final_states(7) == final_states(7)


# The laws can be broken: each of these is found, and the world that shows it is named.


def _early(run: Run, node: Node) -> Any:
    run.close(Outcome.PASSED, {})
    return run.run(node.after)


def _backwards(run: Run, _node: Node, _goal: Node) -> int:
    first = run.program.nodes[run.program.goals[0]]
    run.record(first, Outcome.MET, {})
    return first.after


def _forgets(run: Run, node: Node, reason: Any, until: Any) -> int:
    run.out.step_key, run.out.wait_reason, run.out.wait_until = node.key, reason, until
    return -2


def _same_key(run: Run, node: Node, effect: Any) -> int:
    effect.seq = run.begin(node, {})
    effect.idempotency_key = str(run.enrollment.id)
    run.out.effects.append(effect)
    return run.wait_at(node, WaitReason.EFFECT, None)


def _twice(run: Run, outcome: Outcome, detail: dict[str, Any], error: str | None = None) -> None:
    run.open = False
    run.out.closed += [Closed(run.seq, run.now, outcome, detail, error) for _ in range(2)]


@pytest.mark.parametrize(
    ("owner", "name", "bug", "law"),
    [
        (Run, "resume_wait", _early, "early"),
        (Run, "reach", _backwards, "backwards"),
        (Run, "wait_at", _forgets, "nothing will ever wake it"),
        (Run, "close", _twice, "closed twice"),
        (send_email, "request_effect", _same_key, "the key is taken"),
        (drip, "take_slot", lambda _drip, _state, now, _zone: now, "in one stretch"),
        (send_email, "wait_for_window", lambda _run, _node: None, "outside of the window"),
    ],
)
def test_planted_bugs_are_found(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, bug: Any, law: str
) -> None:
    monkeypatch.setattr(owner, name, bug)
    with pytest.raises(AssertionError, match=rf"seed \d+, step \d+: .*{law}"):
        simulate_many(20_000)
