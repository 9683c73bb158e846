from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from app.engine.core import interpreter
from app.engine.core.advance import advance, leave
from app.engine.core.steps import (
    AddTag,
    Branch,
    Exit,
    Goal,
    OnDoubt,
    RemoveTag,
    SendEmail,
    Unit,
    UpdateField,
    Wait,
    Webhook,
)
from app.engine.core.types import EffectState, ExitReason, Outcome, Status, WaitReason
from tests.support.engine_kit import (
    COLD,
    ENROLLMENT,
    NEW,
    NOW,
    SCORE,
    SENT,
    VIP,
    Story,
    after_decision,
    ask,
    lane,
    program,
    someone,
)

MAIL = SendEmail(subject="Hi {{ contact.first_name }}", body="Welcome")
BOUGHT = ask("tags", "any_of", [str(VIP)])
POINTS = f"custom.{SCORE}"


def ended(decision: Any) -> tuple[str, str | None]:
    return decision.status.value, decision.exit_reason.value if decision.exit_reason else None


def test_without_steps_or_goals_it_is_completed() -> None:
    assert ended(Story(program(), someone()).go()) == ("completed", "finished")
    assert ended(Story(program(AddTag(tag=VIP)), someone()).go()) == ("completed", "finished")


def test_later_steps_see_changes_reported_once() -> None:
    story = Story(
        program(
            UpdateField(field="state", value="CA"),
            AddTag(tag=VIP),
            AddTag(tag=VIP),
            (Branch(branches=[lane("b1", ask("state", "is", "ca"))]), {"b1": [RemoveTag(tag=COLD)]}),
            UpdateField(field=POINTS, value="7"),
            UpdateField(field="city", operation="clear"),
        ),
        someone(tags={COLD}, state="NY", city="Rome"),
    )
    decision = story.go()
    assert decision.fields == {"state": "CA", POINTS: 7, "city": None}
    assert (decision.tags_added, decision.tags_removed) == ({VIP}, {COLD})
    assert [(change.kind, change.seq, change.old, change.new) for change in decision.changes] == [
        ("field", 1, "NY", "CA"),
        ("tag_added", 2, None, None),
        ("tag_removed", 5, None, None),
        ("field", 6, None, 7),
        ("field", 7, "Rome", None),
    ]
    assert [row.detail.get("changed") for row in decision.executions] == [
        True,
        True,
        False,
        None,
        True,
        True,
        True,
    ]
    assert story.facts.tags == {VIP}


def test_a_tag_added_and_removed_in_one_go_is_no_change_but_two_events() -> None:
    decision = Story(program(AddTag(tag=VIP), RemoveTag(tag=VIP)), someone()).go()
    assert (decision.tags_added, decision.tags_removed) == (set(), set())
    assert [change.kind for change in decision.changes] == ["tag_added", "tag_removed"]


@pytest.mark.parametrize(
    ("state", "path"), [("CA", ["s1", "s2", "s4"]), ("NY", ["s1", "s3", "s4"]), (None, ["s1", "s4"])]
)
def test_branches(state: str | None, path: list[str]) -> None:
    compiled_program = program(
        (
            Branch(branches=[lane("b1", ask("state", "is", "CA")), lane("b2", ask("state", "is", "NY"))]),
            {"b1": [AddTag(tag=VIP)], "b2": [AddTag(tag=COLD)]},
        ),
        Exit(reason="done"),
    )
    story = Story(compiled_program, someone(state=state))
    decision = story.go()
    assert [key for _, key, _ in story.path] == path
    assert ended(decision) == ("exited", "finished")


def test_a_wait_begins_and_passes() -> None:
    story = Story(program(Wait(amount=1, unit=Unit.MINUTES), AddTag(tag=VIP)), someone())
    decision = story.go()
    assert (decision.wait_reason, decision.due_at) == (WaitReason.TIMER, NOW + timedelta(minutes=1))
    assert decision.executions[0].finished is None
    early = story.go(seconds=59)
    assert not early.moved
    assert (early.executions, early.closed, early.wait_until, early.seq) == (
        [],
        [],
        NOW + timedelta(minutes=1),
        1,
    )
    late = story.go(seconds=1)
    assert [(closed.seq, closed.outcome) for closed in late.closed] == [(1, Outcome.PASSED)]
    assert story.path == [(1, "s1", "passed"), (2, "s2", "done")]
    assert ended(late) == ("completed", "finished")


def test_a_wait_of_a_day_keeps_the_clock_of_the_account() -> None:
    story = Story(program(Wait(amount=1, unit=Unit.DAYS)), someone())  # Paris
    story.now = datetime(2026, 10, 24, 10, 0, tzinfo=UTC)
    assert story.go().wait_until == datetime(2026, 10, 25, 11, 0, tzinfo=UTC)


def test_a_wait_until() -> None:
    story = Story(program(Wait(mode="until", until="2026-12-01T09:00")), someone())
    assert story.go().wait_until == datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
    past = Wait(mode="until", until="2026-01-01")
    assert ended(Story(program(past), someone()).go()) == ("completed", "finished")
    gone = Story(program(Wait(mode="until", until="2026-01-01", past="exit"), AddTag(tag=VIP)), someone())
    assert ended(gone.go()) == ("exited", "past_window")
    assert gone.path == [(1, "s1", "exited")]


def test_an_email_waits_until_its_effect_is_resolved() -> None:
    story = Story(
        program(MAIL, AddTag(tag=VIP)), someone(first_name="Ann\r\nBcc: x", last_name="Lee", email="a@x.test")
    )
    decision = story.go()
    [effect] = decision.effects
    assert (effect.kind, effect.seq, effect.idempotency_key) == ("email", 1, f"{ENROLLMENT}:1")
    assert effect.payload == {
        "to": "a@x.test",
        "to_name": "Ann Bcc: x Lee",
        "subject": "Hi Ann Bcc: x",
        "body": "Welcome",
        "from_name": "",
        "reply_to": "",
    }
    assert effect.on_doubt is OnDoubt.ASK_MEMBER
    assert (decision.wait_reason, decision.due_at) == (WaitReason.EFFECT, None)
    assert not story.go().moved  # woken without a reason
    done = story.go(EffectState("sent", detail={"message_id": "<1>"}))
    assert (done.effects, done.closed[0].detail) == ([], {"message_id": "<1>"})
    assert story.path == [(1, "s1", "sent"), (2, "s2", "done")]


def test_retry_doubt_and_failure_of_an_effect() -> None:
    story = Story(program(MAIL), someone(email="a@x.test"))
    story.go()
    again = story.go(EffectState("retry", NOW + timedelta(minutes=5), "421 slow down"))
    assert (again.wait_reason, again.wait_until, again.due_at) == (
        WaitReason.RETRY,
        NOW + timedelta(minutes=5),
        None,
    )
    assert again.error == "421 slow down"
    doubt = story.go(EffectState("unknown", error="The worker died during the call."))
    assert (doubt.wait_reason, doubt.wait_until, doubt.status) == (WaitReason.IN_DOUBT, None, Status.ACTIVE)
    assert not story.go(days=3).moved
    assert story.go(EffectState("pending")).wait_reason is WaitReason.EFFECT
    failed = story.go(EffectState("failed_permanent", error="550 no such user"))
    assert (*ended(failed), failed.error) == ("failed", "failed_permanent", "550 no such user")
    assert story.path == [(1, "s1", "failed")]
    assert sum(len(decision.effects) for decision in story.decisions) == 1


def test_a_send_without_an_address_is_skipped_with_a_reason() -> None:
    story = Story(program(MAIL, AddTag(tag=VIP)), someone())
    assert story.go().effects == []
    assert story.path == [(1, "s1", "skipped"), (2, "s2", "done")]


def test_a_webhook_renders_each_part_for_its_place() -> None:
    hook = Webhook(
        url="https://x.test/{{ contact.city }}",
        headers={"X-City": "{{ contact.city }}"},
        body='{"city": "{{ contact.city }}"}',
    )
    decision = Story(program(hook), someone(city='R "o"/\nme')).go()
    assert decision.effects[0].payload == {
        "url": "https://x.test/R%20%22o%22%2F%0Ame",
        "method": "POST",
        "headers": {"X-City": 'R "o"/ me'},
        "body": '{"city": "R \\"o\\"/\\nme"}',
    }
    assert decision.effects[0].on_doubt is OnDoubt.RESEND
    broken = Story(program(Webhook(url="https://x.test", body="{{ contact.city }}")), someone(city="x")).go()
    assert (*ended(broken), broken.effects) == ("failed", "failed_permanent", [])


@pytest.mark.parametrize(
    "step",
    [
        AddTag(),
        RemoveTag(),
        UpdateField(field="email", value="x"),
        UpdateField(field=POINTS, value="{{ contact.city }}"),
    ],
)
def test_a_step_that_cannot_be_done_fails_with_a_sentence(step: Any) -> None:
    decision = Story(program(step, AddTag(tag=VIP)), someone(city="Rome")).go()
    assert ended(decision) == ("failed", "failed_permanent")
    assert decision.error
    assert decision.executions[-1].error == decision.error
    assert decision.tags_added == set()


# Goals


def test_a_goal_met_while_waiting_skips_ahead_from_inside_a_lane() -> None:
    story = Story(
        program(
            (Branch(branches=[lane("b1", ask("city", "is", "Rome"))]), {"b1": [Wait(), AddTag(tag=COLD)]}),
            MAIL,
            Goal(filter=BOUGHT),
            AddTag(tag=COLD),
        ),
        someone(city="Rome", email="a@x.test"),
    )
    story.go()
    assert not story.go(hours=1).moved
    story.facts.tags.add(VIP)
    decision = story.go(hours=1)
    assert story.path == [
        (1, "s1", "taken"),
        (2, "s2", "skipped"),
        (3, "s3", "skipped"),
        (4, "s4", "skipped"),
        (5, "s5", "met"),
        (6, "s6", "done"),
    ]
    assert decision.closed[0].detail == {"goal": "s5"}
    assert decision.effects == []
    assert (*ended(decision), decision.goal_key) == ("completed", "goal_met", "s5")


def test_a_goal_met_by_the_enrollments_own_step() -> None:
    story = Story(program(AddTag(tag=VIP), MAIL, Goal(filter=BOUGHT)), someone(email="a@x.test"))
    assert ended(story.go()) == ("completed", "goal_met")
    assert [outcome for _, _, outcome in story.path] == ["done", "skipped", "met"]


def test_a_goal_does_not_interrupt_an_effect_under_way() -> None:
    story = Story(program(MAIL, Wait(), Goal(filter=BOUGHT)), someone(email="a@x.test"))
    story.go()
    story.facts.tags.add(VIP)
    assert not story.go(EffectState("claimed")).moved
    assert ended(story.go(SENT)) == ("completed", "goal_met")
    assert [outcome for _, _, outcome in story.path] == ["sent", "skipped", "met"]


@pytest.mark.parametrize("status", ["pending", "retry"])
def test_a_goal_cancels_effects_that_have_not_begun(status: Any) -> None:
    story = Story(program(MAIL, Wait(), Goal(filter=BOUGHT)), someone(email="a@x.test"))
    story.go()
    story.facts.tags.add(VIP)
    assert ended(story.go(EffectState(status))) == ("completed", "goal_met")
    assert [outcome for _, _, outcome in story.path] == ["skipped", "skipped", "met"]


def test_a_goal_leaves_an_effect_in_doubt_to_a_member() -> None:
    story = Story(program(MAIL, Goal(filter=BOUGHT)), someone(email="a@x.test"))
    story.go()
    story.facts.tags.add(VIP)
    assert story.go(EffectState("unknown")).wait_reason is WaitReason.IN_DOUBT


def test_no_step_runs_before_the_settle_time() -> None:
    story = Story(program(Wait()), someone())
    story.state = replace(story.state, wait_until=story.now + timedelta(hours=1))
    assert not story.go().moved
    assert story.go(hours=1).wait_reason is WaitReason.TIMER


def test_a_step_that_is_not_in_the_version() -> None:
    decision = advance(
        program(Exit()),
        after_decision(NEW, leave(NEW, NOW, Status.ACTIVE, ExitReason.FINISHED)),
        someone(),
        NOW,
    )
    assert ended(decision) == ("exited", "finished")  # no step key: the start
    from msgspec.structs import replace

    lost = replace(NEW, step_key="s9", seq=4, wait_reason=WaitReason.TIMER)
    decision = advance(program(Exit()), lost, someone(), NOW)
    assert ended(decision) == ("failed", "failed_permanent")
    assert decision.error == "This step no longer exists in version 1."
    assert decision.closed[0].seq == 4


def test_a_loop_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_program = program(AddTag(tag=VIP), AddTag(tag=COLD))
    compiled_program.nodes[1].after = 0  # no step kind can do this yet; go to will
    decision = Story(compiled_program, someone()).go()
    assert ended(decision) == ("failed", "failed_permanent")
    assert "loop" in (decision.error or "")
    assert len(decision.executions) == interpreter.MOST_VISITS


def test_an_exit_closes_open_visits() -> None:
    story = Story(program(Wait()), someone())
    story.go()
    decision = leave(story.state, NOW, Status.EXITED, ExitReason.REMOVED_BY_USER)
    assert [(closed.seq, closed.outcome) for closed in decision.closed] == [(1, Outcome.LEFT)]
    assert leave(NEW, NOW, Status.EXITED, ExitReason.SUBJECT_DELETED).closed == []
