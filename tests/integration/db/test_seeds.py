"""The demo: seeding is repeatable and quick, and the engine continues its enrollments."""

import time
from collections.abc import AsyncIterator

import pytest

from app.engine.advancing.runner import advance_enrollments
from app.sessions.demo import PASSWORD
from app.settings import Settings
from app.work import SYSTEM, open_work
from db.seeds import run
from db.seeds.sample_text import ACME, GLOBEX
from tests.support.fakes import TestClock
from tests.support.world import AccountMember, World

TABLES = (
    "contacts", "contact_tags", "tags", "custom_fields", "workflows", "workflow_versions", "workflow_actions",
    "enrollments", "enrollment_executions", "effects", "events", "trigger_decisions", "jobs", "imports",
    "audit_logs", "mailbox_messages",
)  # fmt: skip
OWNER = AccountMember(ACME, "owner@acme.test", "Olivia Owner", ACME, "owner")


@pytest.fixture
async def demo(world: World, settings: Settings) -> AsyncIterator[World]:
    """The demo, taken away again: its addresses are known to other tests."""
    await run(settings)
    yield world
    people = await world.sql("select user_id from memberships where account_id = any($1)", [ACME, GLOBEX])
    await world.sql("delete from accounts where id = any($1::uuid[])", [ACME, GLOBEX])
    await world.sql("delete from users where id = any($1::uuid[])", [row["user_id"] for row in people])


async def counts(world: World) -> dict[str, int]:
    return {
        table: (await world.sql(f"select count(*) from {table} where account_id = $1", ACME))[0][0]  # noqa: S608 -- our names
        for table in TABLES
    }


async def test_seeding_twice_changes_nothing_and_is_quick(demo: World, settings: Settings) -> None:
    before = await counts(demo)
    assert before["contacts"] == 2000
    assert before["workflow_versions"] == 3
    started = time.monotonic()
    await run(settings)
    assert time.monotonic() - started < 1
    assert await counts(demo) == before
    [globex] = await demo.sql("select count(*) from contacts where account_id = $1", GLOBEX)
    assert globex[0] == 40


async def test_seeded_enrollments_are_at_their_steps(demo: World) -> None:
    rows = await demo.sql(
        "select status, wait_reason, due_at, wait_until from enrollments where account_id = $1", ACME
    )
    statuses = [row["status"] for row in rows]
    assert set(statuses) >= {"active", "completed", "failed"}
    assert len([status for status in statuses if status == "failed"]) == 1
    assert {row["wait_reason"] for row in rows if row["status"] == "active"} == {"timer", "condition", "hold"}
    steps = await demo.sql(
        "select count(distinct (workflow_id, step_key)) from enrollments"
        " where account_id = $1 and status = 'active'", ACME,
    )  # fmt: skip
    assert steps[0][0] >= 5, "people stand at different steps"
    open_visits = await demo.sql(
        "select count(*) from enrollments e where account_id = $1 and status = 'active' and not exists"
        " (select from enrollment_executions x where x.account_id = e.account_id and x.enrollment_id = e.id"
        "  and x.seq = e.seq and x.step_key = e.step_key and x.finished_at is null)", ACME,
    )  # fmt: skip
    assert open_visits[0][0] == 0
    jobs = await demo.sql("select status from jobs where account_id = $1", ACME)
    assert {row["status"] for row in jobs} == {"done", "failed", "queued"}
    doubts = await demo.sql("select status from effects where account_id = $1 and status <> 'sent'", ACME)
    assert sorted(row["status"] for row in doubts) == ["failed_permanent", "unknown"]


async def test_every_sent_email_is_in_the_mailbox(demo: World) -> None:
    [sent] = await demo.sql(
        "select count(*) from effects where account_id = $1 and kind = 'email' and status = 'sent'", ACME
    )
    caught = await demo.sql(
        "select received_at, subject, body from mailbox_messages where account_id = $1 order by id", ACME
    )
    assert len(caught) == sent[0] > 0
    moments = [row["received_at"] for row in caught]
    assert moments == sorted(moments)
    assert all(row["subject"] and row["body"] and "{{" not in row["body"] for row in caught)
    async with demo.browser(OWNER, PASSWORD) as client:
        assert caught[-1]["subject"] in (await client.get("/mailbox")).text


async def test_the_engine_continues_seeded_enrollments(demo: World, clock: TestClock) -> None:
    async with open_work(demo.runtime, ACME, SYSTEM) as work:
        assert await advance_enrollments(work) == 0, "nothing is due in the first hours"
    clock.forward(days=8)
    async with open_work(demo.runtime, ACME, SYSTEM) as work:
        assert await advance_enrollments(work) > 0
    rows = await demo.sql("select error from enrollments where account_id = $1 and status = 'failed'", ACME)
    assert [row["error"] for row in rows] == ["550 5.1.1 mailbox unavailable"]


async def test_screens_show_the_seeds(demo: World) -> None:
    async with demo.browser(OWNER, PASSWORD) as client:
        jobs = await client.get("/jobs")
        assert "550 5.1.1 mailbox unavailable" in jobs.text
        failed = await client.get("/enrollments?status=failed")
        assert "A step failed permanently." in failed.text
        [row] = await demo.sql(
            "select enrollment_id from effects where account_id = $1 and status = 'unknown'", ACME
        )
        doubt = await client.get(f"/enrollments/{row[0]}")
        assert "In doubt: the email may have been sent." in doubt.text
        assert "Mark as sent" in doubt.text
