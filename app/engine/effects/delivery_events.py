"""Events about the delivery of emails, emitted only if something in the account subscribes to them."""

from app.engine.core.events import EMAIL_BOUNCED, EMAIL_DELIVERED
from app.engine.matching.event_subscriptions import subscribed_kinds
from app.ports import ADDRESS_ERROR, UNCLEAR_PREFIX, CallOutcome, Refused, Sent
from app.work import Work
from db.ids import uuid7
from db.queries.effect_claims import ClaimedEffect, insert_delivery_event


def event_kind(effect: ClaimedEffect, outcome: CallOutcome) -> str | None:
    """`email.delivered` when the mail server took it, `email.bounced` when it refused the address."""
    if effect.kind != "email" or effect.payload.get("internal"):
        return None
    if isinstance(outcome, Sent):
        return EMAIL_DELIVERED
    if isinstance(outcome, Refused) and outcome.permanent and _about_recipient(outcome.error_class):
        return EMAIL_BOUNCED
    return None


def _about_recipient(error_class: str) -> bool:
    return error_class == ADDRESS_ERROR or error_class.startswith(UNCLEAR_PREFIX)


async def emit_delivery_event(work: Work, effect: ClaimedEffect, outcome: CallOutcome) -> None:
    """Emits the delivery event of an email, in the transaction that writes its outcome, if the account
    subscribes to such events."""
    kind = event_kind(effect, outcome)
    if kind is None:
        return
    if kind not in await subscribed_kinds(work.session):
        return
    await insert_delivery_event(
        work.session,
        uuid7(),
        kind,
        effect.enrollment_id,
        {"effect_id": str(effect.id), "workflow_id": str(effect.workflow_id), "step": effect.step_key},
        work.now,
    )
