"""Deliveries to the addresses of inbound webhooks: each is taken once.

In order: `find_webhook_by_token`, before an account is known; `read_endpoint`; `find_recorded_event`, when
the sender may have delivered it before; `record_delivery`; `touch_endpoint`."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.json_types import JsonObject
from db.queries.statements import execute, fetch_one, fetch_scalar

_FIND_WEBHOOK_BY_TOKEN = text("select account_id, webhook_id from webhook_by_token(:digest)")
_READ_ENDPOINT = text("""
select h.id, h.workflow_id, h.trigger_key, h.signing_secret, w.status, v.document
  from inbound_webhooks h
  join workflows w on w.account_id = h.account_id and w.id = h.workflow_id
  left join workflow_versions v
    on v.account_id = w.account_id and v.workflow_id = w.id and v.number = w.live_version
 where h.account_id = current_account() and h.id = :id
""").columns(document=JSONB)
# A delivery that another transaction is recording now is waited for; an old one is forgotten.
_RECORD_DELIVERY = text("""
insert into inbound_deliveries as d (webhook_id, delivery_id, event_id, received_at)
values (:webhook, :delivery, :event, cast(:now as timestamptz))
on conflict (account_id, webhook_id, delivery_id) do update
   set event_id = excluded.event_id, received_at = excluded.received_at
 where d.received_at < cast(:before as timestamptz)
returning event_id
""")
_FIND_RECORDED_EVENT = text("""
select event_id from inbound_deliveries
 where account_id = current_account() and webhook_id = :webhook and delivery_id = :delivery
   and received_at >= cast(:since as timestamptz)
""")
_TOUCH_ENDPOINT = text("""
update inbound_webhooks set last_used_at = cast(:now as timestamptz)
 where account_id = current_account() and id = :id
   and (last_used_at is null or last_used_at < cast(:now as timestamptz) - interval '1 minute')
""")


class WebhookKey(msgspec.Struct, frozen=True):
    """A webhook and the account that it belongs to."""

    account_id: UUID
    webhook_id: UUID


class OpenEndpoint(msgspec.Struct, frozen=True):
    """A webhook with the status and the live document of its workflow; None when it has no live version."""

    id: UUID
    workflow_id: UUID
    trigger_key: str
    signing_secret: bytes | None
    status: str
    document: JsonObject | None


async def find_webhook_by_token(engine: AsyncEngine, digest: bytes) -> tuple[UUID, UUID] | None:
    """The account and webhook of a URL, by the SHA-256 of its token. Called before an account is known."""
    async with engine.connect() as connection:
        key = await fetch_one(connection, WebhookKey, _FIND_WEBHOOK_BY_TOKEN, digest=digest)
    return None if key is None else (key.account_id, key.webhook_id)


async def read_endpoint(session: AsyncSession, webhook_id: UUID) -> OpenEndpoint | None:
    """None when the webhook no longer exists."""
    return await fetch_one(session, OpenEndpoint, _READ_ENDPOINT, id=webhook_id)


async def record_delivery(
    session: AsyncSession, webhook_id: UUID, delivery: str, event_id: UUID, now: datetime, before: datetime
) -> bool:
    """Records a delivery; False when it was recorded already since `before`."""
    recorded = await fetch_scalar(
        session,
        UUID,
        _RECORD_DELIVERY,
        webhook=webhook_id,
        delivery=delivery,
        event=event_id,
        now=now,
        before=before,
    )
    return recorded is not None


async def find_recorded_event(
    session: AsyncSession, webhook_id: UUID, delivery: str, since: datetime
) -> UUID | None:
    """The event of a delivery that was recorded since then."""
    return await fetch_scalar(
        session, UUID, _FIND_RECORDED_EVENT, webhook=webhook_id, delivery=delivery, since=since
    )


async def touch_endpoint(session: AsyncSession, webhook_id: UUID, now: datetime) -> None:
    """Updates when the address was last used, to the minute."""
    await execute(session, _TOUCH_ENDPOINT, id=webhook_id, now=now)
