"""Effects that are pending, claimed, or left by a worker that lost its lease."""

from typing import Any
from uuid import UUID

from app.engine.core.steps import SendEmail
from app.engine.core.triggers import ContactCreated
from app.work import SYSTEM, open_work
from db.ids import uuid7
from db.queries.effect_claims import ClaimedEffect, claim_effects
from jobs.turns import match_and_advance
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
        effects = await claim_effects(work.session, work.now, 10, 60)
        await work.session.commit()
        return effects[0] if effects else None


def claimed_effect(**values: Any) -> ClaimedEffect:
    """A claimed effect with these values; those of a row may be more than it has."""
    effect: dict[str, Any] = {
        "id": uuid7(), "fence": 1, "kind": "email", "payload": {}, "idempotency_key": "k", "on_doubt": "hold",
        "enrollment_id": uuid7(), "seq": 1, "workflow_id": uuid7(), "step_key": "s1", "contact_id": uuid7(),
        "probe": False,
    }  # fmt: skip
    return ClaimedEffect(**effect | {name: values[name] for name in effect.keys() & values.keys()})


async def expire_lease(stage: Stage) -> None:
    """Ends the leases of all effects."""
    await stage.sql(
        "update effects set lease_until = clock_timestamp() - interval '1 second' where account_id = $1",
        stage.account,
    )
