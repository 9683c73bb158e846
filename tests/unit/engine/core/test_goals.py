"""Goals: from entry, the nearest first, never backwards."""

from datetime import timedelta
from typing import Any

import pytest

from app.engine.core.steps import AddTag, Branch, Exit, Goal, RemoveTag, SendEmail, Unit, Wait
from app.engine.core.types import EffectState, WaitReason
from tests.support.engine_kit import COLD, NOW, SCORE, VIP, Story, ask, lane, program, someone

MAIL = SendEmail(subject="Hi {{ contact.first_name }}", body="Welcome")
BOUGHT = ask("tags", "any_of", [str(VIP)])
POINTS = f"custom.{SCORE}"


def ended(decision: Any) -> tuple[str, str | None]:
    return decision.status.value, decision.exit_reason.value if decision.exit_reason else None


def test_goals_never_jump_backward() -> None:
    story = Story(program(Goal(filter=BOUGHT, on_unmet="continue"), Wait(), AddTag(tag=COLD)), someone())
    story.go()
    story.facts.tags.add(VIP)
    assert not story.go(hours=1).moved
    assert ended(story.go(days=1)) == ("completed", "goal_met")  # met now, though it is higher up
    assert [key for _, key, _ in story.path] == ["s1", "s2", "s3"]


def test_goal_met_during_a_call_that_fails_permanently() -> None:
    story = Story(program(MAIL, Wait(), Goal(filter=BOUGHT), AddTag(tag=COLD)), someone(email="a@x.test"))
    story.go()
    story.facts.tags.add(VIP)
    done = story.go(EffectState("failed_permanent", error="550 no such user"))
    assert (*ended(done), done.error) == ("completed", "goal_met", None)
    assert story.path == [(1, "s1", "failed"), (2, "s2", "skipped"), (3, "s3", "met"), (4, "s4", "done")]


def test_goals_of_lanes_not_entered_are_ignored() -> None:
    story = Story(
        program(
            Wait(),
            (Branch(branches=[lane("b1", ask("city", "is", "Rome"))]), {"b1": [MAIL, Goal(filter=BOUGHT)]}),
        ),
        someone(tags={VIP}, city="Rome", email="a@x.test"),
    )
    assert story.go().wait_reason is WaitReason.TIMER
    assert ended(story.go(days=1)) == ("completed", "goal_met")
    assert [outcome for _, _, outcome in story.path] == ["passed", "taken", "skipped", "met"]


def test_the_nearest_met_goal_first_then_the_next() -> None:
    compiled_program = program(
        Wait(), Goal(filter=ask("city", "is", "x")), Exit(), Goal(filter=BOUGHT), Exit(), Goal(filter=BOUGHT)
    )
    story = Story(compiled_program, someone(tags={VIP}))
    assert story.go().goal_key == "s6"
    assert [outcome for _, _, outcome in story.path] == [
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
    story = Story(program(Goal(filter=BOUGHT, on_unmet=policy), AddTag(tag=COLD)), someone())
    assert ended(story.go()) == expected
    assert [outcome for _, _, outcome in story.path] == (["unmet"] if policy == "end" else ["unmet", "done"])


def test_a_goal_waits_until_met_or_over() -> None:
    compiled_program = program(
        Goal(filter=BOUGHT, on_unmet="wait", amount=2, unit=Unit.HOURS), AddTag(tag=COLD)
    )
    story = Story(compiled_program, someone())
    decision = story.go()
    assert (decision.wait_reason, decision.due_at) == (WaitReason.CONDITION, NOW + timedelta(hours=2))
    assert not story.go(hours=1).moved
    over = Story(compiled_program, someone())
    over.go()
    assert ended(over.go(hours=2)) == ("incomplete", "finished")
    assert over.path == [(1, "s1", "unmet")]
    story.facts.tags.add(VIP)
    assert ended(story.go(minutes=5)) == ("completed", "goal_met")
    assert story.path == [(1, "s1", "met"), (2, "s2", "done")]


def test_completed_by_a_goal_stays_so_when_the_filter_turns_false_again() -> None:
    story = Story(program(Goal(filter=BOUGHT), RemoveTag(tag=VIP), Wait(), Exit()), someone(tags={VIP}))
    assert story.go().goal_key == "s1"
    assert story.state.goal_key == "s1"
    first_story = Story(program(Goal(filter=BOUGHT), RemoveTag(tag=VIP), Wait()), someone(tags={VIP}))
    first_story.go()
    assert ended(first_story.go(days=1)) == ("completed", "goal_met")


@pytest.mark.parametrize("policy", ["end", "wait"])
def test_a_goal_met_earlier_counts_where_a_later_one_is_not_met(policy: Any) -> None:
    late = Goal(filter=ask("city", "is", "Rome"), on_unmet=policy, amount=1, unit=Unit.HOURS)
    story = Story(
        program(Goal(filter=BOUGHT), RemoveTag(tag=VIP), late, AddTag(tag=COLD)), someone(tags={VIP})
    )
    decision = story.go()
    if policy == "wait":
        assert decision.wait_reason is WaitReason.CONDITION
        decision = story.go(hours=1)
    assert (ended(decision), decision.goal_key) == (("completed", "goal_met"), "s1")
    assert story.path[-1] == (3, "s3", "unmet")


# Edges
