"""What keeps steps and triggers of most kinds from being published: one sentence at one input."""

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from app.engine.core.draft import Reentry, WorkflowSettings
from app.engine.core.name_lookup import Names
from app.engine.core.steps import (
    AddNote,
    AddToWorkflow,
    ApprovalOption,
    AskApproval,
    AssignOwner,
    Chat,
    CreateTask,
    DeleteContact,
    Drip,
    Exit,
    GoTo,
    Notify,
    RemoveFromWorkflow,
    SendEmail,
    SendSms,
    SetConsent,
    Split,
    SplitLane,
    Step,
    StepConfig,
    UpdateField,
    Wait,
    WaitFor,
    Webhook,
    Window,
    blank,
)
from app.engine.core.triggers import (
    ContactDeleted,
    ContactUpdated,
    DateReached,
    EmailEvent,
    FieldChanged,
    InboundWebhook,
    NoteAdded,
    Schedule,
    SegmentEntered,
    SegmentLeft,
    TagRemoved,
    TaskOverdue,
    Trigger,
    WorkflowEnded,
)
from app.workflows.domain.lint import lint, step_problems, with_draft
from app.workflows.domain.references import references
from tests.support.engine_kit import COLD, FIELDS, MEMBER, SCORE, SINCE, TAGS, VIP, ask, draft, every

ADA, GONE, GOLD, OTHER = (UUID(int=number) for number in (501, 999, 601, 101))
NAMES = Names(TAGS, {str(GOLD): "gold"}, {str(OTHER): "Other"}, {str(ADA): "Ada"})
POINTS, DAY = f"custom.{SCORE}", f"custom.{SINCE}"
BOUGHT = ask("tags", "any_of", [str(VIP)])
YES = ApprovalOption("b1", "Yes")


def lanes(*weights: int) -> list[SplitLane]:
    return [SplitLane(f"b{number}", "x", weight) for number, weight in enumerate(weights)]


GOOD: list[StepConfig] = [
    UpdateField(field=POINTS, operation="add", value="{{ contact.score }}"),
    UpdateField(field=POINTS, operation="add", value="-2.5"),
    UpdateField(field="city", operation="copy", source=POINTS),
    AssignOwner(users=[ADA]),
    AssignOwner(mode="round_robin"),
    AssignOwner(mode="nobody", users=[GONE]),
    AddNote(text="{{ event.body.x }} {{ response.crm.id }}"),
    CreateTask(title="x", assignee="user", user=ADA),
    SetConsent(),
    DeleteContact(),
    SendSms(body="x", window=Window(days=[], zone="contact")),
    Notify(title="x", to="users", users=[ADA]),
    Notify(title="x", users=[GONE]),
    Chat(channel="#x", text="x", window=Window(zone="Asia/Tokyo", start="22:00", end="06:00")),
    Webhook(url="https://x.test", save_as="crm"),
    Wait(mode="date_field", field=DAY, past="skip_to", skip_to="s1"),
    Wait(mode="date_field", field="created_at", offset=-30),
    Wait(mode="recurring", month_day=31),
    WaitFor(mode="event", event="tag.added", about=str(VIP), filter=BOUGHT),
    WaitFor(mode="event", event="segment.left"),
    WaitFor(mode="event", event="contact.updated", about="city"),
    WaitFor(filter=BOUGHT),
    Split(lanes=lanes(0, 1)),
    GoTo(step="s1"),
    AddToWorkflow(workflow=OTHER),
    RemoveFromWorkflow(),
    RemoveFromWorkflow(workflow=OTHER),
    Drip(),
    AskApproval(question="x", options=[YES], users=[ADA]),
    Exit(),
]


def test_a_draft_of_complete_steps_has_no_problem() -> None:
    assert lint(draft(*GOOD), FIELDS, NAMES) == []


SMS, CHAT = SendSms(body="x"), Chat(channel="c", text="x")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (UpdateField(field="city", operation="add", value="1"), "operation"),
        (UpdateField(field=POINTS, operation="add", value="many"), "value"),
        (UpdateField(field=POINTS, operation="add"), "value"),
        (UpdateField(field="city", operation="copy"), "source"),
        (UpdateField(field="city", operation="copy", source="citty"), "source"),
        (UpdateField(field="city", operation="copy", source="city"), "source"),
        (UpdateField(field="city", operation="copy", source="tags"), "source"),
        (UpdateField(field="email_consent", value="granted"), "field"),
        (AssignOwner(), "users"),
        (AssignOwner(mode="round_robin", users=[ADA, GONE]), "users"),
        (AddNote(), "text"),
        (AddNote(text="{{ response.crn.id }}"), "text"),
        (AddNote(text="{{ event }}"), "text"),
        (CreateTask(), "title"),
        (CreateTask(title="x", body="{{ contact.citty }}"), "body"),
        (CreateTask(title="x", assignee="user"), "user"),
        (CreateTask(title="x", assignee="user", user=GONE), "user"),
        (CreateTask(title="x", amount=0), "amount"),
        (SendSms(), "body"),
        (SendSms(body="{{ contact.citty }}"), "body"),
        (replace(SMS, window=Window(zone="Mars/Base")), "window.zone"),
        (replace(SMS, window=Window(zone="../etc/passwd")), "window.zone"),
        (replace(SMS, window=Window(days=[7])), "window.days"),
        (replace(CHAT, window=Window(start="")), "window.start"),
        (SendEmail(subject="x", body="x", window=Window(end="")), "window.end"),
        (Notify(), "title"),
        (Notify(title="x", to="users"), "users"),
        (Notify(title="x", to="users", users=[GONE]), "users"),
        (Chat(text="x"), "channel"),
        (Chat(channel="x"), "text"),
        (Wait(mode="date_field"), "field"),
        (Wait(mode="date_field", field="citty"), "field"),
        (Wait(mode="date_field", field="city"), "field"),
        (Wait(mode="date_field", field=DAY, past="skip_to"), "skip_to"),
        (Wait(mode="date_field", field=DAY, past="skip_to", skip_to="s1"), "skip_to"),
        (Wait(mode="until", until="2026-12-01", past="skip_to", skip_to="s99"), "skip_to"),
        (Wait(mode="recurring"), "weekdays"),
        (WaitFor(), "filter"),
        (WaitFor(filter=every()), "filter"),
        (WaitFor(filter=BOUGHT, amount=0), "amount"),
        (WaitFor(mode="event"), "event"),
        (WaitFor(mode="event", event="tag.aded"), "event"),
        (WaitFor(mode="event", event="tag.added", about=str(GONE)), "about"),
        (WaitFor(mode="event", event="segment.entered", about=str(GONE)), "about"),
        (WaitFor(mode="event", event="enrollment.ended", about=str(GONE)), "about"),
        (WaitFor(mode="event", event="contact.updated", about="citty"), "about"),
        (Split(), "lanes"),
        (Split(lanes=lanes(1)), "lanes"),
        (Split(lanes=lanes(0, 0)), "lanes"),
        (GoTo(), "step"),
        (GoTo(step="s1"), "step"),
        (GoTo(step="s99"), "step"),
        (AddToWorkflow(), "workflow"),
        (AddToWorkflow(workflow=GONE), "workflow"),
        (RemoveFromWorkflow(workflow=GONE), "workflow"),
        (Drip(count=0), "count"),
        (Drip(amount=0), "amount"),
        (AskApproval(options=[YES]), "question"),
        (AskApproval(question="x"), "options"),
        (AskApproval(question="x", options=[YES], users=[GONE]), "users"),
        (AskApproval(question="x", options=[YES], amount=0), "amount"),
    ],
)
def test_problems_of_steps(config: StepConfig, field: str) -> None:
    problems = lint(draft(config, Webhook(url="https://x.test", save_as="crm")), FIELDS, NAMES)
    assert [(problem.key, problem.field) for problem in problems] == [("s1", field)]


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [
        ([AddNote(text="x"), SendSms(body="x"), GoTo(step="s1")], ["s3"]),
        ([AddNote(text="x"), GoTo(step="s1")], ["s2"]),
        ([GoTo(step="s2"), GoTo(step="s3"), SetConsent(), GoTo(step="s2")], ["s2", "s4"]),
        ([AddNote(text="x"), Wait(), GoTo(step="s1")], []),
        ([AddNote(text="x"), Split(lanes=[SplitLane("b0"), SplitLane("b1")]), GoTo(step="s1")], []),
        ([GoTo(step="s3"), Exit(), AddNote(text="x")], []),
    ],
)
def test_loops_without_an_exit_are_reported(steps: list[StepConfig], wrong: list[str]) -> None:
    assert [problem.key for problem in lint(draft(*steps), FIELDS, NAMES)] == wrong


def test_unknown_references_are_not_reported_twice() -> None:
    step = Step("new", AddNote(text="{{ response.crm.id }}"))
    assert step_problems(step, FIELDS, NAMES) == []
    assert step_problems(Step("new", GoTo(step="s9")), FIELDS, NAMES) == []
    there = draft(Webhook(url="https://x.test", save_as="crm"))
    assert step_problems(step, FIELDS, with_draft(NAMES, there)) == []
    assert step_problems(step, FIELDS, with_draft(NAMES, draft(Exit()))) != []


def test_every_blank_step_says_what_it_lacks() -> None:
    complete = {"exit", "set_consent", "delete_contact", "wait", "drip", "remove_from_workflow", "split"}
    for kind in ("send_sms", "notify", "chat", "wait_for", "go_to", "approval", *complete):
        assert bool(step_problems(Step("s1", blank(kind)), FIELDS, NAMES)) is (kind not in complete), kind


@pytest.mark.parametrize(
    ("trigger", "field"),
    [
        (TagRemoved(key="t1"), "tag"),
        (TagRemoved(key="t1", tag=GONE), "tag"),
        (SegmentEntered(key="t1"), "segment"),
        (SegmentLeft(key="t1", segment=GONE), "segment"),
        (FieldChanged(key="t1"), "field"),
        (FieldChanged(key="t1", field="citty"), "field"),
        (FieldChanged(key="t1", field="tags"), "field"),
        (FieldChanged(key="t1", field="city", before_is="value"), "before"),
        (FieldChanged(key="t1", field="city", after_is="value"), "after"),
        (ContactUpdated(key="t1", fields=["history"]), "fields"),
        (DateReached(key="t1"), "field"),
        (DateReached(key="t1", field="city"), "field"),
        (Schedule(key="t1", cron="every day"), "cron"),
        (Schedule(key="t1", cron="0 0 30 2 *"), "cron"),
        (Schedule(key="t1", segment=GONE), "segment"),
        (InboundWebhook(key="t1", contact_path=""), "contact_path"),
        (InboundWebhook(key="t1", contact_path="a..b"), "contact_path"),
        (WorkflowEnded(key="t1"), "workflow"),
        (WorkflowEnded(key="t1", workflow=GONE), "workflow"),
    ],
)
def test_problems_of_triggers(trigger: Trigger, field: str) -> None:
    problems = lint(replace(draft(Exit()), triggers=[trigger]), FIELDS, NAMES)
    assert [(problem.where, problem.key, problem.field) for problem in problems] == [("trigger", "t1", field)]


def test_good_triggers() -> None:
    triggers: list[Trigger] = [
        TagRemoved(tag=VIP),
        SegmentEntered(segment=GOLD),
        FieldChanged(field="owner"),
        FieldChanged(field="email_consent", after_is="value", after="denied"),
        DateReached(field=DAY, yearly=True, offset=-7),
        Schedule(cron="0 9 * * mon-fri", segment=GOLD),
        InboundWebhook(contact_path="data.customer.email"),
        WorkflowEnded(workflow=OTHER),
        *(ContactDeleted(), NoteAdded(), TaskOverdue(), EmailEvent()),
    ]
    named = [replace(trigger, key=f"t{number}") for number, trigger in enumerate(triggers)]
    assert lint(replace(draft(Exit()), triggers=named), FIELDS, NAMES) == []


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"reentry": Reentry.RESTART}, None),
        ({"reentry": Reentry.CONCURRENT_PER_KEY, "key_field": "event.body.order_id"}, None),
        ({"reentry": Reentry.CONCURRENT_PER_KEY, "key_field": DAY}, None),
        ({"reentry": Reentry.CONCURRENT_PER_KEY}, "key_field"),
        ({"reentry": Reentry.CONCURRENT_PER_KEY, "key_field": "order_id"}, "key_field"),
        ({"window": Window(zone="Nowhere")}, "window.zone"),
        ({"window": Window()}, None),
    ],
)
def test_problems_of_settings(settings: dict[str, Any], field: str | None) -> None:
    problems = lint(replace(draft(Exit()), settings=WorkflowSettings(**settings)), FIELDS, NAMES)
    assert [(problem.where, problem.field) for problem in problems] == (
        [] if field is None else [("settings", field)]
    )


def test_references_of_the_whole_vocabulary() -> None:
    new_draft = draft(
        AssignOwner(mode="round_robin", users=[ADA, OTHER]),
        CreateTask(title="{{ contact.county }}", assignee="user", user=GOLD),
        AskApproval(question="x", users=[COLD]),
        Wait(mode="date_field", field=DAY),
        Wait(field="state"),
        UpdateField(field="city", operation="copy", source="country"),
        WaitFor(mode="event", event="tag.removed", about=str(VIP)),
        WaitFor(
            mode="event",
            event="segment.entered",
            about=str(GOLD),
            filter=ask("segments", "any_of", [str(ADA)]),
        ),
        WaitFor(mode="event", event="contact.updated", about="website"),
        AddToWorkflow(workflow=OTHER),
        Exit(),
    )
    new_draft = replace(
        new_draft,
        triggers=[Schedule(segment=VIP), WorkflowEnded(workflow=COLD), FieldChanged(field="phone")],
        settings=WorkflowSettings(key_field=f"custom.{MEMBER}"),
        entry=ask("workflows", "active_in", [str(VIP)]),
    )
    used = references(new_draft, FIELDS)
    assert used.users == {ADA, OTHER, GOLD, COLD}
    assert used.workflows == {OTHER, COLD, VIP}
    assert used.segments == {GOLD, VIP, ADA}
    assert used.tags == {VIP}
    assert used.fields == {
        *("city", "country", "county", "website", "phone", "segments", "workflows", DAY),
        f"custom.{MEMBER}",
    }
    rows = used.rows()
    assert ("segment", str(GOLD)) in rows
    assert len(rows) == 4 + 3 + 3 + 1 + 9
