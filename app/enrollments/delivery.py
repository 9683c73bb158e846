"""What became of e-mails, as events: told only where somebody listens, for there is one for each letter."""

from typing import Any
from uuid import UUID

import msgspec

from app.integrations.smtp import ADDRESS
from app.ports import Outcome, Refused, Sent
from app.work import Work
from app.workflows.domain.events import EMAIL_BOUNCED, EMAIL_DELIVERED
from db.ids import uuid7
from db.repositories.engine import Engine
from db.repositories.ledger import ASKED_FOR, RUNNING, TOLD

# How triggers and waits name them.
_NAMES = {EMAIL_DELIVERED: {"delivered", EMAIL_DELIVERED}, EMAIL_BOUNCED: {"bounced", EMAIL_BOUNCED}}
_MOST_KEPT = 50_000
_asked_for: dict[tuple[UUID, int], frozenset[str]] = {}  # by version, which never changes


def kind_of(effect: Any, outcome: Outcome) -> str | None:
    """`email.delivered` when the mail server took it, `email.bounced` when it refused the address."""
    if effect.kind != "email" or effect.payload.get("internal"):
        return None
    if isinstance(outcome, Sent):
        return EMAIL_DELIVERED
    if isinstance(outcome, Refused) and outcome.permanent and outcome.what == ADDRESS:
        return EMAIL_BOUNCED
    return None


async def tell(work: Work, effect: Any, outcome: Outcome) -> None:
    """The event of an e-mail, in the transaction that writes its outcome, if a trigger or a wait of a version
    that may still be run asks for such events."""
    kind = kind_of(effect, outcome)
    if kind is None or not await _wanted(work, kind):
        return
    data = {"effect_id": str(effect.id), "workflow_id": str(effect.workflow_id), "step": effect.step_key}
    await Engine(work.session).do(
        TOLD,
        id=uuid7(),
        kind=kind,
        enrollment=effect.enrollment_id,
        data=msgspec.json.encode(data).decode(),
        now=work.now,
    )


async def _wanted(work: Work, kind: str) -> bool:
    engine = Engine(work.session)
    running = [(row.workflow_id, row.number) for row in await engine.all(RUNNING)]
    new = [version for version in running if version not in _asked_for]
    if new:
        if len(_asked_for) > _MOST_KEPT:
            _asked_for.clear()
            new = running
        workflows, numbers = [one[0] for one in new], [one[1] for one in new]
        for row in await engine.all(ASKED_FOR, workflows=workflows, numbers=numbers):
            _asked_for[row.workflow_id, row.number] = frozenset(msgspec.json.decode(row.events))
    return any(_asked_for.get(version, frozenset()) & _NAMES[kind] for version in running)
