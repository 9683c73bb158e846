"""Caught messages. Their list is read by db/queries/mailbox.py."""

from uuid import UUID

from db.models import MailboxMessage
from db.queries.mailbox import HAS_NO_SECRET
from db.tenancy import TenantRepository


class MailboxRepository(TenantRepository[MailboxMessage]):
    model_type = MailboxMessage

    async def message(self, message_id: UUID, *, secrets: bool) -> MailboxMessage | None:
        """One message; None when it does not exist or the caller may not read it."""
        return await self.get_one_or_none(*(() if secrets else (HAS_NO_SECRET,)), id=message_id)
