"""Publishing with active enrollments: which move, end or stay; the audience; pausing and holding."""

import json
from datetime import timedelta
from uuid import UUID

import pytest

from app.engine.advancing.runner import advance_enrollments
from app.engine.core.draft import Audience, WorkflowSettings
from app.engine.core.steps import MAIN, AddNote, Exit, Goal, SendEmail, Unit, Wait, Webhook
from app.engine.core.triggers import TagAdded
from app.engine.matching.matcher import match_events
from app.enrollments.use_cases.progress import jump
from app.errors import Conflict, Invalid
from app.filters.ast import Op
from app.work import SYSTEM, open_work
from app.workflows.domain.draft_edits import insert
from app.workflows.schemas.publication import MoveChoice
from app.workflows.use_cases import version_migration
from app.workflows.use_cases.publication import set_status
from tests.faults.injector import Fault, Kind, injected
from tests.support.publication_kit import CREATED, Flow, draft_of
from tests.support.scenario import USER, Stage, ask

TEN = Wait(amount=10, unit=Unit.DAYS)


async def test_moved_enrollments_keep_an_unchanged_wait(stage: Stage) -> None:
    flow = await Flow.create(stage)
    draft = draft_of(TEN, AddNote(text="one"))
    await flow.save(draft)
    await flow.publish()
    [ann] = await flow.people()
    before = await stage.enrollment(ann)
    await flow.save(insert(draft, MAIN, 1, AddNote(text="two")))
    done = await flow.publish(MoveChoice(version=1, to="s1", enrollments=1, step="s1"))
    assert (done.version, done.moved, done.exited, done.under_way) == (2, 1, 0, 0)
    await stage.drain()
    row = await stage.enrollment(ann)
    assert (row["version"], row["seq"], row["wait_until"]) == (2, before["seq"], before["wait_until"])
    assert row["due_at"] == before["due_at"]
    move = await stage.row("select * from enrollment_moves where enrollment_id = $1", row["id"])
    assert (move["from_version"], move["to_version"]) == (1, 2)
    assert (move["from_step"], move["to_step"]) == ("s1", "s1")
    assert move["moved_by"] == "Olive"
    await stage.drain(days=10, minutes=1)
    notes = await stage.sql("select body from notes where contact_id = $1 order by id", ann)
    assert [note["body"] for note in notes] == ["two", "one"]


@pytest.mark.parametrize("days", [3, 20])
async def test_changed_wait_counts_from_when_it_began(stage: Stage, days: int) -> None:
    flow = await Flow.create(stage)
    await flow.save(draft_of(TEN))
    await flow.publish()
    [ann] = await flow.people()
    before = await stage.enrollment(ann)
    await flow.save(draft_of(Wait(amount=days, unit=Unit.DAYS)))
    await flow.publish(MoveChoice(version=1, to="s1", enrollments=1, step="s1"))
    await stage.drain()
    row = await stage.enrollment(ann)
    assert row["wait_until"] - before["wait_until"] == timedelta(days=days - 10)
    assert row["due_at"] == row["wait_until"]
    visits = await stage.sql(
        "select finished_at from enrollment_executions where enrollment_id = $1", row["id"]
    )
    assert [visit["finished_at"] for visit in visits] == [None], "it is the same visit"


async def test_goal_of_the_new_version_is_reached_at_once(stage: Stage) -> None:
    flow = await Flow.create(stage)
    await flow.save(draft_of(TEN))
    await flow.publish()
    [ann] = await flow.people()
    goal = Goal(filter=ask("first_name", Op.IS, "Ann"))
    await flow.save(draft_of(TEN, AddNote(text="passed over"), goal, AddNote(text="met")))
    await flow.publish(MoveChoice(version=1, to="s1", enrollments=1, step="s1"))
    await stage.drain()
    notes = await stage.sql("select body from notes where contact_id = $1", ann)
    assert [note["body"] for note in notes] == ["met"]


async def test_choices_move_exit_or_finish(stage: Stage) -> None:
    """By default they finish on their version; each group goes where it is sent."""
    flow = await Flow.create(stage)
    await flow.save(draft_of(TEN, AddNote(text="old")))
    await flow.publish()
    [stays] = await flow.people()
    await flow.save(draft_of(TEN, AddNote(text="new"), TEN, AddNote(text="end")))
    await flow.publish()
    assert (await stage.enrollment(stays))["version"] == 1
    [goes] = await flow.people()
    await flow.save(draft_of(TEN, AddNote(text="new"), TEN, AddNote(text="last")))
    done = await flow.publish(
        MoveChoice(version=1, to="s4", enrollments=1, step="s1"),
        MoveChoice(version=2, to="exit", enrollments=1, step="s1"),
    )
    assert (done.moved, done.exited) == (1, 1)
    out = await stage.enrollment(goes)
    assert (out["status"], out["exit_reason"], out["version"]) == ("exited", "removed_by_user", 2)
    await stage.drain()
    row = await stage.enrollment(stays)
    assert (row["status"], row["version"]) == ("completed", 3)
    assert await stage.path(stays) == [("wait", "left"), ("add_note", "done")]
    audit = await stage.row("select changes from audit_logs where action = 'workflow.published'"
                            " and account_id = $1 order by id desc limit 1", stage.account)  # fmt: skip
    assert json.loads(audit["changes"])["version 1, “Wait 10 days”"] == ["1 enrollment", "Note: last"]


async def test_enrollment_before_its_first_step_starts_in_the_new_version(stage: Stage) -> None:
    flow = await Flow.create(stage)
    settle = WorkflowSettings(settle_seconds=3600)
    await flow.save(draft_of(AddNote(text="old"), settings=settle))
    await flow.publish()
    [ann] = await flow.people()
    before = await stage.enrollment(ann)
    assert (before["step_key"], before["status"]) == (None, "active")
    await flow.save(draft_of(AddNote(text="new"), settings=settle))
    done = await flow.publish(MoveChoice(version=1, to="start", enrollments=1))
    await stage.drain()
    row = await stage.enrollment(ann)
    assert (done.moved, row["version"], row["due_at"]) == (1, 2, before["due_at"]), "it settles on"
    await stage.drain(hours=1, minutes=1)
    notes = await stage.sql("select body from notes where contact_id = $1", ann)
    assert [note["body"] for note in notes] == ["new"]


async def test_outdated_plan_is_refused_as_a_whole(stage: Stage) -> None:
    flow = await Flow.create(stage)
    await flow.save(draft_of(TEN))
    await flow.publish()
    [ann] = await flow.people()
    await flow.save(draft_of(TEN, AddNote(text="x")))
    with pytest.raises(Conflict, match="have moved since you opened"):
        await flow.publish(MoveChoice(version=1, to="s1", enrollments=2, step="s1"))
    for choice in (
        MoveChoice(version=1, to="s99", enrollments=1, step="s1"),
        MoveChoice(version=1, to="start", enrollments=1, step="s1"),
        MoveChoice(version=2, to="s1", enrollments=1, step="s1"),
    ):
        with pytest.raises(Invalid):
            await flow.publish(choice)
    with pytest.raises(Invalid):
        await flow.publish(*[MoveChoice(version=1, to="s1", enrollments=1, step="s1")] * 2)
    versions = await stage.sql("select number from workflow_versions where workflow_id = $1", flow.id)
    assert ([row["number"] for row in versions], (await stage.enrollment(ann))["version"]) == ([1], 1)


async def test_enrollment_with_effect_in_flight_keeps_its_version(stage: Stage) -> None:
    flow = await Flow.create(stage)
    await flow.save(draft_of(SendEmail(subject="Hi", body="Hi"), TEN))
    await flow.publish()
    people = await stage.contacts(3)
    for person in people:
        await stage.emit("contact.created", person)
    for task in (match_events, advance_enrollments):
        async with open_work(stage.runtime, stage.account, SYSTEM) as work:
            await task(work)
    doubt, claimed, waits = people
    await stage.sql("update effects set status = 'unknown' where contact_id = $1", doubt)
    await stage.sql(
        "update effects set status = 'claimed', started_at = now(), attempted_at = now(),"
        " lease_until = now() + interval '1 hour' where contact_id = $1", claimed,
    )  # fmt: skip
    await flow.save(draft_of(SendEmail(subject="Hi", body="Hi"), TEN, AddNote(text="x")))
    done = await flow.publish(MoveChoice(version=1, to="s1", enrollments=3, step="s1"))
    assert (done.moved, done.under_way) == (1, 2)
    versions = [
        (await stage.enrollment(enrollment_id))["version"] for enrollment_id in (doubt, claimed, waits)
    ]
    assert versions == [1, 1, 2]
    await stage.drain()
    assert [letter.recipient for letter in stage.outside.letters] == [f"{waits}@people.example"]
    row = await stage.enrollment(waits)
    assert (row["step_key"], row["wait_reason"]) == ("s2", "timer"), "the mail under way was its own"


async def test_job_moves_many_enrollments(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.workflows.use_cases.publication.AT_ONCE", 10)
    monkeypatch.setattr(version_migration, "BATCH", 4)
    flow = await Flow.create(stage)
    draft = draft_of(TEN)
    await flow.save(draft)
    await flow.publish()
    await flow.people(11)
    await flow.save(draft_of(TEN, AddNote(text="x")))
    done = await flow.publish(MoveChoice(version=1, to="s1", enrollments=11, step="s1"))
    assert (done.version, done.moved, done.job is not None) == (2, 0, True)
    await stage.drain()
    rows = await stage.sql("select version from enrollments where account_id = $1", stage.account)
    assert {row["version"] for row in rows} == {2}
    moves = await stage.sql("select enrollment_id from enrollment_moves where account_id = $1", stage.account)
    assert (len(moves), len({row["enrollment_id"] for row in moves})) == (11, 11)
    job = await stage.row("select status, progress, total, result from jobs where id = $1", done.job)
    assert (job["status"], job["progress"], job["total"]) == ("done", 11, 11)
    assert json.loads(job["result"])["moved"] == 11


async def test_enrollment_marked_for_a_job_takes_no_step_before(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the enrollments of the plan: due ones wait, one that a member moved meanwhile stays."""
    monkeypatch.setattr("app.workflows.use_cases.publication.AT_ONCE", 1)
    flow = await Flow.create(stage)
    await flow.save(draft_of(TEN, AddNote(text="old"), TEN))
    await flow.publish()
    people = await flow.people(3)
    await flow.save(draft_of(TEN, AddNote(text="new"), TEN))
    done = await flow.publish(MoveChoice(version=1, to="s1", enrollments=3, step="s1"))
    by_hand = await stage.enrollment(people[0])
    async with open_work(stage.runtime, stage.account, USER) as work:
        await jump(work, by_hand["id"], "s3")
    await stage.sql("update enrollments set due_at = now(), wait_until = now() where version = 1")
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        assert await advance_enrollments(work) == 0, "they wait for the job"
    await stage.drain(days=11)
    notes = await stage.sql("select contact_id, body from notes where account_id = $1", stage.account)
    assert {(note["contact_id"], note["body"]) for note in notes} == {
        (person, "new") for person in people[1:]
    }
    assert (await stage.enrollment(people[0]))["version"] == 1
    job = await stage.row("select status, progress, result from jobs where id = $1", done.job)
    counted = json.loads(job["result"])
    assert (job["status"], job["progress"]) == ("done", 3)
    assert (counted["moved"], counted["elsewhere"]) == (2, 1)
    assert await stage.sql("select 1 from enrollment_migrations where account_id = $1", stage.account) == []


async def test_failed_job_releases_its_enrollments(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.workflows.use_cases.publication.AT_ONCE", 1)
    flow = await Flow.create(stage)
    await flow.save(draft_of(TEN, AddNote(text="old")))
    await flow.publish()
    people = await flow.people(2)
    await flow.save(draft_of(TEN, AddNote(text="new")))
    done = await flow.publish(MoveChoice(version=1, to="s1", enrollments=2, step="s1"))
    await stage.sql("update jobs set status = 'failed' where id = $1", done.job)
    await stage.drain(days=11)
    notes = await stage.sql("select contact_id, body from notes where account_id = $1", stage.account)
    assert {(note["contact_id"], note["body"]) for note in notes} == {(person, "old") for person in people}


async def test_job_is_refused_for_another_number_of_enrollments(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version_migration, "AT_ONCE", 1)
    monkeypatch.setattr("app.workflows.use_cases.publication.AT_ONCE", 1)
    flow = await Flow.create(stage)
    await flow.save(draft_of(TEN))
    await flow.publish()
    await flow.people(3)
    await flow.save(draft_of(TEN, AddNote(text="new")))
    with pytest.raises(Conflict, match="have moved"):
        await flow.publish(MoveChoice(version=1, to="s1", enrollments=2, step="s1"))
    assert await stage.sql("select 1 from enrollment_migrations where account_id = $1", stage.account) == []


async def test_interrupted_job_moves_no_enrollment_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.workflows.use_cases.publication.AT_ONCE", 1)
    monkeypatch.setattr(version_migration, "BATCH", 4)
    flow = await Flow.create(stage)
    await flow.save(draft_of(TEN))
    await flow.publish()
    await flow.people(10)
    await flow.save(draft_of(TEN, AddNote(text="x")))
    done = await flow.publish(MoveChoice(version=1, to="s2", enrollments=10, step="s1"))
    with injected(Fault("job.batch", Kind.RAISE, nth=2)):
        await stage.drain()
    moves = await stage.sql("select 1 from enrollment_moves where account_id = $1", stage.account)
    assert len(moves) == 4, "one batch was kept, the next one never happened"
    await stage.drain(minutes=1)
    moves = await stage.sql("select enrollment_id from enrollment_moves where account_id = $1", stage.account)
    assert (len(moves), len({row["enrollment_id"] for row in moves})) == (10, 10)
    job = await stage.row("select status, result from jobs where id = $1", done.job)
    assert (job["status"], json.loads(job["result"])["moved"]) == ("done", 10)
    notes = await stage.sql("select 1 from notes where account_id = $1", stage.account)
    assert len(notes) == 10


@pytest.mark.parametrize("audience", list(Audience))
async def test_the_audience_enters_by_decisions(stage: Stage, audience: Audience) -> None:
    vip = await stage.tag("vip")
    people = await stage.contacts(3)
    inside = people[:2]
    for person in inside:
        await stage.sql(
            "insert into contact_tags (account_id, contact_id, tag_id) values ($1, $2, $3)",
            stage.account, person, vip,
        )  # fmt: skip
    flow = await Flow.create(stage)
    await flow.save(
        draft_of(TEN, settings=WorkflowSettings(audience=audience), trigger=TagAdded(key="t99", tag=vip))
    )
    await flow.publish()
    await stage.drain()

    async def entered() -> set[UUID]:
        rows = await stage.sql("select contact_id from enrollments where account_id = $1", stage.account)
        return {row["contact_id"] for row in rows}

    now = audience is not Audience.FUTURE_ONLY
    assert await entered() == (set(inside) if now else set())
    if now:
        rows = await stage.sql("select verdict from trigger_decisions where workflow_id = $1", flow.id)
        assert [row["verdict"] for row in rows] == ["enrolled", "enrolled"]
    await stage.add_tag(people[2], vip)
    await stage.drain()
    assert (people[2] in await entered()) is (audience is not Audience.CURRENT_ONLY)


async def test_the_audience_waits_while_the_workflow_is_paused(stage: Stage) -> None:
    people = await stage.contacts(2)
    flow = await Flow.create(stage)
    await flow.save(draft_of(TEN, settings=WorkflowSettings(audience=Audience.CURRENT_AND_FUTURE)))
    await flow.publish()
    async with open_work(stage.runtime, stage.account, USER) as work:
        await set_status(work, flow.id, "paused")
    for _ in range(7):
        await stage.drain(minutes=2)
    job = await stage.row("select status, attempts, error from jobs where account_id = $1", stage.account)
    assert tuple(job) == ("queued", 0, None)
    async with open_work(stage.runtime, stage.account, USER) as work:
        await set_status(work, flow.id, "active")
    await stage.drain(minutes=2)
    rows = await stage.sql(
        "select contact_id, verdict from trigger_decisions where workflow_id = $1", flow.id
    )
    assert {row["contact_id"]: row["verdict"] for row in rows} == dict.fromkeys(people, "enrolled")


async def test_hold_stops_enrollments_until_release(stage: Stage) -> None:
    flow = await Flow.create(stage)
    await flow.save(draft_of(Wait(amount=1, unit=Unit.HOURS), Webhook(url="https://crm.example/x")))
    await flow.publish()
    [ann] = await flow.people()
    await flow.hold(True)
    await stage.drain(hours=2)
    assert ((await stage.enrollment(ann))["step_key"], stage.outside.calls) == ("s1", [])
    await flow.hold(False)
    await stage.drain()
    assert ((await stage.enrollment(ann))["status"], len(stage.outside.calls)) == ("completed", 1)


async def test_archiving_ends_enrollments_at_once(stage: Stage) -> None:
    flow = await Flow.create(stage)
    await flow.save(draft_of(TEN, Exit(reason="x"), trigger=CREATED))
    await flow.publish()
    people = await flow.people(2)
    await stage.sql(
        "update enrollments set paused_at = now(), due_at = null where contact_id = $1", people[0]
    )
    async with open_work(stage.runtime, stage.account, USER) as work:
        await set_status(work, flow.id, "archived")
    await stage.drain()
    for person in people:
        row = await stage.enrollment(person)
        assert (row["status"], row["exit_reason"]) == ("exited", "workflow_archived")
