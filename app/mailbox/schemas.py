"""The JSON of caught messages."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from app.web.actions import Action


class Channel(StrEnum):
    """The channel of a message; as a filter, "" means all channels."""

    ALL = ""
    EMAIL = "email"
    SMS = "sms"
    CHAT = "chat"


class MailLine(msgspec.Struct):
    """One message of the list; `snippet` is the beginning of its text. SMS and chat messages have no
    subject."""

    id: UUID
    channel: Channel
    recipient: str
    subject: str
    snippet: str
    received_at: datetime
    href: str


class MailList(msgspec.Struct):
    """One page, newest first; `next` and `previous` are URLs, "" for none."""

    items: list[MailLine]
    next: str
    previous: str
    q: str
    channel: Channel
    actions: list[Action]


class Header(msgspec.Struct):
    name: str
    value: str


class MailPage(MailList, kw_only=True):
    """One message next to the list that it was opened from; `kind` is its channel."""

    id: UUID
    kind: Channel
    message_id: str
    sender: str
    recipient: str
    subject: str
    text: str
    headers: list[Header]
    received_at: datetime
