"""The Notifications page."""

from datetime import datetime
from uuid import UUID

import msgspec

from app.web.actions import Action


class NotificationLine(msgspec.Struct):
    """`href` leads to the page that the notification is about, "" for none; an unread one has the action
    `read:<id>`."""

    id: UUID
    title: str
    body: str
    href: str
    created_at: datetime
    read_at: datetime | None


class NotificationList(msgspec.Struct):
    """The caller's notifications, newest first: at most 100 `unread`, and a page of those that were `read`.
    `older_unread` is the address of more unread ones; `next` and `previous` are addresses of the other pages
    of those that were read. "" for none."""

    unread: list[NotificationLine]
    older_unread: str
    read: list[NotificationLine]
    next: str
    previous: str
    actions: list[Action]
