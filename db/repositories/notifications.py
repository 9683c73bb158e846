"""Notifications; each member reads their own. They are counted and marked by db/queries/notifications.py."""

from uuid import UUID

from advanced_alchemy.filters import LimitOffset

from db.models import Notification
from db.tenancy import TenantRepository

MOST = 100


class NotificationRepository(TenantRepository[Notification]):
    model_type = Notification

    async def latest(self, user_id: UUID, *, unread: bool, limit: int = MOST) -> list[Notification]:
        """The latest notifications of one member, unread or read."""
        read_at = Notification.read_at
        return await self.get_many(
            read_at.is_(None) if unread else read_at.is_not(None),
            LimitOffset(limit, 0),
            user_id=user_id,
            order_by=[("created_at", True), ("id", True)],
        )
