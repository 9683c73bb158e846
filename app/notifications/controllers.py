"""The Notifications screen. Each member sees only their own."""

from typing import Any
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.notifications.schemas import NotificationLine, NotificationList
from app.notifications.use_cases import mark_read, me
from app.permissions import Permission
from app.web.actions import action, actions
from app.web.guards import may
from app.web.responses import Saved
from app.work import Work

LIST = "notifications/_list.html"


class NotificationController(Controller):
    path = "/notifications"
    tags = ("notifications",)

    @get(page="notifications/index.html", fragment=LIST, guards=[may(Permission.VIEW)])
    async def index(self, work: NamedDependency[Work]) -> NotificationList:
        """Your notifications from workflows, unread first."""
        return await _page(work)

    @post("/reading", form="/notifications", fragment=LIST, guards=[may(Permission.VIEW)])
    async def read_all(self, work: NamedDependency[Work]) -> Saved[NotificationList]:
        """Marks all your notifications as read."""
        await mark_read(work)
        return Saved(await _page(work), see="/notifications", created=False)

    @post("/{notification_id:uuid}/reading", form="/notifications", fragment=LIST,
          guards=[may(Permission.VIEW)])  # fmt: skip
    async def read(
        self, notification_id: FromPath[UUID], work: NamedDependency[Work]
    ) -> Saved[NotificationList]:
        """Marks one of your notifications as read."""
        await mark_read(work, notification_id)
        return Saved(await _page(work), see="/notifications", created=False)


async def _page(work: Work) -> NotificationList:
    user = me(work)
    unread = await work.notifications.listed(user, unread=True)
    read = await work.notifications.listed(user, unread=False, limit=50)
    return NotificationList(
        [_line(row) for row in unread],
        [_line(row) for row in read],
        actions(
            action(work, "read_all", "Mark all as read", "/notifications/reading", when=bool(unread)),
            *(
                action(work, f"read:{row.id}", "Mark as read", f"/notifications/{row.id}/reading")
                for row in unread
            ),
        ),
    )


def _line(row: Any) -> NotificationLine:
    return NotificationLine(row.id, row.title, row.body, row.href, row.created_at, row.read_at)
