"""Goals: from entry, the nearest first, never backwards."""

from datetime import timedelta
from typing import Any

import pytest

from app.engine.core.steps import AddTag, Branch, Exit, Goal, RemoveTag, SendEmail, Unit, Wait
from app.engine.core.types import EffectState, WaitReason
from tests.support.engine_kit import (
    COLD,
    NOW,
    SCORE,
    VIP,
    DrivenEnrollment,
    ask,
    contact_facts,
    lane,
    program,
)

MAIL = SendEmail(subject="Hi {{ contact.first_name }}", body="Welcome")
BOUGHT = ask("tags", "any_of", [str(VIP)])
POINTS = f"custom.{SCORE}"


def ended(decision: Any) -> tuple[str, str | None]:
    return decision.status.value, decision.exit_reason.value if decision.exit_reason else None


def test_goals_never_jump_backward() -> None:
    driven = DrivenEnrollment(
        program(Goal(filter=BOUGHT, on_unmet="continue"), Wait(), AddTag(tag=COLD)), contact_facts()
    )
    driven.go()
    driven.facts.tags.add(VIP)
    assert not driven.go(hours=1).moved
    assert ended(driven.go(days=1)) == ("completed", "goal_met")  # met now, though it is higher up
    assert [key for _, key, _ in driven.path] == ["s1", "s2", "s3"]


def test_goal_met_during_a_call_that_fails_permanently() -> None:
    driven = DrivenEnrollment(
        program(MAIL, Wait(), Goal(filter=BOUGHT), AddTag(tag=COLD)), contact_facts(email="a@x.test")
    )
    driven.go()
    driven.facts.tags.add(VIP)
    done = driven.go(EffectState("failed_permanent", error="550 no such user"))
    assert (*ended(done), done.error) == ("completed", "goal_met", None)
    assert driven.path == [(1, "s1", "failed"), (2, "s2", "skipped"), (3, "s3", "met"), (4, "s4", "done")]


def test_goals_of_lanes_not_entered_are_ignored() -> None:
    driven = DrivenEnrollment(
        program(
            Wait(),
            (Branch(branches=[lane("b1", ask("city", "is", "Rome"))]), {"b1": [MAIL, Goal(filter=BOUGHT)]}),
        ),
        contact_facts(tags={VIP}, city="Rome", email="a@x.test"),
    )
    assert driven.go().wait_reason is WaitReason.TIMER
    assert ended(driven.go(days=1)) == ("completed", "goal_met")
    assert [outcome for _, _, outcome in driven.path] == ["passed", "taken", "skipped", "met"]


def test_the_nearest_met_goal_first_then_the_next() -> None:
    compiled_program = program(
        Wait(), Goal(filter=ask("city", "is", "x")), Exit(), Goal(filter=BOUGHT), Exit(), Goal(filter=BOUGHT)
    )
    driven = DrivenEnrollment(compiled_program, contact_facts(tags={VIP}))
    assert driven.go().goal_key == "s6"
    assert [outcome for _, _, outcome in driven.path] == [
        "skipped",
        "skipped",
        "skipped",
        "met",
        "skipped",
        "met",
    ]


@pytest.mark.parametrize(
    ("policy", "expected"), [("end", ("incomplete", "finished")), ("continue", ("incomplete", "finished"))]
)
def test_unmet_goal_ends_or_continues(policy: Any, expected: tuple[str, str]) -> None:
    driven = DrivenEnrollment(
        program(Goal(filter=BOUGHT, on_unmet=policy), AddTag(tag=COLD)), contact_facts()
    )
    assert ended(driven.go()) == expected
    assert [outcome for _, _, outcome in driven.path] == (["unmet"] if policy == "end" else ["unmet", "done"])


def test_a_goal_waits_until_met_or_over() -> None:
    compiled_program = program(
        Goal(filter=BOUGHT, on_unmet="wait", amount=2, unit=Unit.HOURS), AddTag(tag=COLD)
    )
    driven = DrivenEnrollment(compiled_program, contact_facts())
    decision = driven.go()
    assert (decision.wait_reason, decision.due_at) == (WaitReason.CONDITION, NOW + timedelta(hours=2))
    assert not driven.go(hours=1).moved
    over = DrivenEnrollment(compiled_program, contact_facts())
    over.go()
    assert ended(over.go(hours=2)) == ("incomplete", "finished")
    assert over.path == [(1, "s1", "unmet")]
    driven.facts.tags.add(VIP)
    assert ended(driven.go(minutes=5)) == ("completed", "goal_met")
    assert driven.path == [(1, "s1", "met"), (2, "s2", "done")]


def test_completed_by_a_goal_stays_so_when_the_filter_turns_false_again() -> None:
    driven = DrivenEnrollment(
        program(Goal(filter=BOUGHT), RemoveTag(tag=VIP), Wait(), Exit()), contact_facts(tags={VIP})
    )
    assert driven.go().goal_key == "s1"
    assert driven.state.goal_key == "s1"
    first_driven = DrivenEnrollment(
        program(Goal(filter=BOUGHT), RemoveTag(tag=VIP), Wait()), contact_facts(tags={VIP})
    )
    first_driven.go()
    assert ended(first_driven.go(days=1)) == ("completed", "goal_met")


@pytest.mark.parametrize("policy", ["end", "wait"])
def test_a_goal_met_earlier_counts_where_a_later_one_is_not_met(policy: Any) -> None:
    late = Goal(filter=ask("city", "is", "Rome"), on_unmet=policy, amount=1, unit=Unit.HOURS)
    driven = DrivenEnrollment(
        program(Goal(filter=BOUGHT), RemoveTag(tag=VIP), late, AddTag(tag=COLD)), contact_facts(tags={VIP})
    )
    decision = driven.go()
    if policy == "wait":
        assert decision.wait_reason is WaitReason.CONDITION
        decision = driven.go(hours=1)
    assert (ended(decision), decision.goal_key) == (("completed", "goal_met"), "s1")
    assert driven.path[-1] == (3, "s3", "unmet")


# Edges
