"""Sending windows, asked again when the message is sent."""

from datetime import datetime, timedelta
from uuid import UUID

from app.engine.core.steps import SendEmail, Window
from app.enrollments.labels import waits_for
from app.ports import Refused
from app.work import SYSTEM, open_work
from db.queries.enrollment_pages import find_enrollment
from tests.support.pending_effects import claim_effect, contact_with_effect
from tests.support.scenario import Stage

DAY_TIME = SendEmail(subject="Hello", body="Hi", window=Window(start="09:00", end="17:00"))


async def a_minute_before_it_closes(stage: Stage) -> datetime:
    """Moves to 16:59 of tomorrow; when the window opens after that."""
    now = await stage.now()
    closing = (now + timedelta(days=1)).replace(hour=16, minute=59, second=0, microsecond=0)
    stage.clock.forward(seconds=(closing - now).total_seconds())
    return closing.replace(hour=9, minute=0) + timedelta(days=1)


async def wait_sentence(stage: Stage, enrollment: UUID) -> str:
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        row = await find_enrollment(work.session, enrollment)
        assert row is not None
        return waits_for(row, "Mail", work.now, "UTC")


async def test_retry_waits_for_the_window_to_open_again(stage: Stage) -> None:
    stage.outside.answers = [Refused("451 later", permanent=False, after=120)]
    opens = await a_minute_before_it_closes(stage)
    person = await contact_with_effect(stage, DAY_TIME)
    await stage.drain()
    assert len(stage.outside.letters) == 1
    await stage.drain(minutes=10)
    assert len(stage.outside.letters) == 1
    effect, row = await stage.effect(person), await stage.enrollment(person)
    assert (effect["status"], effect["attempts"], effect["due_at"]) == ("retry", 1, opens)
    assert (row["wait_reason"], row["wait_until"], row["error"]) == ("retry", opens, "451 later")
    await stage.drain(hours=15)
    assert len(stage.outside.letters) == 1
    await stage.drain(hours=1)
    assert len(stage.outside.letters) == 2
    assert (await stage.effect(person))["attempts"] == 2
    assert (await stage.enrollment(person))["status"] == "completed"


async def test_untried_effect_waits_for_the_window_as_well(stage: Stage) -> None:
    opens = await a_minute_before_it_closes(stage)
    person = await contact_with_effect(stage, DAY_TIME)
    await stage.drain(hours=3)
    assert stage.outside.letters == []
    effect, row = await stage.effect(person), await stage.enrollment(person)
    assert (effect["status"], effect["attempts"], effect["due_at"]) == ("pending", 0, opens)
    assert "09:00 to send the email" in await wait_sentence(stage, row["id"])
    assert await claim_effect(stage) is None
    await stage.drain(hours=14)
    assert len(stage.outside.letters) == 1
