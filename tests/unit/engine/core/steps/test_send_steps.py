"""What steps send, to which recipient, and when."""

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from app.engine.core.draft import WorkflowSettings
from app.engine.core.scalars import OnDoubt
from app.engine.core.steps import AddNote, Chat, Notify, SendEmail, SendSms, StepConfig, Webhook, Window
from app.engine.core.types import EffectState, NewNotification, StepContext, WaitReason
from tests.support.engine_kit import (
    ENROLLMENT,
    MEMBER,
    MOTTO,
    NOW,
    SCORE,
    SENT,
    SINCE,
    DrivenEnrollment,
    contact_facts,
    program,
)

ADA, BOB, EVE = (UUID(int=number) for number in (501, 502, 503))
TEAM = [ADA, BOB, EVE]
OTHER = UUID(int=101)
POINTS, SURE, DAY, TEXT = (f"custom.{field_id}" for field_id in (SCORE, MEMBER, SINCE, MOTTO))


def run_story(*steps: StepConfig, around: StepContext | None = None, **values: Any) -> DrivenEnrollment:
    driven = DrivenEnrollment(program(*steps), contact_facts(**values), around)
    driven.go()
    return driven


def why(driven: DrivenEnrollment) -> str:
    """The reason of the only skipped step."""
    reasons = [
        row.detail["reason"]
        for decision in driven.decisions
        for row in decision.executions
        if row.outcome == "skipped"
    ]
    assert len(reasons) == 1
    return str(reasons[0])


def test_sms_goes_to_the_phone() -> None:
    step = SendSms(body="Hi {{ contact.first_name }}", transactional=True)
    effect = run_story(step, phone="+12025550123", first_name="Ann").decisions[0].effects[0]
    assert (effect.kind, effect.payload) == (
        "sms",
        {"to": "+12025550123", "body": "Hi Ann", "transactional": True},
    )
    assert (effect.on_doubt, effect.idempotency_key) == (OnDoubt.ASK_MEMBER, f"{ENROLLMENT}:1")
    assert why(run_story(step)) == "The contact has no phone number."
    typed = why(run_story(step, phone="06 12 34 56 78"))
    assert typed == "“06 12 34 56 78” isn't a valid phone number, so no SMS was sent."
    assert "empty" in why(run_story(SendSms(body="{{ contact.city }}"), phone="+12025550123"))


@pytest.mark.parametrize(
    ("step", "consent", "sent"),
    [
        (SendEmail(subject="x", body="x"), {"email_consent": "denied"}, False),
        (SendEmail(subject="x", body="x"), {"sms_consent": "denied"}, True),
        (SendEmail(subject="x", body="x"), {"email_consent": "unknown"}, True),
        (SendEmail(subject="x", body="x", transactional=True), {"email_consent": "denied"}, True),
        (SendSms(body="x"), {"sms_consent": "denied"}, False),
        (SendSms(body="x"), {"email_consent": "denied"}, True),
        (SendSms(body="x", transactional=True), {"sms_consent": "denied"}, True),
    ],
)
def test_sends_require_consent(step: StepConfig, consent: dict[str, str], sent: bool) -> None:
    driven = DrivenEnrollment(program(step), contact_facts(email="a@x.test", phone="+12025550123"))
    driven.facts.values |= consent
    assert bool(driven.go().effects) is sent
    if not sent:
        assert "denied consent" in why(driven)


def test_chat_and_what_a_webhook_keeps() -> None:
    driven = DrivenEnrollment(
        program(
            Webhook(url="https://x.test", save_as="crm"),
            Webhook(url="https://x.test", body='{"id": "{{ response.crm.id }}"}', save_as="next"),
            Chat(channel="#deals", text="{{ response.crm.id }} {{ response.next.0 }} {{ event.note }}"),
        ),
        contact_facts(),
    )
    driven.facts.data = {"event": {"note": "hi"}}
    assert driven.go().effects[0].payload["save_as"] == "crm"
    answered = driven.go(EffectState("sent", detail={"status": 200, "body": '{"id": 7}'}))
    assert answered.closed[0].detail == {"status": 200, "saved": True}
    assert answered.data == {"response": {"crm": {"id": 7}}}
    assert answered.effects[0].payload["body"] == '{"id": "7"}'
    # Both answers are carried on; one that is no JSON is not kept, and the visit says so.
    last = driven.go(EffectState("sent", detail={"status": 200, "body": [1]}))
    assert last.data == {"response": {"crm": {"id": 7}, "next": [1]}}
    assert last.effects[0].payload == {"channel": "#deals", "text": "7 1 hi"}
    odd = run_story(Webhook(url="https://x.test", save_as="crm"), AddNote(text="{{ response.crm.id }}"))
    decision = odd.go(EffectState("sent", detail={"status": 200, "body": "<html>"}))
    assert (decision.data, decision.closed[0].detail) == ({}, {"status": 200, "saved": False})


@pytest.mark.parametrize(
    ("city", "called"),
    [("..", False), (".", False), ("../admin", True), ("...", True), ("a.b", True), ("", True)],
)
def test_dots_in_a_value_cannot_climb_in_a_url_path(city: str, called: bool) -> None:
    at = "https://x.test/people/{{ contact.city }}/notes?of={{ contact.city }}/.."
    decision = run_story(Webhook(url=at), city=city).decisions[-1]
    assert (len(decision.effects), decision.status) == ((1, "active") if called else (0, "failed"))
    assert called or "“.” or “..” as a path segment" in str(decision.error)


def test_notifications_go_to_members_and_one_mail_to_all_of_them() -> None:
    around = StepContext(members=list(TEAM))
    step = Notify(to="users", users=[ADA, OTHER, BOB], title="Hot: {{ contact.first_name }}", body="b")
    driven = run_story(step, around=around, first_name="Ann")
    assert driven.decisions[0].notifications == [
        NewNotification(member, "Hot: Ann", "b") for member in (ADA, BOB)
    ]
    assert (driven.decisions[0].effects, driven.decisions[0].status) == ([], "completed")
    mailed = run_story(replace(step, to="everyone", email=True), around=around)
    effect = mailed.decisions[0].effects[0]
    assert (effect.kind, effect.payload["internal"], effect.payload["users"]) == (
        "email",
        True,
        [str(member) for member in TEAM],
    )
    assert mailed.state.wait_reason is WaitReason.EFFECT
    assert len(mailed.decisions[0].notifications) == 3
    assert mailed.go(SENT).status == "completed"
    assert why(run_story(replace(step, to="owner"), around=around)) == "The contact has no owner."
    assert (
        why(run_story(replace(step, users=[OTHER]), around=around))
        == "None of the chosen members belong to this account anymore."
    )


# Windows: the twenty-fourth of November 2026 is a Tuesday, half past ten in Paris

EVENING = Window(start="18:00", end="20:00")


def test_a_closed_window_waits_and_is_checked_again() -> None:
    driven = DrivenEnrollment(
        program(SendEmail(subject="{{ contact.city }}", body="x", window=EVENING)),
        contact_facts(email="a@x.test", city="Rome"),
    )
    waiting = driven.go()
    assert (waiting.wait_reason, waiting.due_at, waiting.effects) == (
        "window",
        NOW.replace(hour=17, minute=0),
        [],
    )
    driven.facts.values["city"] = "Oslo"
    assert not driven.go(hours=1).moved
    opened = driven.go(hours=7)
    assert opened.effects[0].payload["subject"] == "Oslo"
    assert opened.effects[0].seq == 2
    assert driven.go(SENT).status == "completed"
    assert driven.path == [(1, "s1", "passed"), (2, "s1", "sent")]


def test_after_the_window_it_waits_for_the_next() -> None:
    driven = DrivenEnrollment(program(SendSms(body="x", window=EVENING)), contact_facts(phone="+12025550123"))
    driven.go()
    late = driven.go(hours=11)
    assert (late.wait_reason, late.due_at) == ("window", NOW.replace(day=25, hour=17, minute=0))


def test_the_workflow_window_holds_for_steps_without_one() -> None:
    whole = Window(start="00:00", end="00:00")
    steps: list[StepConfig] = [Chat(channel="c", text="x"), Webhook(url="https://x.test", window=whole)]
    compiled_program = program(*steps, settings=WorkflowSettings(window=EVENING))
    assert DrivenEnrollment(compiled_program, contact_facts()).go().wait_reason == "window"
    compiled_program = program(*reversed(steps), settings=WorkflowSettings(window=EVENING))
    assert DrivenEnrollment(compiled_program, contact_facts()).go().wait_reason == "effect"


def test_a_window_in_the_zone_of_the_contact() -> None:
    step = SendSms(body="x", window=Window(start="18:00", end="20:00", zone="contact"))
    tokyo = run_story(
        step, phone="+12025550123", time_zone="Asia/Tokyo"
    )  # half past six in the evening there
    assert tokyo.state.wait_reason is WaitReason.EFFECT
    assert run_story(step, phone="+12025550123", time_zone="Mars/Base").state.wait_reason is WaitReason.WINDOW
    fixed = SendSms(body="x", window=Window(start="18:00", end="20:00", zone="Asia/Tokyo"))
    assert run_story(fixed, phone="+12025550123").state.wait_reason is WaitReason.EFFECT


def test_effects_carry_their_window_unless_a_member_skipped_it() -> None:
    step = SendSms(body="x", window=Window(start="18:00", end="20:00", zone="contact"))
    sent = run_story(step, phone="+12025550123", time_zone="Asia/Tokyo").decisions[0].effects[0].payload
    assert sent["window"] == {"days": [], "start": "18:00", "end": "20:00", "zone": "Asia/Tokyo"}
    opened = DrivenEnrollment(program(step), contact_facts(phone="+12025550123"))
    opened.go()
    opened.state = replace(opened.state, wait_until=NOW)
    assert opened.go(woken=True).effects[0].payload == {"to": "+12025550123", "body": "x"}


def test_no_window_wait_without_an_address() -> None:
    assert run_story(SendEmail(subject="x", body="x", window=EVENING)).decisions[0].status == "completed"
