"""The conditions that are checked again right before a call, and what becomes of the enrollment."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from app.engine.core.steps import SendEmail
from app.engine.core.triggers import ContactCreated
from app.engine.effects.dispatcher import attempt_effect, begin_effect
from app.work import SYSTEM, open_work
from jobs.turns import match_and_advance
from tests.support.pending_effects import claim_effect, claimed_effect, expire_lease
from tests.support.scenario import Stage

MAIL = SendEmail(subject="Hello", body="Hi")


async def with_waiting_effect(stage: Stage, kind: str = "email", **more: Any) -> UUID:
    """A contact whose first of two effects is pending, of this kind and with this payload."""
    await stage.workflow(
        [MAIL, SendEmail(subject="Second", body="Hi", transactional=True)], ContactCreated(key="t1")
    )
    person = await stage.contact()
    await stage.emit("contact.created", person)
    await match_and_advance(stage.runtime, stage.account)
    await stage.sql(
        "update effects set kind = $2, payload = payload || $3::jsonb where contact_id = $1",
        person, kind, json.dumps({"to": "a@x.example", "body": "Hi"} | more),
    )  # fmt: skip
    return person


async def deny(stage: Stage, person: UUID, channel: str = "email") -> None:
    await stage.sql(f"update contacts set {channel}_consent = 'denied' where id = $1", person)  # noqa: S608 -- our names


def out(stage: Stage) -> int:
    return len(stage.outside.letters) + len(stage.outside.messages)


@pytest.mark.parametrize(
    ("kind", "denied", "more", "sent"),
    [
        ("email", "email", {}, 0),
        ("sms", "sms", {}, 0),
        ("email", "sms", {}, 1),
        ("sms", "email", {}, 1),
        ("chat", "email", {"channel": "#c", "text": "x"}, 1),
        ("email", "email", {"transactional": True}, 1),
        ("email", "email", {"transactional": False}, 0),
    ],
)
async def test_consent_is_checked_right_before_the_call(
    stage: Stage, kind: str, denied: str, more: dict[str, Any], sent: int
) -> None:
    person = await with_waiting_effect(stage, kind, **more)
    effect = await claim_effect(stage)
    await deny(stage, person, denied)
    await attempt_effect(stage.runtime, stage.account, effect)
    assert out(stage) == sent
    row = await stage.effect(person)
    assert row["status"] == ("sent" if sent else "cancelled")
    assert bool(row["error"]) is not bool(sent)


async def test_unsubscribed_contact_continues_without_the_email(stage: Stage) -> None:
    person = await with_waiting_effect(stage)
    effect = await claim_effect(stage)
    await deny(stage, person)
    await attempt_effect(stage.runtime, stage.account, effect)
    await match_and_advance(stage.runtime, stage.account)
    [first, second] = await stage.sql(
        "select x.outcome, x.detail, x.kind from enrollment_executions x join enrollments e "
        "on e.id = x.enrollment_id where e.contact_id = $1 order by x.seq", person,
    )  # fmt: skip
    assert first["outcome"] == "skipped"
    assert "denied consent to email" in str(first["detail"])
    assert second["outcome"] is None, "it stands at the second email, which it needs in any case"
    assert (await stage.enrollment(person))["status"] == "active"


async def test_no_send_begins_after_an_unsubscription_was_committed(stage: Stage) -> None:
    """Forty contacts, each unsubscribing while their email begins: it began before that, or is canceled."""
    await stage.workflow([MAIL], ContactCreated(key="t1"))
    for person in await stage.contacts(40):
        await stage.emit("contact.created", person)
    while await match_and_advance(stage.runtime, stage.account):
        pass
    while await claim_effect(stage):
        pass
    rows = await stage.sql("select * from effects where account_id = $1 order by id", stage.account)
    committed: dict[UUID, Any] = {}

    async def unsubscribe(person: UUID) -> None:
        [row] = await stage.sql(
            "update contacts set email_consent = 'denied' where id = $1 returning clock_timestamp() as at",
            person,
        )
        committed[person] = row["at"]

    for row in rows:
        effect = claimed_effect(**dict(row) | {"payload": {}})
        await asyncio.gather(
            unsubscribe(row["contact_id"]), begin_effect(stage.runtime, stage.account, effect)
        )
    after = await stage.sql("select * from effects where account_id = $1", stage.account)
    assert {row["status"] for row in after} <= {"claimed", "cancelled"}
    claimed = [row for row in after if row["status"] == "claimed"]
    assert all(row["started_at"] <= committed[row["contact_id"]] for row in claimed)


OF_ACCOUNT = "where account_id = (select account_id from contacts where id = $1)"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("update enrollments set paused_at = now(), due_at = null where contact_id = $1", "pending"),
        (f"update workflows set held = true {OF_ACCOUNT}", "pending"),  # noqa: S608 -- a constant
        (f"update workflows set status = 'archived' {OF_ACCOUNT}", "cancelled"),  # noqa: S608 -- a constant
        ("update contacts set deleted_at = now() where id = $1", "cancelled"),
        ("update enrollments set status = 'exited', ended_at = now() where contact_id = $1", "cancelled"),
        ("update enrollments set seq = seq + 1 where contact_id = $1", "cancelled"),
    ],
)  # fmt: skip
async def test_other_conditions_are_checked_right_before_the_call(
    stage: Stage, change: str, status: str
) -> None:
    person = await with_waiting_effect(stage)
    effect = await claim_effect(stage)
    await stage.sql(change, person)
    assert await begin_effect(stage.runtime, stage.account, effect) is None
    row = await stage.effect(person)
    assert (row["status"], row["attempts"], row["started_at"]) == (status, 0, None)
    assert row["fence"] == effect.fence + 1
    assert await begin_effect(stage.runtime, stage.account, effect) is None


OPEN_BREAKER = """
insert into circuit_breakers (account_id, workflow_id, step_key, error_class, state, until)
select account_id, workflow_id, step_key, 'smtp_451', 'open', now() from effects where contact_id = $1
"""
WAITING = """
select 1 from pg_stat_activity
 where datname = current_database() and usename = 'app_user' and pg_blocking_pids(pid) <> '{}'
"""


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (f"update workflows set held = true {OF_ACCOUNT}", "pending"),  # noqa: S608 -- a constant
        (f"update workflows set status = 'archived' {OF_ACCOUNT}", "cancelled"),  # noqa: S608 -- a constant
        (OPEN_BREAKER, "pending"),
    ],
)  # fmt: skip
async def test_change_during_the_lock_wait_is_noticed(stage: Stage, change: str, status: str) -> None:
    person = await with_waiting_effect(stage)
    effect = await claim_effect(stage)
    enrollment = (await stage.enrollment(person))["id"]
    async with asyncio.timeout(20), open_work(stage.runtime, stage.account, SYSTEM) as mover:
        await mover.enrollments.lock(enrollment)
        beginning = asyncio.create_task(begin_effect(stage.runtime, stage.account, effect))
        while not await stage.sql(WAITING):  # noqa: ASYNC110 -- the database sends no signal
            await asyncio.sleep(0.01)
        await stage.sql(change, person)
        await mover.session.rollback()
        assert await beginning is None
    assert (await stage.effect(person))["status"] == status


async def test_paused_enrollment_is_neither_claimed_nor_woken(stage: Stage) -> None:
    person = await with_waiting_effect(stage)
    await stage.sql("update enrollments set paused_at = now(), due_at = null where contact_id = $1", person)
    assert await claim_effect(stage) is None
    await stage.sql("update enrollments set paused_at = null where contact_id = $1", person)
    effect = await claim_effect(stage)
    assert await begin_effect(stage.runtime, stage.account, effect) == 1
    await expire_lease(stage)
    await stage.sql("update enrollments set paused_at = now(), due_at = null where contact_id = $1", person)
    await stage.drain()
    assert (await stage.effect(person))["status"] == "unknown"
    assert (await stage.enrollment(person))["due_at"] is None


async def test_an_enrollment_that_a_deletion_started_still_sends(stage: Stage) -> None:
    person = await with_waiting_effect(stage)
    await stage.sql("update enrollments set contact_deleted = true where contact_id = $1", person)
    await stage.sql("update contacts set deleted_at = now() where id = $1", person)
    effect = await claim_effect(stage)
    assert await begin_effect(stage.runtime, stage.account, effect) == 1
