"""Addresses of inbound webhooks, and the deliveries to them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from db.ids import uuid7
from db.models import Hook, Workflow, WorkflowVersion
from db.tenancy import TenantRepository

SELECT_HOOK_BY_TOKEN = text("select account_id, hook_id from hook_of(:digest)")
# A delivery that another transaction is recording now is waited for; an old one is forgotten.
INSERT_DELIVERY = text("""
insert into hook_deliveries as d (hook_id, delivery_id, event_id, received_at)
values (:hook, :delivery, :event, cast(:now as timestamptz))
on conflict (account_id, hook_id, delivery_id) do update
   set event_id = excluded.event_id, received_at = excluded.received_at
 where d.received_at < cast(:before as timestamptz)
returning event_id
""")
SELECT_DELIVERY = text("""
select event_id from hook_deliveries
 where account_id = current_account() and hook_id = :hook and delivery_id = :delivery
   and received_at >= cast(:since as timestamptz)
""")
TOUCH_HOOK = text("""
update hooks set last_used_at = cast(:now as timestamptz)
 where account_id = current_account() and id = :id
   and (last_used_at is null or last_used_at < cast(:now as timestamptz) - interval '1 minute')
""")


async def hook_of(engine: AsyncEngine, digest: bytes) -> tuple[UUID, UUID] | None:
    """Account and hook of an address, by the SHA-256 of its token. Called before an account is known."""
    async with engine.connect() as connection:
        row = (await connection.execute(SELECT_HOOK_BY_TOKEN, {"digest": digest})).one_or_none()
    return None if row is None else (row.account_id, row.hook_id)


class HookRepository(TenantRepository[Hook]):
    model_type = Hook

    async def of_workflow(self, workflow_id: UUID) -> dict[str, Any]:
        """The addresses of a workflow by trigger key: id, hint, signing_secret, created_at, last_used_at."""
        rows = await self.session.execute(
            select(
                Hook.trigger_key, Hook.id, Hook.hint, Hook.signing_secret, Hook.created_at, Hook.last_used_at
            ).where(Hook.account_id == self.account_id, Hook.workflow_id == workflow_id)
        )
        return {row.trigger_key: row for row in rows}

    async def opened(self, hook_id: UUID) -> Any | None:
        """A hook with the state and the live document of its workflow; None when it no longer exists."""
        query = (
            select(
                Hook.id,
                Hook.workflow_id,
                Hook.trigger_key,
                Hook.signing_secret,
                Workflow.status,
                Workflow.name,
                WorkflowVersion.document,
            )
            .join(Workflow, (Workflow.account_id == Hook.account_id) & (Workflow.id == Hook.workflow_id))
            .outerjoin(
                WorkflowVersion,
                (WorkflowVersion.account_id == Workflow.account_id)
                & (WorkflowVersion.workflow_id == Workflow.id)
                & (WorkflowVersion.number == Workflow.live_version),
            )
            .where(Hook.account_id == self.account_id, Hook.id == hook_id)
        )
        return (await self.session.execute(query)).one_or_none()

    async def make(
        self, workflow_id: UUID, trigger_key: str, digest: bytes, hint: str, now: datetime
    ) -> UUID:
        """Inserts the first address of a trigger."""
        hook_id = uuid7()
        self.session.add(
            Hook(
                id=hook_id,
                account_id=self.account_id,
                workflow_id=workflow_id,
                trigger_key=trigger_key,
                token_hash=digest,
                hint=hint,
                created_at=now,
            )
        )
        await self.session.flush()
        return hook_id

    async def readdress(self, hook_id: UUID, digest: bytes, hint: str, now: datetime) -> None:
        """Gives the hook a new token: the old address stops working, the recorded deliveries stay."""
        await self._set(hook_id, token_hash=digest, hint=hint, created_at=now)

    async def keep_secret(self, hook_id: UUID, sealed: bytes) -> None:
        """Replaces the signing secret."""
        await self._set(hook_id, signing_secret=sealed)

    async def _set(self, hook_id: UUID, **values: Any) -> None:
        await self.session.execute(
            update(Hook).where(Hook.account_id == self.account_id, Hook.id == hook_id).values(**values)
        )

    async def take(
        self, hook_id: UUID, delivery: str, event_id: UUID, now: datetime, before: datetime
    ) -> bool:
        """Records a delivery; False when it was recorded already since `before`."""
        values = {"hook": hook_id, "delivery": delivery, "event": event_id, "now": now, "before": before}
        return (await self.session.execute(INSERT_DELIVERY, values)).one_or_none() is not None

    async def taken(self, hook_id: UUID, delivery: str, since: datetime) -> UUID | None:
        """The event of a delivery that was recorded since then."""
        values = {"hook": hook_id, "delivery": delivery, "since": since}
        event_id: UUID | None = (await self.session.execute(SELECT_DELIVERY, values)).scalar_one_or_none()
        return event_id

    async def used(self, hook_id: UUID, now: datetime) -> None:
        """Updates when the address was last used, to the minute."""
        await self.session.execute(TOUCH_HOOK, {"id": hook_id, "now": now})
