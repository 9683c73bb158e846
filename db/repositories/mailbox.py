"""Caught messages. Ids sort by time."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select

from db.models import MailboxMessage
from db.paging import fetch_page
from db.tenancy import TenantRepository

# A password link gives access to the account, so only members who may read secrets see such messages.
PASSWORD_LINK = "/password-reset/"  # noqa: S105 -- a path
PREVIEW_LENGTH = 160


class MailboxRepository(TenantRepository[MailboxMessage]):
    model_type = MailboxMessage

    def _visible(self, statement: Any, *, secrets: bool) -> Any:
        statement = statement.where(MailboxMessage.account_id == self.account_id)
        return statement if secrets else statement.where(~MailboxMessage.body.contains(PASSWORD_LINK))

    async def page(
        self,
        q: str,
        after: UUID | None,
        before: UUID | None,
        *,
        channel: str = "",
        secrets: bool,
        limit: int = 30,
    ) -> tuple[Sequence[Any], bool]:
        """id, channel, recipient, subject, preview, received_at of at most `limit` messages (of one channel,
        if given), newest first, older than `after` or newer than `before`, and whether there are more in that
        direction."""
        query = self._visible(
            select(
                MailboxMessage.id,
                MailboxMessage.channel,
                MailboxMessage.recipient,
                MailboxMessage.subject,
                func.left(MailboxMessage.body, PREVIEW_LENGTH).label("preview"),
                MailboxMessage.received_at,
            ),
            secrets=secrets,
        )
        if channel:
            query = query.where(MailboxMessage.channel == channel)
        if q:
            places = (MailboxMessage.recipient, MailboxMessage.subject)
            query = query.where(
                or_(*(func.lower(column).contains(q.lower(), autoescape=True) for column in places))
            )
        return await fetch_page(
            self.session, query, MailboxMessage.id, after=after, before=before, limit=limit
        )

    async def message(self, message_id: UUID, *, secrets: bool) -> Any:
        """One whole message; None when it does not exist or the caller may not read it."""
        query = self._visible(select(MailboxMessage).where(MailboxMessage.id == message_id), secrets=secrets)
        return await self.session.scalar(query)
