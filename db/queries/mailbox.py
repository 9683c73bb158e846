"""The list of caught messages, with the beginning of each text."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import MailboxMessage
from db.queries.paging import fetch_page_of

# A password link gives access to the account, so only members who may read secrets see such messages.
PASSWORD_LINK = "/password-reset/"  # noqa: S105 -- a path
HAS_NO_SECRET = ~MailboxMessage.body.contains(PASSWORD_LINK)
PREVIEW_LENGTH = 160


class ListedMessage(msgspec.Struct, frozen=True):
    id: UUID
    channel: str
    recipient: str
    subject: str
    preview: str
    received_at: datetime


async def fetch_mailbox_page(
    session: AsyncSession,
    q: str,
    after: UUID | None,
    before: UUID | None,
    *,
    channel: str = "",
    secrets: bool,
    limit: int,
) -> tuple[list[ListedMessage], bool]:
    """At most `limit` messages (of one channel, if given), newest first, older than `after` or newer than
    `before`, and whether there are more in that direction. `q` is part of the recipient or the subject."""
    query = select(
        MailboxMessage.id,
        MailboxMessage.channel,
        MailboxMessage.recipient,
        MailboxMessage.subject,
        func.left(MailboxMessage.body, PREVIEW_LENGTH).label("preview"),
        MailboxMessage.received_at,
    ).where(MailboxMessage.account_id == func.current_account())
    if not secrets:
        query = query.where(HAS_NO_SECRET)
    if channel:
        query = query.where(MailboxMessage.channel == channel)
    if q:
        places = (MailboxMessage.recipient, MailboxMessage.subject)
        query = query.where(
            or_(*(func.lower(column).contains(q.lower(), autoescape=True) for column in places))
        )
    return await fetch_page_of(
        session, ListedMessage, query, MailboxMessage.id, after=after, before=before, limit=limit
    )
