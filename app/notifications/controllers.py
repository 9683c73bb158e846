"""The Notifications screen. Each member sees only their own."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.notifications.pages import notification_list
from app.notifications.schemas import NotificationList
from app.notifications.use_cases import mark_all_read, mark_read
from app.permissions import Permission
from app.web.guards import may
from app.web.paging import Paging
from app.web.responses import Saved
from app.work import Work

LIST = "notifications/_list.html"


class NotificationController(Controller):
    path = "/notifications"
    tags = ("notifications",)

    @get(page="notifications/index.html", fragment=LIST, guards=[may(Permission.VIEW)])
    async def index(
        self,
        work: NamedDependency[Work],
        paging: NamedDependency[Paging],
        unread_after: FromQuery[UUID | None] = None,
    ) -> NotificationList:
        """Your notifications from workflows: the unread ones, and pages of those that you have read."""
        return await notification_list(work, paging, unread_after)

    @post("/reading", form="/notifications", fragment=LIST, guards=[may(Permission.VIEW)], status_code=200)
    async def read_all(self, work: NamedDependency[Work]) -> Saved[NotificationList]:
        """Marks all your notifications as read."""
        await mark_all_read(work)
        return Saved(await notification_list(work), see="/notifications", created=False)

    @post("/{notification_id:uuid}/reading", form="/notifications", fragment=LIST,
          guards=[may(Permission.VIEW)], status_code=200)  # fmt: skip
    async def read(
        self, notification_id: FromPath[UUID], work: NamedDependency[Work]
    ) -> Saved[NotificationList]:
        """Marks one of your notifications as read."""
        await mark_read(work, notification_id)
        return Saved(await notification_list(work), see="/notifications", created=False)
