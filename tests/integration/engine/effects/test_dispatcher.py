"""The ledger of effects: outcomes, doubt, leases and fences."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.engine.advancing import loader
from app.engine.core.advance import advance as real
from app.engine.core.steps import OnDoubt, SendEmail, Webhook
from app.engine.effects import dispatcher
from app.engine.effects.backoff import MAX_ATTEMPTS, retry_delay
from app.engine.effects.dispatcher import attempt_effect, begin_effect, update_after, write_outcome
from app.enrollments.use_cases.effects import retry_enrollment, settle_effect
from app.ports import CallOutcome, Email, Refused, Sent, Unknown
from app.work import open_work
from tests.support.pending_effects import MAIL, claim_effect, contact_with_effect, expire_lease
from tests.support.scenario import USER, Stage

HOOK = Webhook(url="http://example.com/{{ contact.id }}", body="")


@dataclass
class Mails:
    send: Any


async def test_refusal_for_good_fails_the_enrollment_with_its_error(stage: Stage) -> None:
    stage.outside.answers = [Refused("550 no such user", permanent=True)]
    person = await contact_with_effect(stage)
    await stage.drain()
    ended = await stage.enrollment(person)
    assert (ended["status"], ended["error"]) == ("failed", "550 no such user")
    assert len(stage.outside.letters) == 1
    await stage.drain(hours=30)
    assert len(stage.outside.letters) == 1


async def test_retry_uses_the_same_key(stage: Stage) -> None:
    stage.outside.answers = [
        Refused("451 later", permanent=False),
        Refused("slow", permanent=False, after=600),
    ]
    person = await contact_with_effect(stage)
    await stage.drain()
    waiting = await stage.enrollment(person)
    assert (waiting["wait_reason"], waiting["error"]) == ("retry", "451 later")
    assert waiting["wait_until"] > await stage.now()
    assert await stage.drain(seconds=10) == 0
    await stage.drain(seconds=30)
    assert len(stage.outside.letters) == 2
    assert await stage.drain(minutes=9) == 0
    await stage.drain(minutes=5)
    assert {letter.key for letter in stage.outside.letters} == {stage.outside.letters[0].key}
    assert (await stage.enrollment(person))["status"] == "completed"
    assert (await stage.effect(person))["attempts"] == 3


async def test_given_up_after_twelve_attempts(stage: Stage) -> None:
    stage.outside.answers = [Refused("451 later", permanent=False)] * 20
    person = await contact_with_effect(stage)
    for _ in range(14):
        await stage.drain(hours=2)
    assert len(stage.outside.letters) == MAX_ATTEMPTS
    assert "Gave up after 12 attempts" in (await stage.enrollment(person))["error"]


def test_pauses_grow_and_honor_retry_after() -> None:
    seconds = [retry_delay(number).total_seconds() for number in (1, 2, 3, 20)]
    assert 15 <= seconds[0] < 19
    assert 30 <= seconds[1] < 38
    assert 60 <= seconds[2] < 76
    assert 3600 <= seconds[3] <= 4500
    assert retry_delay(1, 120).total_seconds() >= 120
    assert retry_delay(1, 10**9).total_seconds() <= 86_400 * 1.25


@pytest.mark.parametrize(
    ("outcome", "on_doubt", "status"),
    [
        (Sent({}), "hold", "sent"),
        (Unknown("cut"), "hold", "unknown"),
        (Unknown("cut"), "resend", "retry"),
        (Refused("no", permanent=True), "resend", "failed_permanent"),
        (Refused("later", permanent=False), "hold", "retry"),
    ],
)
def test_effects_end_for_each_outcome(outcome: Any, on_doubt: str, status: str) -> None:
    assert update_after(outcome, 1, on_doubt).status == status
    if status == "retry":
        assert update_after(outcome, MAX_ATTEMPTS, on_doubt).status == "failed_permanent"


async def test_doubt_holds_until_a_member_marks_it_as_sent(stage: Stage) -> None:
    stage.outside.answers = [Unknown("cut after DATA")]
    person = await contact_with_effect(stage)
    await stage.drain()
    await stage.drain(hours=48)
    held = await stage.enrollment(person)
    assert (held["wait_reason"], held["due_at"], held["error"]) == ("hold", None, "cut after DATA")
    assert len(stage.outside.letters) == 1
    async with open_work(stage.runtime, stage.account, USER) as work:
        await settle_effect(work, (await stage.effect(person))["id"], sent=True)
    await stage.drain()
    assert (await stage.enrollment(person))["status"] == "completed"
    assert len(stage.outside.letters) == 1


async def test_effect_in_doubt_is_sent_again_when_a_member_decides_so(stage: Stage) -> None:
    stage.outside.answers = [Unknown("cut after DATA")]
    person = await contact_with_effect(stage)
    await stage.drain()
    async with open_work(stage.runtime, stage.account, USER) as work:
        await settle_effect(work, (await stage.effect(person))["id"], sent=False)
    await stage.drain()
    assert (await stage.enrollment(person))["status"] == "completed"
    assert len({letter.key for letter in stage.outside.letters}) == 1
    assert len(stage.outside.letters) == 2


async def test_retrying_a_step_does_not_resend_a_sent_effect(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await contact_with_effect(stage)

    def advance(program: Any, state: Any, *around: Any) -> Any:
        if state.effect is not None and state.effect.status == "sent":
            raise RuntimeError("bad luck")
        return real(program, state, *around)

    with monkeypatch.context() as broken:
        broken.setattr(loader, "advance", advance)
        await stage.drain()
    failed = await stage.enrollment(person)
    assert (failed["status"], (await stage.effect(person))["status"]) == ("failed", "sent")
    assert await stage.path(person) == [("send_email", "failed")]
    async with open_work(stage.runtime, stage.account, USER) as work:
        await retry_enrollment(work, failed["id"])
    await stage.drain()
    assert (await stage.enrollment(person))["status"] == "completed"
    assert await stage.path(person) == [("send_email", "sent")]
    assert len(stage.outside.letters) == 1


@pytest.mark.parametrize(
    ("step", "call_began", "calls", "status"),
    [
        (MAIL, False, 1, "sent"),
        (MAIL, True, 0, "unknown"),
        (SendEmail(subject="a", body="b", on_doubt=OnDoubt.RESEND), True, 1, "sent"),
        (HOOK, False, 1, "sent"),
        (HOOK, True, 1, "sent"),
        (Webhook(url="http://example.com/", body="", on_doubt=OnDoubt.ASK_MEMBER), True, 0, "unknown"),
    ],
)
async def test_effect_of_a_worker_that_died(
    stage: Stage, step: Any, call_began: bool, calls: int, status: str
) -> None:
    person = await contact_with_effect(stage, step)
    effect = await claim_effect(stage)
    if call_began:
        assert await begin_effect(stage.runtime, stage.account, effect) == 1
    await stage.drain()
    assert (await stage.effect(person))["status"] == "claimed", "the lease still runs"
    await expire_lease(stage)
    await stage.drain()
    after = await stage.effect(person)
    assert after["status"] == status
    out: list[Any] = [*stage.outside.letters, *stage.outside.calls]
    assert len(out) == calls
    assert {call.key for call in out} <= {after["idempotency_key"]}
    assert (await stage.enrollment(person))["wait_reason"] == ("hold" if status == "unknown" else None)


async def test_call_that_kills_its_worker_each_time_ends_in_doubt(stage: Stage) -> None:
    person = await contact_with_effect(stage, HOOK)
    for number in range(1, MAX_ATTEMPTS + 1):
        effect = await claim_effect(stage)
        assert await begin_effect(stage.runtime, stage.account, effect) == number
        await expire_lease(stage)
    await stage.drain()
    assert (await stage.effect(person))["status"] == "unknown"
    assert stage.outside.calls == []


async def test_worker_that_lost_the_lease_writes_and_sends_nothing(stage: Stage) -> None:
    person = await contact_with_effect(stage, HOOK)
    slow = await claim_effect(stage)
    await expire_lease(stage)
    assert await begin_effect(stage.runtime, stage.account, slow) is None
    second_claim = await claim_effect(stage)
    assert second_claim.fence == slow.fence + 1
    assert await begin_effect(stage.runtime, stage.account, slow) is None
    assert not await write_outcome(stage.runtime, stage.account, slow, 1, Refused("no", permanent=True))
    assert (await stage.effect(person))["status"] == "claimed"
    await attempt_effect(stage.runtime, stage.account, second_claim)
    assert (await stage.effect(person))["status"] == "sent"


async def test_not_sent_when_the_contact_leaves_or_the_workflow_is_held_meanwhile(stage: Stage) -> None:
    person = await contact_with_effect(stage)
    await stage.sql("update workflows set held = true where account_id = $1", stage.account)
    assert await claim_effect(stage) is None
    await stage.sql("update workflows set held = false where account_id = $1", stage.account)
    effect = await claim_effect(stage)
    await stage.sql("update workflows set held = true where account_id = $1", stage.account)
    await attempt_effect(stage.runtime, stage.account, effect)
    assert (await stage.effect(person))["status"] == "pending"
    await stage.sql("update workflows set held = false where account_id = $1", stage.account)
    effect = await claim_effect(stage)
    await stage.sql("update contacts set deleted_at = now() where id = $1", person)
    await attempt_effect(stage.runtime, stage.account, effect)
    assert (await stage.effect(person))["status"] == "cancelled"
    assert stage.outside.letters == []
    await stage.drain()
    assert (await stage.enrollment(person))["exit_reason"] == "subject_deleted"


async def test_outcome_is_written_after_the_pool_was_exhausted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await contact_with_effect(stage)
    effect = await claim_effect(stage)
    failures = [PoolTimeout("QueuePool limit reached")]

    async def crowded(*arguments: Any) -> bool:
        if failures:
            raise failures.pop()
        return await write_outcome(*arguments)

    monkeypatch.setattr(dispatcher, "write_outcome", crowded)
    monkeypatch.setattr(dispatcher, "WRITE_RETRY_PAUSES", (0.0,))
    await attempt_effect(stage.runtime, stage.account, effect)
    assert (await stage.effect(person))["status"] == "sent"


async def test_failed_effect_keeps_the_last_attempts_error(stage: Stage) -> None:
    stage.outside.answers = [Unknown("cut: it may have arrived")]
    person = await contact_with_effect(stage, HOOK)
    await stage.drain()
    stage.clock.forward(minutes=5)
    effect = await claim_effect(stage)
    await stage.sql("update contacts set deleted_at = now() where id = $1", person)
    await attempt_effect(stage.runtime, stage.account, effect)
    stored_effect = await stage.effect(person)
    reason = "The contact was deleted before this was sent. Last try: cut: it may have arrived"
    assert (stored_effect["status"], stored_effect["error"]) == ("cancelled", reason)


async def test_outcome_is_written_after_the_connection_was_cut(stage: Stage) -> None:
    person = await contact_with_effect(stage)
    effect = await claim_effect(stage)
    real, cut = stage.outside.send, []

    async def send(letter: Email) -> CallOutcome:
        outcome = await real(letter)
        cut.extend(
            await stage.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where usename = 'app_user' and datname = current_database() "
                "and state = 'idle' and query not ilike '%listen%'"
            )
        )
        return outcome

    runtime = replace(stage.runtime, mailer=Mails(send))
    await attempt_effect(runtime, stage.account, effect)
    await stage.runtime.engine.dispose()
    await stage.runtime.marking.kw["bind"].dispose()
    assert cut
    assert (await stage.effect(person))["status"] == "sent"
