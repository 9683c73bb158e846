"""The rows that steps create besides moving enrollments, on a real database."""

import json
import time
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from app.engine.core.draft import Reentry, WorkflowSettings
from app.engine.core.events import Source
from app.engine.core.steps import (
    AddNote,
    AddToWorkflow,
    AskApproval,
    AssignOwner,
    Branch,
    BranchLane,
    CreateTask,
    DeleteContact,
    Drip,
    Exit,
    Notify,
    RemoveFromWorkflow,
    SendEmail,
    SetConsent,
    Unit,
    Wait,
    WaitFor,
    Webhook,
    Window,
    blank,
)
from app.engine.core.triggers import ContactCreated, ContactDeleted, Manual, TagAdded, WorkflowEnded
from app.filters.ast import Op, Predicate
from app.ports import Sent
from db.ids import uuid7
from tests.support.crm_kit import check_revisions
from tests.support.scenario import Stage

CREATED = ContactCreated(key="t1")
FAR = Wait(amount=30, unit=Unit.DAYS)


async def member(stage: Stage, role: str = "operator", name: str = "Olive") -> UUID:
    person = await stage.world.person(role, stage.account)
    await stage.sql("update users set name = $2 where id = $1", person.user_id, name)
    return person.user_id


async def begin(stage: Stage, contact: UUID | None = None) -> UUID:
    contact_id = contact or await stage.contact()
    await stage.emit("contact.created", contact_id)
    await stage.drain()
    return contact_id


async def kinds(stage: Stage, contact: UUID) -> list[str]:
    rows = await stage.sql(
        "select kind from events where subject_id = $1 and source = 'workflow' order by id", contact
    )
    return [row["kind"] for row in rows]


async def test_owner_consent_note_and_task(stage: Stage) -> None:
    olive = await member(stage)
    await stage.workflow(
        [
            AssignOwner(mode="user", users=[olive]),
            SetConsent(channel="sms", state="denied"),
            AddNote(text="Met {{ contact.first_name }}, owner {{ contact.owner }}"),
            CreateTask(title="Call {{ contact.first_name }}", assignee="owner", amount=2, unit=Unit.HOURS),
        ],
        CREATED,
    )
    ann = await begin(stage)
    row = await stage.row("select owner_id, email_consent, sms_consent from contacts where id = $1", ann)
    assert tuple(row) == (olive, "unknown", "denied")
    note = await stage.row("select body, author_kind, author_name from notes where contact_id = $1", ann)
    assert tuple(note) == ("Met Ann, owner Olive", "step", "Welcome")
    task = await stage.row(
        "select title, assignee_id, due_at > now() + interval '119 minutes' as later from tasks"
        " where contact_id = $1", ann,
    )  # fmt: skip
    assert tuple(task) == ("Call Ann", olive, True)
    assert (await stage.enrollment(ann))["status"] == "completed"
    assert sorted(await kinds(stage, ann)) == ["contact.updated", "note.added", "task.added"]
    actions = [row["action"] for row in await stage.sql(
        "select action from audit_logs where actor_kind = 'step' and subject_id = $1", str(ann)
    )]  # fmt: skip
    assert sorted(actions) == ["contact.updated", "contact.updated", "note.created", "task.created"]
    await check_revisions(stage.world, stage.account)


async def test_round_robin_continues_across_batches(stage: Stage) -> None:
    users = sorted([await member(stage, name="A"), await member(stage, name="B")])
    await stage.workflow([AssignOwner(mode="round_robin", users=users)], CREATED)
    owners = []
    for _ in range(4):
        ann = await begin(stage)
        row = await stage.row("select owner_id from contacts where id = $1", ann)
        owners.append(row["owner_id"])
    assert sorted(owners) == sorted(users * 2), "each got two"
    assert owners[:2] == owners[2:]
    [state] = await stage.sql("select state from step_states where account_id = $1", stage.account)
    assert json.loads(state["state"])


async def test_least_busy_member_gets_the_next_contact(stage: Stage) -> None:
    busy, idle = await member(stage, name="A"), await member(stage, name="B")
    for _ in range(2):
        await stage.sql("update contacts set owner_id = $2 where id = $1", await stage.contact(), busy)
    await stage.workflow([AssignOwner(mode="least_busy", users=[busy, idle])], CREATED)
    ann = await begin(stage)
    assert (await stage.row("select owner_id from contacts where id = $1", ann))["owner_id"] == idle


async def test_drip_limits_contacts_per_period(stage: Stage) -> None:
    await stage.workflow([Drip(count=2, amount=1, unit=Unit.HOURS)], CREATED)
    people = await stage.contacts(5)
    for person in people:
        await stage.emit("contact.created", person)
    await stage.drain()

    async def done() -> int:
        rows = await stage.sql("select status from enrollments where account_id = $1", stage.account)
        return len([row for row in rows if row["status"] == "completed"])

    assert await done() == 2
    waiting = await stage.sql("select wait_reason from enrollments where status = 'active'"
                              " and account_id = $1", stage.account)  # fmt: skip
    assert {row["wait_reason"] for row in waiting} == {"drip_slot"}
    await stage.drain(hours=1, minutes=1)
    assert await done() == 4
    await stage.drain(hours=1, minutes=1)
    assert await done() == 5


async def test_members_are_notified(stage: Stage) -> None:
    olive, gone = await member(stage), await member(stage, name="Gone")
    await stage.workflow(
        [Notify(to="users", users=[olive, gone], title="New: {{ contact.first_name }}")], CREATED
    )
    await stage.sql("delete from memberships where user_id = $1", gone)
    ann = await begin(stage)
    rows = await stage.sql("select user_id, title, href from notifications where contact_id = $1", ann)
    enrollment = await stage.enrollment(ann)
    assert [tuple(row) for row in rows] == [(olive, "New: Ann", f"/enrollments/{enrollment['id']}")]
    assert enrollment["status"] == "completed"


async def open_approval(stage: Stage) -> tuple[UUID, Any]:
    approval = blank("approval")
    assert isinstance(approval, AskApproval)
    await stage.workflow(
        [(replace(approval, question="Call {{ contact.first_name }}?"), {"b1": [Exit(reason="yes")]})],
        CREATED,
    )
    ann = await begin(stage)
    return ann, await stage.row("select * from approvals where contact_id = $1", ann)


async def test_approval_answer_takes_its_lane(stage: Stage) -> None:
    ann, approval = await open_approval(stage)
    assert (approval["question"], approval["status"]) == ("Call Ann?", "open")
    assert [option["key"] for option in json.loads(approval["options"])] == ["b1", "b2"]
    await stage.sql("update approvals set status = 'answered', answer = 'b1' where id = $1", approval["id"])
    await stage.sql("update enrollments set due_at = now() where contact_id = $1", ann)
    await stage.drain()
    assert (await stage.path(ann))[-1] == ("exit", "exited")
    row = await stage.row("select status from approvals where id = $1", approval["id"])
    assert row["status"] == "answered"


async def test_approval_of_an_ended_visit_is_closed(stage: Stage) -> None:
    ann, approval = await open_approval(stage)
    await stage.drain(days=2, minutes=1)
    row = await stage.row("select status from approvals where id = $1", approval["id"])
    assert (row["status"], (await stage.enrollment(ann))["status"]) == ("expired", "completed")


async def test_no_approval_for_a_contact_deleted_meanwhile(stage: Stage) -> None:
    ann, approval = await open_approval(stage)
    await stage.sql("update contacts set deleted_at = now() where id = $1", ann)
    await stage.emit("contact.deleted", ann)
    await stage.drain()
    row = await stage.row("select status from approvals where id = $1", approval["id"])
    assert row["status"] == "withdrawn"


async def test_a_step_deletes_the_contact(stage: Stage) -> None:
    other = await stage.workflow([FAR], CREATED)
    await stage.workflow([DeleteContact()], CREATED)
    ann = await begin(stage)
    assert (await stage.row("select deleted_at from contacts where id = $1", ann))["deleted_at"] is not None
    assert await kinds(stage, ann) == ["contact.deleted"]
    await stage.drain()
    row = await stage.row(
        "select status, exit_reason from enrollments where contact_id = $1 and workflow_id = $2", ann, other
    )
    assert tuple(row) == ("exited", "subject_deleted")


async def test_deletion_trigger_runs_without_the_contact(stage: Stage) -> None:
    await stage.workflow(
        [Webhook(url="https://crm.example/gone", body='{"who": "{{ contact.first_name }}"}')],
        ContactDeleted(key="t1"),
    )
    ann = await stage.contact()
    await stage.sql("update contacts set deleted_at = now() where id = $1", ann)
    await stage.emit("contact.deleted", ann)
    await stage.drain()
    assert [call.body for call in stage.outside.calls] == ['{"who": "Ann"}']
    row = await stage.enrollment(ann)
    assert (row["status"], row["contact_deleted"]) == ("completed", True)


async def test_steps_add_to_and_remove_from_other_workflows(stage: Stage) -> None:
    target = await stage.workflow([FAR], Manual(key="t1", sources=[Source.WORKFLOW]))
    bystander = await stage.workflow([FAR], TagAdded(key="t1", tag=await stage.tag("other")))
    first = await stage.workflow([AddToWorkflow(workflow=target), FAR], CREATED)
    ann = await begin(stage)
    event = await stage.row(
        "select e.depth, e.root_event_id = f.root_event_id as same, e.source from events e, events f"
        " where e.subject_id = $1 and e.kind = 'enrollment.requested' and f.id = e.root_event_id", ann,
    )  # fmt: skip
    assert tuple(event) == (1, True, "workflow")

    async def inside() -> set[UUID]:
        rows = await stage.sql(
            "select workflow_id from enrollments where contact_id = $1 and status = 'active'", ann
        )
        return {row["workflow_id"] for row in rows}

    assert await inside() == {first, target}
    # As of a date in an eastern zone, whose event has an id of its day, some hours ahead.
    ahead = uuid7(int((time.time() + 9 * 3600) * 1000))
    await stage.sql(
        "update enrollments set event_id = $1 where workflow_id = $2 and contact_id = $3", ahead, target, ann
    )
    vip = await stage.tag("vip")
    await stage.workflow([RemoveFromWorkflow(workflow=target), FAR], TagAdded(key="t1", tag=vip))
    await stage.add_tag(ann, vip)
    await stage.drain()
    assert target not in await inside()
    row = await stage.row(
        "select status, exit_reason from enrollments where workflow_id = $1 and contact_id = $2", target, ann
    )
    assert tuple(row) == ("exited", "removed_by_workflow")
    gold = await stage.tag("gold")
    last = await stage.workflow([RemoveFromWorkflow(), FAR], TagAdded(key="t1", tag=gold))
    await stage.add_tag(ann, gold)
    await stage.drain()
    assert (await inside(), bystander in await inside()) == ({last}, False)


@pytest.mark.parametrize("listened", [True, False])
async def test_exit_events_are_emitted_when_something_subscribes(stage: Stage, listened: bool) -> None:
    first = await stage.workflow([Exit(reason="done")], CREATED)
    if listened:
        await stage.workflow([AddNote(text="ended")], WorkflowEnded(key="t1", workflow=first))
    ann = await begin(stage)
    await stage.drain()
    notes = await stage.sql("select body from notes where contact_id = $1", ann)
    assert (await kinds(stage, ann)).count("enrollment.ended") == int(listened)
    assert len(notes) == int(listened)


async def test_saved_response_is_stored_with_the_enrollment(stage: Stage) -> None:
    stage.outside.answers = [Sent({"status": 200, "body": '{"score": 7}'})]
    await stage.workflow(
        [Webhook(url="https://crm.example/score", save_as="score"),
         AddNote(text="Score {{ response.score.score }}")],
        CREATED,
    )  # fmt: skip
    ann = await begin(stage)
    note = await stage.row("select body from notes where contact_id = $1", ann)
    assert note["body"] == "Score 7"
    assert json.loads((await stage.enrollment(ann))["data"])["response"] == {"score": {"score": 7}}


async def test_email_waits_for_its_sending_window(stage: Stage) -> None:
    now = await stage.now()
    day = (now.weekday() + 3) % 7
    window = Window(days=[day], start="09:00", end="17:00", zone="UTC")
    await stage.workflow([SendEmail(subject="Hi", body="Hi", window=window)], CREATED)
    ann = await begin(stage)
    row = await stage.enrollment(ann)
    assert (row["wait_reason"], stage.outside.letters) == ("window", [])
    await stage.drain(seconds=(row["wait_until"] - await stage.now()).total_seconds() + 60)
    assert (len(stage.outside.letters), (await stage.enrollment(ann))["status"]) == (1, "completed")


async def test_event_wait_is_woken_and_a_pause_stops_everything(stage: Stage) -> None:
    vip = await stage.tag("vip")
    wait = WaitFor(mode="event", event="tag.added", about=str(vip), amount=7, unit=Unit.DAYS)
    await stage.workflow([(wait, {"met": [AddNote(text="met")], "timeout": [AddNote(text="late")]})], CREATED)
    ann = await begin(stage)
    assert (await stage.enrollment(ann))["wait_reason"] == "event"
    await stage.sql("update enrollments set paused_at = now(), due_at = null where contact_id = $1", ann)
    await stage.drain(days=8)
    assert (await stage.enrollment(ann))["status"] == "active"
    await stage.sql("update enrollments set paused_at = null, due_at = now() where contact_id = $1", ann)
    await stage.drain()
    assert (await stage.row("select body from notes where contact_id = $1", ann))["body"] == "late"


async def test_archived_workflow_ends_enrollments_even_when_held(stage: Stage) -> None:
    workflow = await stage.workflow([FAR], CREATED, settings=WorkflowSettings(reentry=Reentry.AFTER_EXIT))
    ann = await begin(stage)
    await stage.sql("update workflows set status = 'archived', held = true where id = $1", workflow)
    await stage.sql("update enrollments set due_at = now() where contact_id = $1", ann)
    await stage.drain()
    assert (await stage.enrollment(ann))["exit_reason"] == "workflow_archived"


async def test_filter_reads_the_contacts_workflows(stage: Stage) -> None:
    other = await stage.workflow([FAR], CREATED)
    asks = Predicate("workflows", Op.ACTIVE_IN, [str(other)])
    vip = await stage.tag("vip")
    await stage.workflow(
        [(Branch(branches=[BranchLane("b1", "In", asks)]), {"b1": [AddNote(text="in")]})],
        TagAdded(key="t1", tag=vip),
    )
    ann = await begin(stage)
    await stage.add_tag(ann, vip)
    await stage.drain()
    assert (await stage.row("select body from notes where contact_id = $1", ann))["body"] == "in"


async def test_step_waits_for_the_end_of_another_workflow(stage: Stage) -> None:
    """Also in a version that is not live anymore."""
    other = await stage.workflow([Wait(amount=1, unit=Unit.HOURS)], CREATED)
    wait = WaitFor(mode="event", event="enrollment.ended", about=str(other), amount=7, unit=Unit.DAYS)
    waiting = await stage.workflow([(wait, {"met": [AddNote(text="met")]})], CREATED)
    ann = await begin(stage)
    await stage.sql(
        "insert into workflow_versions (account_id, workflow_id, number, document, content_hash)"
        " select account_id, workflow_id, 2, jsonb_set(document, '{steps}', '[]'), 'x' from workflow_versions"
        " where workflow_id = $1", waiting,
    )  # fmt: skip
    await stage.sql("update workflows set live_version = 2 where id = $1", waiting)
    await stage.drain(hours=1, minutes=1)
    assert (await stage.row("select body from notes where contact_id = $1", ann))["body"] == "met"
    assert (await kinds(stage, ann)).count("enrollment.ended") >= 1
