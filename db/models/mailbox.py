"""Messages that the message catcher of the demo received."""

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, StoredJson, TenantRow, of_account


class MailboxMessage(TenantRow, Base):
    """A message that the demo's catcher received: `channel` is email, sms or chat."""

    __tablename__ = "mailbox_messages"
    __table_args__ = (of_account(), Index(None, "account_id", "received_at"))

    channel: Mapped[str] = mapped_column(server_default="email")
    message_id: Mapped[str]
    sender: Mapped[str]
    recipient: Mapped[str]
    subject: Mapped[str]
    body: Mapped[str]
    headers: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    received_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
