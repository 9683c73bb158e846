"""F14: a step that kills its worker is parked after three crashes, an event after six. The other items of its
batch, and other accounts, lose nothing."""

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
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.worker_process import LitestarWorker, count_by, mail_server, until
from tests.support.world import World


async def tag_contacts_and_poison(stage: Stage, count: int, poison: str) -> tuple[list[UUID], UUID]:
    """Contacts whose new tag starts a workflow of three steps; in their middle one with the email `poison`.
    Returns the other contacts and that one."""
    vip, done = await stage.tag("vip"), await stage.tag("done")
    steps: list[Any] = [
        UpdateField(field="city", value="Far"),
        AddTag(tag=done),
        SendEmail(subject="Hello", body="Hi"),
    ]
    await stage.workflow(steps, TagAdded(key="t1", tag=vip))
    others = await stage.contacts(count)
    poison_contact = await stage.contact(email=poison)
    for contact in [*others[: count // 2], poison_contact, *others[count // 2 :]]:
        await stage.emit("tag.added", contact, {"tag_id": str(vip)})
    return others, poison_contact


async def restart_on_exit(worker: LitestarWorker, exit_codes: list[int], stop: asyncio.Event) -> None:
    """Start the worker again whenever it dies, as a supervisor does."""
    while not stop.is_set():
        await worker.start()
        assert worker.process is not None
        code = await worker.process.wait()
        if not stop.is_set():
            exit_codes.append(code)


@asynccontextmanager
async def crashing_worker(
    settings: Settings, port: int, fault: Fault, finished: Callable[[], Awaitable[bool]]
) -> AsyncIterator[list[int]]:
    """A worker with that fault, started again and again until the work is finished; its exit codes."""
    exit_codes: list[int] = []
    stop = asyncio.Event()
    worker = LitestarWorker(settings, port, fault=fault, LEASE_SECONDS="2", WATCHDOG_SECONDS="2")
    supervisor = asyncio.create_task(restart_on_exit(worker, exit_codes, stop))
    try:
        await until(finished, 150)
    finally:
        stop.set()
        assert worker.process is not None
        worker.process.kill()
        await supervisor
    yield exit_codes


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.ABORT, Kind.KILL, Kind.SPIN])
async def test_a_poison_step_is_parked_and_the_rest_of_its_batch_completes(
    stage: Stage, settings: Settings, kind: Kind
) -> None:
    poison = f"poison-{stage.account.hex}@people.example"
    others, poison_contact = await tag_contacts_and_poison(stage, 60, poison)

    async def finished() -> bool:
        statuses = await count_by(stage, "status", "enrollments")
        return sum(statuses.values()) == 61 and "active" not in statuses

    fault = Fault("advance.contact", kind, contact=poison)
    async with (
        mail_server(stage.account) as mail,
        crashing_worker(settings, mail.port, fault, finished) as exit_codes,
    ):
        assert set(mail.keys.values()) == {1}, "no message twice"
        assert len(mail.keys) == 60
    assert 2 <= len(exit_codes) <= 3, exit_codes
    parked = await stage.enrollment(poison_contact)
    assert parked["status"] == "failed"
    assert "“Set City” stopped the worker 3 times" in parked["error"]
    completed = await stage.sql(
        "select count(*) as n from enrollments where contact_id = any($1::uuid[]) and status = 'completed'",
        others,
    )
    assert completed[0]["n"] == 60
    audited = await stage.sql(
        "select action, count(*) as n from audit_logs where subject_id = any($1::text[]) group by action"
        " order by action", [str(contact) for contact in others],
    )  # fmt: skip
    assert [tuple(row) for row in audited] == [("contact.updated", 60), ("tag.added", 60)], (
        "each contact changed once"
    )
    assert await stage.sql("select from inflight_batches where account_id = $1", stage.account) == []


@pytest.mark.slow
async def test_a_poison_event_is_skipped_and_no_other_account_is_affected(
    stage: Stage, world: World, clock: TestClock, outside: Outside, settings: Settings
) -> None:
    other = Stage(world, await world.account("Other"), clock, outside)
    poison = f"poison-{stage.account.hex}@people.example"
    _, poison_contact = await tag_contacts_and_poison(stage, 20, poison)
    await tag_contacts_and_poison(other, 20, "fine@people.example")

    async def has_completed(account: Stage, count: int) -> bool:
        return await count_by(account, "status", "enrollments") == {"completed": count}

    async def finished() -> bool:
        accounts = [stage.account, other.account]
        unmatched = await world.sql(  # the events of the last steps too
            "select from events where matched_at is null and account_id = any($1::uuid[])", accounts
        )
        return not unmatched and await has_completed(stage, 20) and await has_completed(other, 21)

    fault = Fault("match.contact", Kind.ABORT, contact=poison)
    async with (
        mail_server(stage.account) as mail,
        crashing_worker(settings, mail.port, fault, finished) as exit_codes,
    ):
        assert 5 <= len(exit_codes) <= 6, exit_codes
    (audit_row,) = await stage.sql(
        "select account_id, subject_id, changes from audit_logs "
        "where account_id = any($1::uuid[]) and action = 'event.skipped'",
        [stage.account, other.account],
    )
    assert (audit_row["account_id"], audit_row["subject_id"]) == (stage.account, str(poison_contact))
    assert "stopped the worker 6 times" in audit_row["changes"]
    for account in (stage, other):
        unmatched = "select from events where account_id = $1 and matched_at is null"
        assert await account.sql(unmatched, account.account) == []
        assert await account.sql("select from inflight_batches where account_id = $1", account.account) == []
