"""What became of e-mails, as events: told only where somebody listens, for there is one for each letter."""

from typing import Any

import msgspec

from app.engine.core.events import EMAIL_BOUNCED, EMAIL_DELIVERED
from app.engine.matching.event_subscriptions import asked_for
from app.ports import ADDRESS, UNCLEAR, Outcome, Refused, Sent
from app.work import Work
from db.ids import uuid7
from db.queries.batch_session import Engine
from db.queries.effect_claims import TOLD


def kind_of(effect: Any, outcome: Outcome) -> str | None:
    """`email.delivered` when the mail server took it, `email.bounced` when it refused the address."""
    if effect.kind != "email" or effect.payload.get("internal"):
        return None
    if isinstance(outcome, Sent):
        return EMAIL_DELIVERED
    if isinstance(outcome, Refused) and outcome.permanent and _about_recipient(outcome.what):
        return EMAIL_BOUNCED
    return None


def _about_recipient(what: str) -> bool:
    return what == ADDRESS or what.startswith(UNCLEAR)


async def tell(work: Work, effect: Any, outcome: Outcome) -> None:
    """The event of an e-mail, in the transaction that writes its outcome, if the account asks for such
    events."""
    kind = kind_of(effect, outcome)
    if kind is None:
        return
    engine = Engine(work.session)
    if kind not in await asked_for(engine):
        return
    data = {"effect_id": str(effect.id), "workflow_id": str(effect.workflow_id), "step": effect.step_key}
    await engine.do(
        TOLD,
        id=uuid7(),
        kind=kind,
        enrollment=effect.enrollment_id,
        data=msgspec.json.encode(data).decode(),
        now=work.now,
    )
