"""Addresses of inbound webhooks, and the deliveries to them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from db.ids import uuid7
from db.models import WebhookEndpoint, Workflow, WorkflowVersion
from db.tenancy import TenantRepository

SELECT_ENDPOINT_BY_TOKEN = text("select account_id, webhook_id from webhook_by_token(:digest)")
# A delivery that another transaction is recording now is waited for; an old one is forgotten.
INSERT_DELIVERY = text("""
insert into inbound_deliveries as d (webhook_id, delivery_id, event_id, received_at)
values (:webhook, :delivery, :event, cast(:now as timestamptz))
on conflict (account_id, webhook_id, delivery_id) do update
   set event_id = excluded.event_id, received_at = excluded.received_at
 where d.received_at < cast(:before as timestamptz)
returning event_id
""")
SELECT_DELIVERY = text("""
select event_id from inbound_deliveries
 where account_id = current_account() and webhook_id = :webhook and delivery_id = :delivery
   and received_at >= cast(:since as timestamptz)
""")
TOUCH_ENDPOINT = text("""
update inbound_webhooks set last_used_at = cast(:now as timestamptz)
 where account_id = current_account() and id = :id
   and (last_used_at is null or last_used_at < cast(:now as timestamptz) - interval '1 minute')
""")


async def webhook_by_token(engine: AsyncEngine, digest: bytes) -> tuple[UUID, UUID] | None:
    """The account and webhook of a URL, by the SHA-256 of its token. Called before an account is known."""
    async with engine.connect() as connection:
        row = (await connection.execute(SELECT_ENDPOINT_BY_TOKEN, {"digest": digest})).one_or_none()
    return None if row is None else (row.account_id, row.webhook_id)


class WebhookEndpointRepository(TenantRepository[WebhookEndpoint]):
    model_type = WebhookEndpoint

    async def of_workflow(self, workflow_id: UUID) -> dict[str, Any]:
        """The webhook URLs of a workflow by trigger key: id, token_prefix, signing_secret, created_at,
        last_used_at."""
        rows = await self.session.execute(
            select(
                WebhookEndpoint.trigger_key,
                WebhookEndpoint.id,
                WebhookEndpoint.token_prefix,
                WebhookEndpoint.signing_secret,
                WebhookEndpoint.created_at,
                WebhookEndpoint.last_used_at,
            ).where(WebhookEndpoint.account_id == self.account_id, WebhookEndpoint.workflow_id == workflow_id)
        )
        return {row.trigger_key: row for row in rows}

    async def opened(self, webhook_id: UUID) -> Any | None:
        """A webhook with the state and the live document of its workflow; None when it no longer exists."""
        query = (
            select(
                WebhookEndpoint.id,
                WebhookEndpoint.workflow_id,
                WebhookEndpoint.trigger_key,
                WebhookEndpoint.signing_secret,
                Workflow.status,
                Workflow.name,
                WorkflowVersion.document,
            )
            .join(
                Workflow,
                (Workflow.account_id == WebhookEndpoint.account_id)
                & (Workflow.id == WebhookEndpoint.workflow_id),
            )
            .outerjoin(
                WorkflowVersion,
                (WorkflowVersion.account_id == Workflow.account_id)
                & (WorkflowVersion.workflow_id == Workflow.id)
                & (WorkflowVersion.number == Workflow.live_version),
            )
            .where(WebhookEndpoint.account_id == self.account_id, WebhookEndpoint.id == webhook_id)
        )
        return (await self.session.execute(query)).one_or_none()

    async def make(
        self, workflow_id: UUID, trigger_key: str, digest: bytes, token_prefix: str, now: datetime
    ) -> UUID:
        """Inserts the first URL of a trigger; returns its id."""
        webhook_id = uuid7()
        self.session.add(
            WebhookEndpoint(
                id=webhook_id,
                account_id=self.account_id,
                workflow_id=workflow_id,
                trigger_key=trigger_key,
                token_hash=digest,
                token_prefix=token_prefix,
                created_at=now,
            )
        )
        await self.session.flush()
        return webhook_id

    async def readdress(self, webhook_id: UUID, digest: bytes, token_prefix: str, now: datetime) -> None:
        """Gives the webhook a new token: the old URL stops working, the recorded deliveries stay."""
        await self._set(webhook_id, token_hash=digest, token_prefix=token_prefix, created_at=now)

    async def keep_secret(self, webhook_id: UUID, sealed: bytes) -> None:
        """Replaces the signing secret."""
        await self._set(webhook_id, signing_secret=sealed)

    async def _set(self, webhook_id: UUID, **values: Any) -> None:
        await self.session.execute(
            update(WebhookEndpoint)
            .where(WebhookEndpoint.account_id == self.account_id, WebhookEndpoint.id == webhook_id)
            .values(**values)
        )

    async def take(
        self, webhook_id: UUID, delivery: str, event_id: UUID, now: datetime, before: datetime
    ) -> bool:
        """Records a delivery; False when it was recorded already since `before`."""
        values = {
            "webhook": webhook_id,
            "delivery": delivery,
            "event": event_id,
            "now": now,
            "before": before,
        }
        return (await self.session.execute(INSERT_DELIVERY, values)).one_or_none() is not None

    async def recorded_event(self, webhook_id: UUID, delivery: str, since: datetime) -> UUID | None:
        """The event of a delivery that was recorded since then."""
        values = {"webhook": webhook_id, "delivery": delivery, "since": since}
        event_id: UUID | None = (await self.session.execute(SELECT_DELIVERY, values)).scalar_one_or_none()
        return event_id

    async def used(self, webhook_id: UUID, now: datetime) -> None:
        """Updates when the address was last used, to the minute."""
        await self.session.execute(TOUCH_ENDPOINT, {"id": webhook_id, "now": now})
