"""Effects that are pending, claimed, or left by a worker that lost its lease."""

from typing import Any
from uuid import UUID

from app.engine.core.steps import SendEmail
from app.engine.core.triggers import ContactCreated
from app.work import SYSTEM, open_work
from db.queries.batch_session import BatchSession
from db.queries.effect_claims import CLAIM_EFFECTS
from jobs.tasks import match_and_advance
from tests.support.scenario import Stage

MAIL = SendEmail(subject="Hello", body="Hi")


async def contact_with_effect(stage: Stage, step: Any = MAIL) -> UUID:
    """A contact with a pending effect of the step."""
    await stage.workflow([step], ContactCreated(key="t1"))
    person = await stage.contact()
    await stage.emit("contact.created", person)
    await match_and_advance(stage.runtime, stage.account)
    return person


async def claim_effect(stage: Stage) -> Any:
    """The due effect, claimed for a minute; None if there is none."""
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        rows = await BatchSession(work.session).all(CLAIM_EFFECTS, now=work.now, most=10, lease=60)
        await work.session.commit()
        return rows[0] if rows else None


async def expire_lease(stage: Stage) -> None:
    """Ends the leases of all effects."""
    await stage.sql(
        "update effects set lease_until = clock_timestamp() - interval '1 second' where account_id = $1",
        stage.account,
    )
