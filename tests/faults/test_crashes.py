"""F14: a step that kills its worker is parked after three crashes, an event after six; the people beside it
lose nothing, nor do those of another account."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from app.engine.core.steps import AddTag, SendEmail, UpdateField
from app.engine.core.triggers import TagAdded
from app.settings import Settings
from tests.faults.injector import Fault, Kind
from tests.integration.jobs.test_worker_process import Process, counted, sink, until
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.world import World


async def story(stage: Stage, count: int, poison: str) -> tuple[list[UUID], UUID]:
    """People who are tagged, changed and written to; the last of them kills whoever decides their step."""
    vip, seen_tag = await stage.tag("vip"), await stage.tag("seen")
    steps: list[Any] = [
        UpdateField(field="city", value="Far"),
        AddTag(tag=seen_tag),
        SendEmail(subject="Hello", body="Hi"),
    ]
    await stage.workflow(steps, TagAdded(key="t1", tag=vip))
    mates = await stage.contacts(count)
    bad = await stage.contact(email=poison)
    people = [*mates[: count // 2], bad, *mates[count // 2 :]]
    for person in people:
        await stage.emit("tag.added", person, {"tag_id": str(vip)})
    return mates, bad


async def supervised(worker: Process, crashes: list[int], enough: asyncio.Event) -> None:
    """Started again whenever it dies, as a supervisor does."""
    while not enough.is_set():
        await worker.start()
        assert worker.process is not None
        code = await worker.process.wait()
        if not enough.is_set():
            crashes.append(code)


@asynccontextmanager
async def dying(
    settings: Settings, port: int, fault: Fault, over: Callable[[], Awaitable[bool]]
) -> AsyncIterator[list[int]]:
    """A worker with that fault, started again and again until it is `over`; its exit codes."""
    crashes: list[int] = []
    enough = asyncio.Event()
    worker = Process(settings, port, fault=fault, LEASE_SECONDS="2", WATCHDOG_SECONDS="2")
    keeping = asyncio.create_task(supervised(worker, crashes, enough))
    try:
        await until(over, 150)
    finally:
        enough.set()
        assert worker.process is not None
        worker.process.kill()
        await keeping
    yield crashes


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.ABORT, Kind.KILL, Kind.SPIN])
async def test_a_poison_step_is_parked_and_its_mates_are_not_charged(
    stage: Stage, settings: Settings, kind: Kind
) -> None:
    poison = f"poison-{stage.account.hex}@people.example"
    mates, bad = await story(stage, 60, poison)

    async def over() -> bool:
        states = await counted(stage, "status", "enrollments")
        return sum(states.values()) == 61 and "active" not in states

    async with (
        sink(stage.account) as (taken, port),
        dying(settings, port, Fault("advance.contact", kind, contact=poison), over) as crashes,
    ):
        assert set(taken.keys.values()) == {1}, "no message twice"
        assert len(taken.keys) == 60
    assert 2 <= len(crashes) <= 3, crashes
    parked = await stage.enrollment(bad)
    assert parked["status"] == "failed"
    assert "“Set City” stopped the worker 3 times" in parked["error"]
    done = await stage.sql(
        "select count(*) as n from enrollments where contact_id = any($1::uuid[]) and status = 'completed'",
        mates,
    )
    assert done[0]["n"] == 60
    changed = await stage.sql(
        "select action, count(*) as n from audit_logs where subject_id = any($1::text[]) group by action"
        " order by action", [str(mate) for mate in mates],
    )  # fmt: skip
    assert [tuple(row) for row in changed] == [("contact.updated", 60), ("tag.added", 60)], (
        "each changed once"
    )
    assert await stage.sql("select from batches where account_id = $1", stage.account) == []


@pytest.mark.slow
async def test_a_poison_event_is_passed_over_and_nobody_else_is_charged(
    stage: Stage, world: World, clock: TestClock, outside: Outside, settings: Settings
) -> None:
    other = Stage(world, await world.account("Other"), clock, outside)
    poison = f"poison-{stage.account.hex}@people.example"
    _, bad = await story(stage, 20, poison)
    await story(other, 20, "fine@people.example")

    async def ended(account: Stage, count: int) -> bool:
        return await counted(account, "status", "enrollments") == {"completed": count}

    async def over() -> bool:
        return await ended(stage, 20) and await ended(other, 21)

    async with (
        sink(stage.account) as (_, port),
        dying(settings, port, Fault("match.contact", Kind.ABORT, contact=poison), over) as crashes,
    ):
        assert 5 <= len(crashes) <= 6, crashes
    (audit_row,) = await stage.sql(
        "select account_id, subject_id, changes from audit_logs "
        "where account_id = any($1::uuid[]) and action = 'event.passed_over'",
        [stage.account, other.account],
    )
    assert (audit_row["account_id"], audit_row["subject_id"]) == (stage.account, str(bad))
    assert "stopped the worker 6 times" in audit_row["changes"]
    for account in (stage, other):
        unmatched = "select from events where account_id = $1 and matched_at is null"
        assert await account.sql(unmatched, account.account) == []
        assert await account.sql("select from batches where account_id = $1", account.account) == []
