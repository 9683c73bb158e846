"""Batches: a poison row alone fails; many workers, each row once; accounts take turns."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from app.engine.advancing import loader
from app.engine.core.advance import advance as real
from app.engine.core.entry_rules import decide_entry
from app.engine.core.steps import AddTag, UpdateField
from app.engine.core.triggers import ContactCreated, WorkflowEnded
from app.engine.matching import matcher
from app.engine.matching.matcher import match_events
from app.runtime import Runtime
from app.work import SYSTEM, open_work
from jobs.executors import InlineExecutor
from jobs.turns import KeepGoing, all_turns, drain
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.world import World

FAR = UpdateField(field="city", value="Far")
SKIPPED_EVENTS = (
    "select subject_id, changes from audit_logs where account_id = $1 and action = 'event.skipped'"
)


async def entered(stage: Stage, count: int, *steps: Any) -> list[UUID]:
    await stage.workflow(list(steps), ContactCreated(key="t1"))
    people = await stage.contacts(count)
    for person in people:
        await stage.emit("contact.created", person)
    return people


async def test_one_poison_row_fails_alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    people = await entered(stage, 20, FAR)
    poison = people[7]

    def advance(program: Any, state: Any, *around: Any) -> Any:
        if state.contact_id == poison:
            raise RuntimeError("bad luck")
        return real(program, state, *around)

    monkeypatch.setattr(loader, "advance", advance)
    await stage.drain()
    rows = await stage.sql(
        "select contact_id, status, error from enrollments where account_id = $1", stage.account
    )
    failed = [row for row in rows if row["status"] == "failed"]
    assert [row["contact_id"] for row in failed] == [poison]
    assert failed[0]["error"] == "RuntimeError: bad luck"
    assert len([row for row in rows if row["status"] == "completed"]) == 19
    assert (
        len(await stage.sql("select from contacts where city = 'Far' and account_id = $1", stage.account))
        == 19
    )
    assert (
        len(await stage.sql("select from enrollment_executions where account_id = $1", stage.account)) == 20
    )
    assert await stage.path(poison) == [("update_field", "failed")]


async def test_end_of_a_poison_enrollment_emits_an_event(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await stage.workflow([FAR], ContactCreated(key="t1"))
    ended = WorkflowEnded(key="t1", workflow=first, statuses=["failed"])
    second = await stage.workflow([AddTag(tag=await stage.tag("look"))], ended)
    [person] = await stage.contacts(1)
    await stage.emit("contact.created", person)

    def advance(program: Any, *around: Any) -> Any:
        if program.version.workflow_id == first:
            raise RuntimeError("bad luck")
        return real(program, *around)

    monkeypatch.setattr(loader, "advance", advance)
    await stage.drain()
    rows = await stage.sql("select workflow_id, status from enrollments where contact_id = $1", person)
    assert {row["workflow_id"]: row["status"] for row in rows} == {first: "failed", second: "completed"}


async def test_row_that_the_database_rejects_fails_alone(stage: Stage) -> None:
    people = await entered(stage, 9, FAR)
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await match_events(work)
    await stage.sql(
        "insert into enrollment_executions (account_id, enrollment_id, seq, step_key, kind, started_at) "
        "select account_id, id, 1, 's1', 'wait', now() from enrollments where contact_id = $1",
        people[4],
    )
    await stage.drain()
    failed = await stage.sql(
        "select contact_id, error from enrollments where account_id = $1 and status = 'failed'", stage.account
    )
    assert [row["contact_id"] for row in failed] == [people[4]]
    assert "UniqueViolation" in failed[0]["error"]
    moved = await stage.sql("select from contacts where account_id = $1 and city = 'Far'", stage.account)
    assert len(moved) == 8


async def test_poison_event_is_skipped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    people = await entered(stage, 10, FAR)
    poison = people[6]

    def decide(candidate: Any, event: Any, *rest: Any, **more: Any) -> Any:
        if event.subject_id == poison:
            raise RuntimeError("bad luck")
        return decide_entry(candidate, event, *rest, **more)

    monkeypatch.setattr(matcher, "decide_entry", decide)
    await stage.drain()
    rows = await stage.sql("select contact_id from enrollments where account_id = $1", stage.account)
    assert {row["contact_id"] for row in rows} == set(people) - {poison}
    [audit_row] = await stage.sql(SKIPPED_EVENTS, stage.account)
    assert audit_row["subject_id"] == str(poison)
    assert "bad luck" in audit_row["changes"]


async def test_only_the_failing_event_is_skipped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it failed, another worker matched: the oldest event is another one by then."""
    people = await entered(stage, 3, FAR)
    real = matcher.event_of

    def event_of(row: Any) -> Any:
        if row.subject_id == people[0]:
            raise RuntimeError("bad luck")
        return real(row)

    monkeypatch.setattr(matcher, "event_of", event_of)
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        rollback = work.session.rollback

        async def rolled_back() -> None:
            await rollback()
            await stage.sql("update events set matched_at = now() where subject_id = $1", people[0])

        monkeypatch.setattr(work.session, "rollback", rolled_back)
        await match_events(work, most=1)
    await stage.drain()
    rows = await stage.sql("select contact_id from enrollments where account_id = $1", stage.account)
    assert {row["contact_id"] for row in rows} == set(people[1:])
    assert await stage.sql(SKIPPED_EVENTS, stage.account) == [], "another worker matched it"


async def test_failing_events_are_found_by_halving(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    people = await entered(stage, 64, FAR)
    bad, looked_at = set(people[::16]), 0
    real = matcher.event_of

    def event_of(row: Any) -> Any:
        nonlocal looked_at
        looked_at += 1
        if row.subject_id in bad:
            raise RuntimeError("bad luck")
        return real(row)

    monkeypatch.setattr(matcher, "event_of", event_of)
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        assert await match_events(work) == 64
    assert looked_at <= 64 * 7, "each at most once on each of seven levels"
    rows = await stage.sql("select contact_id from enrollments where account_id = $1", stage.account)
    assert {row["contact_id"] for row in rows} == set(people) - bad
    audit_rows = await stage.sql(SKIPPED_EVENTS, stage.account)
    assert {row["subject_id"] for row in audit_rows} == {str(person) for person in bad}
    assert await stage.sql("select from inflight_batches where account_id = $1", stage.account) == []


async def test_workflow_with_failing_decision_does_not_block_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = await stage.workflow([FAR], ContactCreated(key="t1"))
    people = await entered(stage, 3, FAR)

    def decide(candidate: Any, event: Any, *rest: Any, **more: Any) -> Any:
        if candidate.program.version.workflow_id == broken and event.subject_id == people[1]:
            raise RuntimeError("bad luck")
        return decide_entry(candidate, event, *rest, **more)

    monkeypatch.setattr(matcher, "decide_entry", decide)
    await stage.drain()
    rows = await stage.sql(
        "select contact_id, workflow_id from enrollments where account_id = $1", stage.account
    )
    assert len(rows) == 5
    assert (people[1], broken) not in {tuple(row) for row in rows}
    [audit_row] = await stage.sql(SKIPPED_EVENTS, stage.account)
    assert audit_row["subject_id"] == str(people[1])
    assert str(broken) in audit_row["changes"]


async def test_many_workers_do_each_step_once(stage: Stage) -> None:
    tag = await stage.tag("seen")
    people = await entered(stage, 300, AddTag(tag=tag), FAR)
    await asyncio.gather(*(drain(stage.runtime, stage.account) for _ in range(4)))
    await stage.drain()
    steps = await stage.sql(
        "select enrollment_id, step_key from enrollment_executions where account_id = $1", stage.account
    )
    assert len(steps) == len({tuple(row) for row in steps}) == 600
    audit = await stage.sql("select from audit_logs where account_id = $1", stage.account)
    assert len(audit) == 600
    revs = await stage.sql("select rev from contacts where account_id = $1", stage.account)
    assert {row["rev"] for row in revs} == {2}
    assert len(people) == 300


async def test_accounts_take_turns(runtime: Runtime) -> None:
    big, small = UUID(int=1), UUID(int=2)
    left, order = {big: 50, small: 1}, []

    async def run_batch(_runtime: Runtime, account: UUID, _keep_going: KeepGoing) -> int:
        order.append(account)
        if len(order) == 3:
            queue.add([small, small, big])
        await asyncio.sleep(0)
        left[account] -= 1
        return left[account]

    turns = all_turns(runtime)
    turns["match"].run_batch = run_batch
    queue = InlineExecutor(turns).queues["match"]
    serving = asyncio.create_task(queue.serve())
    queue.add([big])
    async with asyncio.timeout(5):
        await until_zero(left)
    serving.cancel()
    assert order.index(small) <= 4, "the small one does not wait for the big one's end"
    assert order.count(small) == 1


async def until_zero(left: dict[UUID, int]) -> None:
    while sum(left.values()) > 0:  # noqa: ASYNC110 -- nothing tells when it is over
        await asyncio.sleep(0.01)


async def test_one_account_does_not_see_another(world: World, clock: TestClock, outside: Outside) -> None:
    first = Stage(world, await world.account("One"), clock, outside)
    two = Stage(world, await world.account("Two"), clock, outside)
    await entered(first, 3, FAR)
    await entered(two, 3, FAR)
    await first.drain()
    assert len(await first.sql("select from enrollments where account_id = $1", first.account)) == 3
    assert await two.sql("select from enrollments where account_id = $1", two.account) == []
    await two.drain()
    assert (
        len(
            await two.sql(
                "select from enrollments where account_id = $1 and status = 'completed'", two.account
            )
        )
        == 3
    )
