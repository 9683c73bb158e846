"""Failures on the Jobs page, grouped by step and cause; a probe reports that the engine is held."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from app.engine.core import interpreter
from app.engine.core.steps import AddNote, AddTag, SendEmail, UpdateField, Webhook
from app.engine.core.triggers import ContactCreated
from app.engine.recovery.restore_guard import hold_engine, release_engine
from app.ports import Refused, Unknown
from db.ids import uuid7
from db.queries import failures
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.web_kit import PARTIAL
from tests.support.world import World

FAR = UpdateField(field="city", value="Far")


@pytest.fixture
async def stage(world: World, clock: TestClock, outside: Outside) -> Stage:
    return Stage(world, await world.account(), clock, outside)


async def entered(stage: Stage, count: int, *steps: Any) -> UUID:
    workflow = await stage.workflow(list(steps), ContactCreated(key="t1"))
    for person in await stage.contacts(count):
        await stage.emit("contact.created", person)
    await stage.drain()
    return workflow


async def test_forty_failures_without_effects_are_one_line(stage: Stage) -> None:
    """The body is no JSON with their values: each has an error of their own."""
    step = Webhook(url="https://crm.example/x", body='{"id": {{ contact.email }}}')
    workflow = await entered(stage, 40, FAR, step)
    async with stage.world.script(await stage.world.person("owner", stage.account)) as client:
        board = (await client.get("/jobs")).json()
        [line] = board["failing"]
        assert (line["what"], line["state"], line["contacts"]) == ("step", "failed", 40)
        assert line["title"].startswith("Welcome: ")
        assert line["error"].startswith("With this contact's values, the body isn't valid JSON")
        assert line["href"] == f"/workflows/{workflow}/enrollments?status=failed&step=s2"
        assert (await client.get(line["href"])).json()["counts"]["failed"] == 40
        assert board["actions"] == []
    async with stage.world.browser(await stage.world.person("viewer", stage.account)) as client:
        for headers in ({}, PARTIAL):
            page = (await client.get("/jobs", headers=headers)).text
            assert "40 contacts" in page
            assert f"/workflows/{workflow}/enrollments?status=failed&amp;step=s2" in page
    async with stage.world.script(await stage.world.person()) as client:
        assert (await client.get("/jobs")).json()["failing"] == [], "a stranger sees nothing of it"


async def test_each_step_and_cause_is_a_line(stage: Stage) -> None:
    stage.outside.answers = [
        Refused("The mail server said 451 later for a@b.example", permanent=False, error_class="smtp_451"),
        Refused("The mail server said 451 later for c@d.example", permanent=False, error_class="smtp_451"),
        Unknown("cut", error_class="no_answer"),
        Refused("550 no such user", permanent=True, error_class="address"),
    ]
    await entered(stage, 4, SendEmail(subject="Hello", body="Hi"))
    async with stage.world.script(await stage.world.person("owner", stage.account)) as client:
        board = (await client.get("/jobs")).json()
        lines = {(line["what"], line["state"]): line for line in board["failing"]}
        assert {key: line["contacts"] for key, line in lines.items()} == {
            ("email", "retry"): 2, ("email", "unknown"): 1, ("email", "failed"): 1,
        }  # fmt: skip
        assert "status=active&step=s1" in lines["email", "retry"]["href"]
        alone = lines["email", "failed"]
        assert {action["name"]: action["href"] for action in board["actions"]} == {
            f"retry:{alone['id']}": f"/effects/{alone['id']}/retry"
        }
        assert (await client.post(f"/effects/{alone['id']}/retry")).is_success


async def test_many_failures_at_one_step_do_not_hide_another(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do those of an older version hide those of the latest."""
    workflow = await entered(stage, 9, Webhook(url="https://crm.example/x", body="{{ contact.email }}"), FAR)
    rows = await stage.sql("select id from enrollments where workflow_id = $1", workflow)
    ids = [row["id"] for row in rows]
    await stage.sql("update enrollments set step_key = 's2', error = 'Other' where id = $1", ids[0])
    await stage.sql("update enrollments set step_key = null, error = 'Before' where id = $1", ids[1])
    await stage.sql(
        "insert into workflow_versions (account_id, workflow_id, number, document, content_hash)"
        " select account_id, workflow_id, 2, document, 'x' from workflow_versions where workflow_id = $1",
        workflow,
    )
    await stage.sql("update enrollments set version = 2, error = 'New' where id = $1", ids[2])
    monkeypatch.setattr(failures, "MOST_COUNTED", 3)
    async with stage.world.script(await stage.world.person("owner", stage.account)) as client:
        board = (await client.get("/jobs")).json()
        lines = {line["error"][:6]: line["contacts"] for line in board["failing"]}
        assert lines == {"Other": 1, "Before": 1, "New": 1, "With t": 2}
        shown = (await client.get("/")).json()["failures"]
        assert {line["error"][:6]: line["contacts"] for line in shown} == lines, "the overview says the same"


async def test_single_failure_has_a_retry_button(stage: Stage) -> None:
    await entered(stage, 1, Webhook(url="https://crm.example/x", body="{{ contact.email }}"))
    async with stage.world.script(await stage.world.person("owner", stage.account)) as client:
        board = (await client.get("/jobs")).json()
        [line], [button] = board["failing"], board["actions"]
        assert line["href"] == f"/enrollments/{line['id']}"
        assert button["href"] == f"/enrollments/{line['id']}/retry"
        assert (await client.post(button["href"])).is_success


@pytest.mark.parametrize("bad", ["s1", "s3", "s4"])
async def test_parked_enrollment_names_its_failing_step(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    """Not the step where the enrollment was before: from there it went through several at once."""
    tag = await stage.tag("vip")
    begin = interpreter.Run.append

    def append(self: Any, execution: Any) -> None:
        if execution.step_key == bad:
            raise RuntimeError("bad luck")
        begin(self, execution)

    monkeypatch.setattr(interpreter.Run, "append", append)
    await entered(stage, 1, FAR, AddTag(tag=tag), AddNote(text="Hi"), AddNote(text="there"))
    monkeypatch.undo()
    row = await stage.row("select * from enrollments where account_id = $1", stage.account)
    assert (row["status"], row["step_key"], row["error"]) == ("failed", bad, "RuntimeError: bad luck")
    visits = await stage.sql(
        "select step_key, outcome from enrollment_executions where enrollment_id = $1 order by seq", row["id"]
    )
    before = int(bad[1:])
    assert [tuple(visit) for visit in visits] == [
        *((f"s{number}", "done") for number in range(1, before)), (bad, "failed"),
    ]  # fmt: skip
    async with stage.world.script(await stage.world.person("owner", stage.account)) as client:
        shown = (await client.get(f"/enrollments/{row['id']}")).json()
        [line] = (await client.get("/jobs")).json()["failing"]
        assert shown["step"]
        assert line["title"] == f"Welcome: {shown['step']}"
        assert shown["path"][-1]["error"] == "RuntimeError: bad luck"
    async with stage.world.browser(await stage.world.person("viewer", stage.account)) as client:
        page = (await client.get(f"/enrollments/{row['id']}")).text
        assert f"{shown['step']} · Failed" in page
    async with stage.world.script(await stage.world.person("owner", stage.account)) as client:
        assert (await client.post(f"/enrollments/{row['id']}/retry")).is_success
    await stage.drain()
    notes = await stage.sql("select body from notes where account_id = $1 order by id", stage.account)
    assert [note["body"] for note in notes] == ["Hi", "there"], "what was done before is done once"


@pytest.fixture
async def held(stage: Stage) -> AsyncIterator[None]:
    await stage.sql(
        "insert into workers (id, host, pid, started_at, last_seen_at) values ($1, 'h', 1, now(), now())",
        uuid7(),
    )
    await hold_engine(stage.runtime, "Olive", "Moving servers.")
    try:
        yield
    finally:
        await release_engine(stage.runtime, "Olive")
        await stage.sql("delete from workers where host = 'h'")


@pytest.mark.usefixtures("held")
async def test_worker_probe_reports_a_held_engine(stage: Stage) -> None:
    async with stage.world.script(await stage.world.person("owner", stage.account)) as client:
        answer = await client.get("/health/workers")
        assert (answer.status_code, answer.json()["status"], answer.json()["held"]) == (503, "held", True)
        assert REGISTRY.get_sample_value("switchyard_engine_held") == 1
        await release_engine(stage.runtime, "Olive")
        answer = await client.get("/health/workers")
        assert (answer.status_code, answer.json()["status"], answer.json()["held"]) == (200, "ok", False)
        assert REGISTRY.get_sample_value("switchyard_engine_held") == 0
