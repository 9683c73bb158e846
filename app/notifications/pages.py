"""Builds the page of a member's notifications."""

from app.notifications.schemas import NotificationLine, NotificationList
from app.notifications.use_cases import me
from app.web.actions import action, actions
from app.work import Work
from db.models import Notification

MOST_READ = 50


async def notification_list(work: Work) -> NotificationList:
    """The caller's notifications, unread first. Raises `NotFound` outside of a request."""
    unread = await work.notifications.latest(me(work), unread=True)
    read = await work.notifications.latest(me(work), unread=False, limit=MOST_READ)
    return NotificationList(
        [_line(notification) for notification in unread],
        [_line(notification) for notification in read],
        actions(
            action(work, "read_all", "Mark all as read", "/notifications/reading", when=bool(unread)),
            *(
                action(work, f"read:{row.id}", "Mark as read", f"/notifications/{row.id}/reading")
                for row in unread
            ),
        ),
    )


def _line(notification: Notification) -> NotificationLine:
    return NotificationLine(
        notification.id,
        notification.title,
        notification.body,
        notification.href,
        notification.created_at,
        notification.read_at,
    )
