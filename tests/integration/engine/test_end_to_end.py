"""Whole workflows from event to goal, on the real database with a clock that the test moves."""

import asyncio

from app.engine.core.draft import Reentry, WorkflowSettings
from app.engine.core.events import Source
from app.engine.core.steps import (
    AddNote,
    AddTag,
    Branch,
    BranchLane,
    Exit,
    Goal,
    RemoveTag,
    SendEmail,
    Unit,
    UpdateField,
    Wait,
    Webhook,
)
from app.engine.core.triggers import ContactCreated, TagAdded, TaskCompleted
from app.filters.ast import Op
from app.work import SYSTEM, open_work
from app.workflows.use_cases.read import counted
from jobs.turns import drain
from tests.support.scenario import USER, Stage, ask

MAIL = SendEmail(subject="Hello {{ contact.first_name }}", body="How is {{ contact.city }}?")
MINUTE = Wait(amount=1, unit=Unit.MINUTES)


async def test_tag_email_wait_branch_and_goal(stage: Stage) -> None:
    vip, warm = await stage.tag("vip"), await stage.tag("warm")
    lanes = Branch(branches=[BranchLane("b1", "Texas", ask("state", Op.IS, "TX"))])
    goal = Goal(filter=ask("company", Op.IS, "Bought"), on_unmet="wait", amount=7)
    far = UpdateField(field="city", value="Far")
    await stage.workflow(
        [MAIL, MINUTE, (lanes, {"b1": [AddTag(tag=warm)], "else": [far]}), goal],
        TagAdded(key="t1", tag=vip),
    )  # fmt: skip
    texan = await stage.contact(state="TX", city="Austin")
    other = await stage.contact(state="NY")
    for person in (texan, other):
        await stage.add_tag(person, vip)
    await stage.drain()
    assert {letter.subject for letter in stage.outside.letters} == {"Hello Ann"}
    assert len({letter.key for letter in stage.outside.letters}) == 2
    assert (await stage.enrollment(texan))["wait_reason"] == "timer"

    await stage.drain(seconds=59)
    assert (await stage.enrollment(texan))["wait_reason"] == "timer"
    await stage.drain(seconds=2)
    assert (await stage.enrollment(texan))["wait_reason"] == "condition"
    assert (await stage.row("select city from contacts where id = $1", other))["city"] == "Far"
    assert await stage.sql("select from contact_tags where contact_id = $1 and tag_id = $2", texan, warm)

    await stage.change(texan, "company", "Bought")
    await stage.drain()
    ended = await stage.enrollment(texan)
    assert (ended["status"], ended["exit_reason"], ended["due_at"]) == ("completed", "goal_met", None)
    assert await stage.path(texan) == [
        ("send_email", "sent"), ("wait", "passed"), ("branch", "taken"), ("add_tag", "done"), ("goal", "met"),
    ]  # fmt: skip
    assert len(stage.outside.letters) == 2
    audit = await stage.sql("select * from audit_logs where account_id = $1 order by id", stage.account)
    assert {(row["actor_kind"], row["action"]) for row in audit} == {
        ("step", "tag.added"),
        ("step", "contact.updated"),
    }
    caused = await stage.sql(
        "select * from events where source = 'workflow' and account_id = $1", stage.account
    )
    assert {(row["kind"], row["depth"]) for row in caused} == {("tag.added", 1), ("contact.updated", 1)}


async def test_goal_met_while_waiting_skips_the_steps_between(stage: Stage) -> None:
    vip = await stage.tag("vip")
    goal = Goal(filter=ask("company", Op.IS, "Bought"), on_unmet="end")
    workflow = await stage.workflow([MINUTE, MAIL, goal], TagAdded(key="t1", tag=vip))
    person = await stage.contact()
    await stage.add_tag(person, vip)
    await stage.drain()
    await stage.change(person, "company", "Bought")
    await stage.drain()
    assert await stage.path(person) == [("wait", "skipped"), ("send_email", "skipped"), ("goal", "met")]
    assert stage.outside.letters == []
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        counts, _totals = await counted(work, workflow)
    assert {key: count.completed for key, count in counts.items()} == {"s1": 0, "s2": 0, "s3": 1}, (
        "nobody did them"
    )


async def test_event_processed_twice_enrolls_once(stage: Stage) -> None:
    vip = await stage.tag("vip")
    await stage.workflow(
        [MAIL], TagAdded(key="t1", tag=vip), settings=WorkflowSettings(reentry=Reentry.AFTER_EXIT)
    )
    person = await stage.contact()
    await stage.add_tag(person, vip)
    await stage.drain()
    await stage.sql("update events set matched_at = null where account_id = $1", stage.account)
    await stage.drain()
    assert len(await stage.sql("select from enrollments where contact_id = $1", person)) == 1
    assert len(stage.outside.letters) == 1


async def test_two_events_of_one_batch_and_two_workers_enroll_once(stage: Stage) -> None:
    vip = await stage.tag("vip")
    workflow = await stage.workflow([MINUTE], TagAdded(key="t1", tag=vip))
    people = await stage.contacts(30)
    for person in people:
        for _ in range(2):
            await stage.emit("tag.added", person, {"tag_id": str(vip)})
    await asyncio.gather(*(drain(stage.runtime, stage.account) for _ in range(4)))
    await stage.drain()
    assert len(await stage.sql("select from enrollments where workflow_id = $1", workflow)) == 30
    verdicts = await stage.sql(
        "select verdict, count(*) as n from trigger_decisions where workflow_id = $1 group by 1", workflow
    )
    assert {row["verdict"]: row["n"] for row in verdicts} == {"enrolled": 30, "already_active": 30}


async def test_paused_workflow_refuses_and_held_workflow_does_not_move(stage: Stage) -> None:
    paused = await stage.workflow([MAIL], ContactCreated(key="t1"), status="paused")
    held = await stage.workflow([MAIL], ContactCreated(key="t1"))
    await stage.sql("update workflows set held = true where id = $1", held)
    person = await stage.contact()
    await stage.emit("contact.created", person)
    await stage.drain()
    decided = await stage.sql(
        "select workflow_id, verdict from trigger_decisions where contact_id = $1", person
    )
    assert {row["workflow_id"]: row["verdict"] for row in decided} == {
        paused: "workflow_paused",
        held: "enrolled",
    }
    assert stage.outside.letters == []
    await stage.sql("update workflows set held = false where id = $1", held)
    await stage.drain()
    assert len(stage.outside.letters) == 1


async def test_deleted_contact_exits_and_gets_nothing(stage: Stage) -> None:
    vip = await stage.tag("vip")
    await stage.workflow([MINUTE, MAIL], TagAdded(key="t1", tag=vip))
    person = await stage.contact()
    await stage.add_tag(person, vip)
    await stage.drain()
    await stage.sql("update contacts set deleted_at = now() where id = $1", person)
    await stage.emit("contact.deleted", person)
    await stage.drain()
    assert (await stage.enrollment(person))["exit_reason"] == "subject_deleted"
    await stage.drain(minutes=5)
    assert stage.outside.letters == []


async def test_archived_workflow_ends_its_enrollments(stage: Stage) -> None:
    workflow = await stage.workflow([MINUTE, Exit()], ContactCreated(key="t1"))
    person = await stage.contact()
    await stage.emit("contact.created", person)
    await stage.drain()
    await stage.sql("update workflows set status = 'archived' where id = $1", workflow)
    await stage.drain(minutes=2)
    assert (await stage.enrollment(person))["exit_reason"] == "workflow_archived"


async def test_two_workflows_that_trigger_each_other_are_stopped(stage: Stage) -> None:
    first, two = await stage.tag("one"), await stage.tag("two")
    again = WorkflowSettings(reentry=Reentry.AFTER_EXIT)
    for here, there in ((first, two), (two, first)):
        trigger = TagAdded(key="t1", tag=here, sources=[Source.USER, Source.WORKFLOW])
        await stage.workflow([RemoveTag(tag=here), AddTag(tag=there)], trigger, settings=again)
    person = await stage.contact()
    await stage.add_tag(person, first)
    await stage.drain()
    verdicts = await stage.sql("select verdict from trigger_decisions where contact_id = $1", person)
    assert sorted(row["verdict"] for row in verdicts) == ["enrolled"] * 10 + ["loop_guard"]


async def test_import_starts_only_workflows_that_listen_to_imports(stage: Stage) -> None:
    await stage.workflow([MAIL], ContactCreated(key="t1", sources=[Source.USER]))
    person = await stage.contact()
    async with open_work(stage.runtime, stage.account, USER) as work:
        work.emit("contact.created", person, source="import")
        await work.commit()
    await stage.drain()
    assert await stage.sql("select from enrollments where contact_id = $1", person) == []
    await stage.emit("contact.created", person)
    await stage.drain()
    assert len(stage.outside.letters) == 1


async def test_webhook_sends_its_key_and_stores_the_response(stage: Stage) -> None:
    hook = Webhook(url="https://example.com/{{ contact.city }}", headers={"X-State": "{{ contact.state }}"})
    await stage.workflow([hook], ContactCreated(key="t1"))
    person = await stage.contact(city="New York", state="NY")
    await stage.emit("contact.created", person)
    await stage.drain()
    call = stage.outside.calls[0]
    assert (call.url, call.method, dict(call.headers)) == (
        "https://example.com/New%20York", "POST", {"X-State": "NY"},
    )  # fmt: skip
    assert call.key == (await stage.effect(person))["idempotency_key"]
    row = await stage.row("select detail from enrollment_executions where kind = 'webhook' "
                           "and account_id = $1", stage.account)  # fmt: skip
    assert '"status": 200' in row["detail"]


async def test_contact_with_too_long_text_fails_alone(stage: Stage) -> None:
    await stage.workflow([AddNote(text="Done: {{ event.title }}")], TaskCompleted(key="t1"))
    much, little = await stage.contacts(2)
    await stage.emit("task.completed", much, {"title": "x" * 700_000})
    await stage.emit("task.completed", little, {"title": "call"})
    await stage.drain()
    failed = await stage.enrollment(much)
    assert (failed["status"], "The text is longer than" in failed["error"]) == ("failed", True)
    assert (await stage.enrollment(little))["status"] == "completed"
    notes = await stage.sql("select body from notes where account_id = $1", stage.account)
    assert [row["body"] for row in notes] == ["Done: call"]
