"""Claims: by the database's clock, never by two workers, and started only while the enrollment goes on."""

from app.engine.effects.backoff import retry_delay
from app.engine.effects.dispatcher import attempt_effect, begin_effect
from app.enrollments.use_cases.membership import remove_enrollment
from app.work import SYSTEM, open_work
from db.queries.enrollment_batches import claim_due_enrollments
from tests.faults.scenes import FAR, inside
from tests.support.pending_effects import MAIL, claim_effect, contact_with_effect, expire_lease
from tests.support.scenario import USER, Stage


async def test_leases_use_the_database_clock(stage: Stage) -> None:
    await contact_with_effect(stage)
    assert await claim_effect(stage) is not None
    stage.clock.forward(hours=1)
    assert await claim_effect(stage) is None, "an hour on the engine's clock does not end the lease"


async def test_what_one_worker_claims_no_other_does(stage: Stage) -> None:
    await inside(stage, 5, [FAR])
    async with (
        open_work(stage.runtime, stage.account, SYSTEM) as first,
        open_work(stage.runtime, stage.account, SYSTEM) as other,
    ):
        claimed = await claim_due_enrollments(first.session, first.now, 3)
        rest = await claim_due_enrollments(other.session, other.now, 10)
    assert len(claimed) == 3
    assert len(rest) == 2
    assert not {row.id for row in claimed} & {row.id for row in rest}


async def test_an_effect_in_doubt_is_never_claimed_again(stage: Stage) -> None:
    await contact_with_effect(stage, MAIL)
    effect = await claim_effect(stage)
    assert await begin_effect(stage.runtime, stage.account, effect) == 1
    await expire_lease(stage)
    assert await claim_effect(stage) is None
    assert stage.outside.letters == []


async def test_effects_of_ended_enrollments_are_not_sent(stage: Stage) -> None:
    contact = await contact_with_effect(stage)
    effect = await claim_effect(stage)
    await stage.sql("update enrollments set status = 'exited' where contact_id = $1", contact)
    await attempt_effect(stage.runtime, stage.account, effect)
    assert stage.outside.letters == []
    assert (await stage.effect(contact))["status"] == "cancelled"


async def test_a_removal_leaves_an_audit_row(stage: Stage) -> None:
    contact = await contact_with_effect(stage)
    enrollment = (await stage.enrollment(contact))["id"]
    async with open_work(stage.runtime, stage.account, USER) as work:
        await remove_enrollment(work, enrollment)
    rows = await stage.sql("select action, actor_name from audit_logs where subject_id = $1", str(enrollment))
    assert [tuple(row) for row in rows] == [("enrollment.removed", USER.name)]


def test_retries_of_effects_that_failed_together_are_spread() -> None:
    assert len({retry_delay(3) for _ in range(20)}) > 10
