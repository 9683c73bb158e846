"""Builds the page of a member's notifications."""

from uuid import UUID

from app.notifications.schemas import NotificationLine, NotificationList
from app.notifications.use_cases import me
from app.web.actions import action, actions
from app.web.paging import FIRST_PAGE, Paging, neighbor_links, page_link
from app.work import Work
from db.models import Notification


async def notification_list(
    work: Work, paging: Paging = FIRST_PAGE, unread_after: UUID | None = None
) -> NotificationList:
    """The caller's unread notifications, those older than `unread_after`, and a page of those read already.
    Raises `NotFound` outside of a request."""
    unread, older = await work.notifications.unread(me(work), after=unread_after)
    read, more = await work.notifications.read_ones(
        me(work), after=paging.after, before=paging.before, limit=paging.size()
    )
    return NotificationList(
        [_line(notification) for notification in unread],
        page_link("/notifications", {}, unread_after=unread[-1].id) if older else "",
        [_line(notification) for notification in read],
        *neighbor_links("/notifications", {}, read, paging, more=more),
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
