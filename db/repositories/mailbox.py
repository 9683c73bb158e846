"""Reads of mailbox, each named by what it answers."""

from db.models import MailboxMessage
from db.tenancy import TenantRepository


class Mailbox(TenantRepository[MailboxMessage]):
    model_type = MailboxMessage
