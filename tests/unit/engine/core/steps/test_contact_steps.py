"""What each step changes on the contact, and which members it notifies."""

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from app.engine.core.merge_tags import LONGEST_RENDERED
from app.engine.core.steps import (
    AddNote,
    AddTag,
    AddToWorkflow,
    AskApproval,
    AssignOwner,
    Chat,
    CreateTask,
    DeleteContact,
    Exit,
    Notify,
    RemoveFromWorkflow,
    RemoveTag,
    SendEmail,
    SendSms,
    SetConsent,
    StepConfig,
    Unit,
    UpdateField,
    Wait,
    Webhook,
)
from app.engine.core.types import NewNotification, NewTask, Status, StepContext
from app.filters.facts import FactValue
from tests.support.engine_kit import (
    BUDGET,
    LIKES,
    MEMBER,
    MET,
    MOTTO,
    NEW,
    NOW,
    SCORE,
    SENT,
    SINCE,
    VIP,
    DrivenEnrollment,
    contact_facts,
    program,
)

ADA, BOB, EVE = (UUID(int=number) for number in (501, 502, 503))
TEAM = [ADA, BOB, EVE]
OTHER = UUID(int=101)
POINTS, SURE, DAY, TEXT = (f"custom.{field_id}" for field_id in (SCORE, MEMBER, SINCE, MOTTO))
TIME, OPTIONS, AMOUNT = (f"custom.{field_id}" for field_id in (MET, LIKES, BUDGET))


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


# Fields


@pytest.mark.parametrize(
    ("before", "added", "after"),
    [(None, "5", 5), (2, "3", 5), (0.1, "0.2", 0.3), (5, "-5", 0), (7, "{{ contact.score }}", 14)],
)
def test_adding_to_a_field(before: float | None, added: str, after: float) -> None:
    values: dict[str, Any] = {} if before is None else {"score": before}
    driven = run_story(UpdateField(field=POINTS, operation="add", value=added), **values)
    assert driven.decisions[-1].fields == {POINTS: after}


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (UpdateField(field=POINTS, operation="add", value="{{ contact.city }}"), "no number to add"),
        (UpdateField(field="city", operation="add", value="1"), "no number to add"),
        (UpdateField(field=POINTS, operation="add", value="999999999999999"), "too large"),
        (UpdateField(field=POINTS, operation="copy", source="state"), "Enter a number"),
    ],
)
def test_adding_or_copying_an_unfit_value_fails(step: StepConfig, error: str) -> None:
    decision = run_story(step, score=999_999_999_999_999, state="CA").decisions[-1]
    assert (decision.status, decision.fields) == ("failed", {})
    assert error in str(decision.error)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (UpdateField(field="owner", value=str(OTHER)), "isn't a member of this account"),
        (UpdateField(field="owner", operation="copy", source="city"), "isn't a member of this account"),
        (UpdateField(field="time_zone", operation="copy", source="state"), "Choose a time zone"),
        (UpdateField(field="website", value="javascript://x y"), "Enter a URL"),
        (UpdateField(field="website", value="ftp://x.test"), "Enter a URL"),
        (UpdateField(field="last_name", value="x" * 201), "at most 200 characters"),
    ],
)
def test_a_value_outside_the_options_of_a_field_fails(step: StepConfig, error: str) -> None:
    driven = run_story(step, around=StepContext(members=list(TEAM)), city=str(OTHER), state="Mars")
    assert (driven.decisions[-1].status, driven.decisions[-1].fields) == ("failed", {})
    assert error in str(driven.decisions[-1].error)
    assert run_story(
        UpdateField(field="owner", value=str(ADA)), around=StepContext(members=list(TEAM))
    ).facts.values["owner"] == str(ADA)


def test_a_step_stores_values_as_a_form_does() -> None:
    def stored(field: str, value: str) -> object:
        return run_story(UpdateField(field=field, value=value)).facts.values[field]

    assert stored("website", "x.test") == "https://x.test"
    assert stored("phone", "504-621-8927") == "+15046218927"
    assert stored("time_zone", "europe/rome") == "Europe/Rome"
    assert stored(TIME, "2026-11-24 10:30") == "2026-11-24T09:30:00Z"
    assert stored(AMOUNT, "{{ contact.city }}1,000") == 1000
    assert stored(OPTIONS, "Tea cake, milk, oat") == ["milk, oat", "Tea cake"]
    german = contact_facts()
    german.region = "DE"
    driven = DrivenEnrollment(program(UpdateField(field="phone", value="030 901820")), german)
    driven.go()
    assert driven.facts.values["phone"] == "+4930901820"


@pytest.mark.parametrize(
    ("source", "target", "value", "copied"),
    [
        ("city", "state", "Rome", "Rome"),
        ("city", "state", None, None),
        (POINTS, TEXT, 7, "7"),
        (SURE, TEXT, True, "yes"),
        (TEXT, POINTS, "12.5", 12.5),
        ("created_at", DAY, NOW, "2026-11-24"),
        ("created_at", TEXT, NOW, "2026-11-24 10:30"),
        ("created_at", TIME, NOW, "2026-11-24T09:30:00Z"),
        (TIME, DAY, "2026-11-24T23:30:00Z", "2026-11-25"),
        (TIME, TEXT, "2026-11-24T23:30:00Z", "2026-11-25 00:30"),
        (OPTIONS, TEXT, ["tea", "milk, oat"], "tea, milk, oat"),
        (AMOUNT, POINTS, 1234.5, 1234.5),
        (AMOUNT, TEXT, 1234.5, "1,234.50 EUR"),
        (TEXT, AMOUNT, "1,234.50 EUR", 1234.5),
        (TEXT, OPTIONS, "TEA, milk, oat", ["tea", "milk, oat"]),
    ],
)
def test_copying_a_field(source: str, target: str, value: FactValue, copied: object) -> None:
    driven = DrivenEnrollment(
        program(UpdateField(field=target, operation="copy", source=source)), contact_facts()
    )
    driven.facts.values |= {source: value, target: "old"}
    assert driven.go().fields == {target: copied}


# Owners


def test_round_robin_takes_turns_across_people_and_versions_of_the_team() -> None:
    step, around = AssignOwner(mode="round_robin", users=TEAM), StepContext(members=list(TEAM))
    owners = [run_story(step, around=around).facts.values["owner"] for _ in range(4)]
    assert owners == [str(ADA), str(BOB), str(EVE), str(ADA)]
    assert around.states == {"s1": {"next": 1}}
    around.members.remove(BOB)  # a former member is skipped
    assert [run_story(step, around=around).facts.values["owner"] for _ in range(2)] == [str(EVE), str(ADA)]


def test_least_busy_counts_earlier_assignments_of_the_batch() -> None:
    around = StepContext(members=list(TEAM), owned={ADA: 3, BOB: 1, EVE: 2})
    step = AssignOwner(mode="least_busy")
    owners = [run_story(step, around=around).facts.values["owner"] for _ in range(3)]
    assert owners == [str(BOB), str(BOB), str(EVE)]
    assert around.owned == {ADA: 3, BOB: 3, EVE: 3}
    driven = DrivenEnrollment(program(step), contact_facts(), around)
    driven.facts.values["owner"] = str(BOB)
    around.owned[BOB] = 9
    driven.go()
    assert around.owned == {ADA: 4, BOB: 8, EVE: 3}


def test_an_owner_is_a_field_like_others() -> None:
    driven = DrivenEnrollment(
        program(AssignOwner(users=[ADA])), contact_facts(), StepContext(members=list(TEAM))
    )
    change = driven.go().changes[0]
    assert (change.kind, change.name, change.old, change.new) == ("field", "owner", None, str(ADA))
    unchanged = DrivenEnrollment(program(AssignOwner(users=[BOB], only_if_unassigned=True)), driven.facts)
    assert unchanged.go().fields == {}
    assert why(unchanged) == "The contact already has an owner."
    away = DrivenEnrollment(program(AssignOwner(mode="nobody")), driven.facts)
    assert away.go().fields == {"owner": None}
    gone = DrivenEnrollment(
        program(AssignOwner(users=[OTHER])), driven.facts, StepContext(members=list(TEAM))
    )
    gone.go()
    assert why(gone) == "None of the chosen members belong to this account anymore."


# What belongs to the contact


def test_notes_and_tasks() -> None:
    task = CreateTask(
        title="Call {{ contact.first_name }}", body="{{ contact.city }}", amount=2, unit=Unit.HOURS
    )
    driven = DrivenEnrollment(
        program(AddNote(text=" Met {{ contact.first_name }} "), task),
        contact_facts(first_name="Ann", city="Rome"),
    )
    driven.facts.values["owner"] = str(ADA)
    decision = driven.go()
    assert decision.notes == ["Met Ann"]
    due = NOW.replace(hour=11)
    assert decision.tasks == [NewTask("Call Ann", "Rome", ADA, due)]
    assert [(change.kind, change.name) for change in decision.changes] == [
        ("note_added", "Met Ann"),
        ("task_added", "Call Ann"),
    ]


def test_tasks_without_an_assignee() -> None:
    driven = run_story(CreateTask(title="x", has_due=False), CreateTask(title="y", assignee="user", user=BOB))
    assert [(task.assignee, task.due_at is None) for task in driven.decisions[0].tasks] == [
        (None, True),
        (BOB, False),
    ]
    assert "no title" in why(run_story(CreateTask(title="{{ contact.city }}")))
    assert "empty" in why(run_story(AddNote(text="{{ contact.city }}")))


def test_unchanged_consent_writes_no_change() -> None:
    driven = run_story(SetConsent(channel="sms", state="denied"), SetConsent(state="unknown"))
    assert driven.decisions[0].fields == {"sms_consent": "denied"}
    change = driven.decisions[0].changes[0]
    assert (change.name, change.old, change.new) == ("sms_consent", "unknown", "denied")


def test_deleting_the_contact_ends_the_enrollment() -> None:
    decision = run_story(DeleteContact(), AddTag(tag=VIP)).decisions[0]
    assert (decision.status, decision.exit_reason, decision.delete) == ("exited", "subject_deleted", True)
    assert [row.step_key for row in decision.executions] == ["s1"]


def test_steps_that_add_to_or_remove_from_other_workflows() -> None:
    decision = run_story(
        AddToWorkflow(workflow=OTHER), RemoveFromWorkflow(workflow=OTHER), RemoveFromWorkflow()
    ).decisions[0]
    assert (decision.enter, decision.leave) == ([OTHER], [OTHER, None])


# A deleted contact


def test_for_a_deleted_contact_only_members_are_notified() -> None:
    steps: list[StepConfig] = [
        AddTag(tag=VIP),
        RemoveTag(tag=VIP),
        UpdateField(field="city", value="x"),
        AssignOwner(users=[ADA]),
        AddNote(text="x"),
        CreateTask(title="x"),
        SetConsent(),
        SendEmail(subject="x", body="x"),
        SendSms(body="x"),
        AddToWorkflow(workflow=OTHER),
        RemoveFromWorkflow(),
        DeleteContact(),
        Notify(to="users", users=[ADA], title="{{ contact.first_name }} is gone"),
        Wait(amount=1, unit=Unit.HOURS),
        Chat(channel="c", text="x"),
        Exit(),
    ]
    driven = DrivenEnrollment(
        program(*steps), contact_facts(email="a@x.test", phone="+12025550123", first_name="Ann")
    )
    driven.state = replace(NEW, contact_gone=True)
    first = driven.go()
    assert [row.outcome for row in first.executions] == ["skipped"] * 12 + ["done", None]
    assert {row.detail["reason"] for row in first.executions[:12]} == {"The contact was deleted."}
    assert (first.changes, first.fields, first.enter, first.leave, first.delete) == ([], {}, [], [], False)
    assert first.notifications == [NewNotification(ADA, "Ann is gone", "")]
    assert driven.go(hours=2).effects[0].kind == "chat"
    assert driven.go(SENT).exit_reason == "finished"


BIG = "{{ event.big }}"


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (UpdateField(field=TEXT, operation="set", value=BIG), "value"),
        (UpdateField(field=POINTS, operation="add", value=BIG), "value"),
        (AddNote(text=BIG), "text"),
        (CreateTask(title="Call", body=BIG), "body"),
        (SendEmail(subject=BIG, body="Hi"), "subject"),
        (SendSms(body=BIG), "body"),
        (Notify(to="everyone", title="Look", body=BIG), "body"),
        (Chat(channel="#c", text=BIG), "text"),
        (Webhook(url="https://x.test/", headers={"X-Big": BIG}, body=""), "header X-Big"),
        (AskApproval(question=BIG), "question"),
    ],
)
def test_a_text_over_the_limit_fails_its_step_without_changes(step: StepConfig, name: str) -> None:
    facts = contact_facts(email="ann@x.example", phone="+12025550123")
    facts.data = {"event": {"big": "x" * (LONGEST_RENDERED + 1)}}
    driven = DrivenEnrollment(program(step, AddNote(text="on")), facts, StepContext(members=TEAM))
    driven.go()
    [decision] = driven.decisions
    assert (decision.status, [row.outcome for row in decision.executions]) == (Status.FAILED, ["failed"])
    assert f"The {name} is longer than" in (decision.error or "")
    done = (
        decision.fields,
        decision.changes,
        decision.notes,
        decision.tasks,
        decision.effects,
        decision.notifications,
    )
    assert not any(done)
    assert not decision.approvals
