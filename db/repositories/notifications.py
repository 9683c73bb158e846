"""Notifications; each member reads their own. They are counted and marked by db/queries/notifications.py."""

from uuid import UUID

from db.models import Notification
from db.queries.paging import get_page_of
from db.tenancy import TenantRepository

MOST_UNREAD = 100


class NotificationRepository(TenantRepository[Notification]):
    model_type = Notification

    async def unread(self, user_id: UUID, *, after: UUID | None) -> tuple[list[Notification], bool]:
        """At most `MOST_UNREAD` notifications that a member has not read, newest first, older than `after`,
        and whether there are older ones."""
        conditions = (Notification.user_id == user_id, Notification.read_at.is_(None))
        return await get_page_of(
            self, Notification.id, *conditions, after=after, before=None, limit=MOST_UNREAD
        )

    async def read_ones(
        self, user_id: UUID, *, after: UUID | None, before: UUID | None, limit: int
    ) -> tuple[list[Notification], bool]:
        """At most `limit` notifications that a member has read, newest first, older than `after` or newer
        than `before`, and whether there are more in that direction."""
        conditions = (Notification.user_id == user_id, Notification.read_at.is_not(None))
        return await get_page_of(self, Notification.id, *conditions, after=after, before=before, limit=limit)
