"""The Notifications page."""

from datetime import datetime
from uuid import UUID

import msgspec

from app.web.actions import Action


class NotificationLine(msgspec.Struct):
    """`href` leads to what it is about, "" for nothing; unread ones have the action `read:<id>`."""

    id: UUID
    title: str
    body: str
    href: str
    created_at: datetime
    read_at: datetime | None


class NotificationList(msgspec.Struct):
    """Yours: `unread` first, then those that you have read, the latest of each."""

    unread: list[NotificationLine]
    read: list[NotificationLine]
    actions: list[Action]
