"""One advance of an enrollment: waits, effects, failures and leaving."""

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
    DrivenEnrollment,
    after_decision,
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


def test_without_steps_or_goals_it_is_completed() -> None:
    assert ended(DrivenEnrollment(program(), contact_facts()).go()) == ("completed", "finished")
    assert ended(DrivenEnrollment(program(AddTag(tag=VIP)), contact_facts()).go()) == (
        "completed",
        "finished",
    )


def test_later_steps_see_changes_reported_once() -> None:
    driven = DrivenEnrollment(
        program(
            UpdateField(field="state", value="CA"),
            AddTag(tag=VIP),
            AddTag(tag=VIP),
            (Branch(branches=[lane("b1", ask("state", "is", "ca"))]), {"b1": [RemoveTag(tag=COLD)]}),
            UpdateField(field=POINTS, value="7"),
            UpdateField(field="city", operation="clear"),
        ),
        contact_facts(tags={COLD}, state="NY", city="Rome"),
    )
    decision = driven.go()
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
    assert driven.facts.tags == {VIP}


def test_a_tag_added_and_removed_in_one_go_is_no_change_but_two_events() -> None:
    decision = DrivenEnrollment(program(AddTag(tag=VIP), RemoveTag(tag=VIP)), contact_facts()).go()
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
    driven = DrivenEnrollment(compiled_program, contact_facts(state=state))
    decision = driven.go()
    assert [key for _, key, _ in driven.path] == path
    assert ended(decision) == ("exited", "finished")


def test_a_wait_begins_and_passes() -> None:
    driven = DrivenEnrollment(program(Wait(amount=1, unit=Unit.MINUTES), AddTag(tag=VIP)), contact_facts())
    decision = driven.go()
    assert (decision.wait_reason, decision.due_at) == (WaitReason.TIMER, NOW + timedelta(minutes=1))
    assert decision.executions[0].finished is None
    early = driven.go(seconds=59)
    assert not early.moved
    assert (early.executions, early.closed, early.wait_until, early.seq) == (
        [],
        [],
        NOW + timedelta(minutes=1),
        1,
    )
    late = driven.go(seconds=1)
    assert [(closed.seq, closed.outcome) for closed in late.closed] == [(1, Outcome.PASSED)]
    assert driven.path == [(1, "s1", "passed"), (2, "s2", "done")]
    assert ended(late) == ("completed", "finished")


def test_a_wait_of_a_day_keeps_the_clock_of_the_account() -> None:
    driven = DrivenEnrollment(program(Wait(amount=1, unit=Unit.DAYS)), contact_facts())  # Paris
    driven.now = datetime(2026, 10, 24, 10, 0, tzinfo=UTC)
    assert driven.go().wait_until == datetime(2026, 10, 25, 11, 0, tzinfo=UTC)


def test_a_wait_until() -> None:
    driven = DrivenEnrollment(program(Wait(mode="until", until="2026-12-01T09:00")), contact_facts())
    assert driven.go().wait_until == datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
    past = Wait(mode="until", until="2026-01-01")
    assert ended(DrivenEnrollment(program(past), contact_facts()).go()) == ("completed", "finished")
    gone = DrivenEnrollment(
        program(Wait(mode="until", until="2026-01-01", past="exit"), AddTag(tag=VIP)), contact_facts()
    )
    assert ended(gone.go()) == ("exited", "past_window")
    assert gone.path == [(1, "s1", "exited")]


def test_an_email_waits_until_its_effect_is_resolved() -> None:
    driven = DrivenEnrollment(
        program(MAIL, AddTag(tag=VIP)),
        contact_facts(first_name="Ann\r\nBcc: x", last_name="Lee", email="a@x.test"),
    )
    decision = driven.go()
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
    assert not driven.go().moved  # woken without a reason
    done = driven.go(EffectState("sent", detail={"message_id": "<1>"}))
    assert (done.effects, done.closed[0].detail) == ([], {"message_id": "<1>"})
    assert driven.path == [(1, "s1", "sent"), (2, "s2", "done")]


def test_retry_doubt_and_failure_of_an_effect() -> None:
    driven = DrivenEnrollment(program(MAIL), contact_facts(email="a@x.test"))
    driven.go()
    again = driven.go(EffectState("retry", NOW + timedelta(minutes=5), "421 slow down"))
    assert (again.wait_reason, again.wait_until, again.due_at) == (
        WaitReason.RETRY,
        NOW + timedelta(minutes=5),
        None,
    )
    assert again.error == "421 slow down"
    doubt = driven.go(EffectState("unknown", error="The worker died during the call."))
    assert (doubt.wait_reason, doubt.wait_until, doubt.status) == (WaitReason.IN_DOUBT, None, Status.ACTIVE)
    assert not driven.go(days=3).moved
    assert driven.go(EffectState("pending")).wait_reason is WaitReason.EFFECT
    failed = driven.go(EffectState("failed_permanent", error="550 no such user"))
    assert (*ended(failed), failed.error) == ("failed", "failed_permanent", "550 no such user")
    assert driven.path == [(1, "s1", "failed")]
    assert sum(len(decision.effects) for decision in driven.decisions) == 1


def test_a_send_without_an_address_is_skipped_with_a_reason() -> None:
    driven = DrivenEnrollment(program(MAIL, AddTag(tag=VIP)), contact_facts())
    assert driven.go().effects == []
    assert driven.path == [(1, "s1", "skipped"), (2, "s2", "done")]


def test_a_webhook_renders_each_part_for_its_place() -> None:
    hook = Webhook(
        url="https://x.test/{{ contact.city }}",
        headers={"X-City": "{{ contact.city }}"},
        body='{"city": "{{ contact.city }}"}',
    )
    decision = DrivenEnrollment(program(hook), contact_facts(city='R "o"/\nme')).go()
    assert decision.effects[0].payload == {
        "url": "https://x.test/R%20%22o%22%2F%0Ame",
        "method": "POST",
        "headers": {"X-City": 'R "o"/ me'},
        "body": '{"city": "R \\"o\\"/\\nme"}',
    }
    assert decision.effects[0].on_doubt is OnDoubt.RESEND
    broken = DrivenEnrollment(
        program(Webhook(url="https://x.test", body="{{ contact.city }}")), contact_facts(city="x")
    ).go()
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
    decision = DrivenEnrollment(program(step, AddTag(tag=VIP)), contact_facts(city="Rome")).go()
    assert ended(decision) == ("failed", "failed_permanent")
    assert decision.error
    assert decision.executions[-1].error == decision.error
    assert decision.tags_added == set()


# Goals


def test_a_goal_met_while_waiting_skips_ahead_from_inside_a_lane() -> None:
    driven = DrivenEnrollment(
        program(
            (Branch(branches=[lane("b1", ask("city", "is", "Rome"))]), {"b1": [Wait(), AddTag(tag=COLD)]}),
            MAIL,
            Goal(filter=BOUGHT),
            AddTag(tag=COLD),
        ),
        contact_facts(city="Rome", email="a@x.test"),
    )
    driven.go()
    assert not driven.go(hours=1).moved
    driven.facts.tags.add(VIP)
    decision = driven.go(hours=1)
    assert driven.path == [
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
    driven = DrivenEnrollment(
        program(AddTag(tag=VIP), MAIL, Goal(filter=BOUGHT)), contact_facts(email="a@x.test")
    )
    assert ended(driven.go()) == ("completed", "goal_met")
    assert [outcome for _, _, outcome in driven.path] == ["done", "skipped", "met"]


def test_a_goal_does_not_interrupt_an_effect_under_way() -> None:
    driven = DrivenEnrollment(program(MAIL, Wait(), Goal(filter=BOUGHT)), contact_facts(email="a@x.test"))
    driven.go()
    driven.facts.tags.add(VIP)
    assert not driven.go(EffectState("claimed")).moved
    assert ended(driven.go(SENT)) == ("completed", "goal_met")
    assert [outcome for _, _, outcome in driven.path] == ["sent", "skipped", "met"]


@pytest.mark.parametrize("status", ["pending", "retry"])
def test_a_goal_cancels_effects_that_have_not_begun(status: Any) -> None:
    driven = DrivenEnrollment(program(MAIL, Wait(), Goal(filter=BOUGHT)), contact_facts(email="a@x.test"))
    driven.go()
    driven.facts.tags.add(VIP)
    assert ended(driven.go(EffectState(status))) == ("completed", "goal_met")
    assert [outcome for _, _, outcome in driven.path] == ["skipped", "skipped", "met"]


def test_a_goal_leaves_an_effect_in_doubt_to_a_member() -> None:
    driven = DrivenEnrollment(program(MAIL, Goal(filter=BOUGHT)), contact_facts(email="a@x.test"))
    driven.go()
    driven.facts.tags.add(VIP)
    assert driven.go(EffectState("unknown")).wait_reason is WaitReason.IN_DOUBT


def test_no_step_runs_before_the_settle_time() -> None:
    driven = DrivenEnrollment(program(Wait()), contact_facts())
    driven.state = replace(driven.state, wait_until=driven.now + timedelta(hours=1))
    assert not driven.go().moved
    assert driven.go(hours=1).wait_reason is WaitReason.TIMER


def test_a_step_that_is_not_in_the_version() -> None:
    decision = advance(
        program(Exit()),
        after_decision(NEW, leave(NEW, NOW, Status.ACTIVE, ExitReason.FINISHED)),
        contact_facts(),
        NOW,
    )
    assert ended(decision) == ("exited", "finished")  # no step key: the start
    from msgspec.structs import replace

    lost = replace(NEW, step_key="s9", seq=4, wait_reason=WaitReason.TIMER)
    decision = advance(program(Exit()), lost, contact_facts(), NOW)
    assert ended(decision) == ("failed", "failed_permanent")
    assert decision.error == "This step no longer exists in version 1."
    assert decision.closed[0].seq == 4


def test_a_loop_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_program = program(AddTag(tag=VIP), AddTag(tag=COLD))
    compiled_program.nodes[1].after = 0  # no step kind can do this yet; go to will
    decision = DrivenEnrollment(compiled_program, contact_facts()).go()
    assert ended(decision) == ("failed", "failed_permanent")
    assert "loop" in (decision.error or "")
    assert len(decision.executions) == interpreter.MOST_VISITS


def test_an_exit_closes_open_visits() -> None:
    driven = DrivenEnrollment(program(Wait()), contact_facts())
    driven.go()
    decision = leave(driven.state, NOW, Status.EXITED, ExitReason.REMOVED_BY_USER)
    assert [(closed.seq, closed.outcome) for closed in decision.closed] == [(1, Outcome.LEFT)]
    assert leave(NEW, NOW, Status.EXITED, ExitReason.SUBJECT_DELETED).closed == []
