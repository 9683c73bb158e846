"""Notifications; each member reads their own."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from db.models import Notification
from db.tenancy import TenantRepository

MOST = 100


class NotificationRepository(TenantRepository[Notification]):
    model_type = Notification

    def _mine(self, user_id: UUID, *, unread: bool) -> Any:
        read = Notification.read_at
        return (
            select(
                Notification.id, Notification.title, Notification.body, Notification.href,
                Notification.contact_id, Notification.created_at, Notification.read_at,
            )
            .where(Notification.account_id == self.account_id, Notification.user_id == user_id)
            .where(read.is_(None) if unread else read.is_not(None))
            .order_by(Notification.created_at.desc(), Notification.id.desc())
        )  # fmt: skip

    async def listed(self, user_id: UUID, *, unread: bool, limit: int = MOST) -> Sequence[Any]:
        """The latest notifications of one member, unread or read."""
        return (await self.session.execute(self._mine(user_id, unread=unread).limit(limit))).all()

    async def unread(self, user_id: UUID) -> int:
        """The number of unread notifications, counted up to 100."""
        some = self._mine(user_id, unread=True).limit(MOST).subquery()
        return await self.session.scalar(select(func.count()).select_from(some)) or 0

    async def read(self, user_id: UUID, at: datetime, notification_id: UUID | None = None) -> int:
        """Marks one or all of a member's notifications as read; returns how many there were, including ones
        that were read already."""
        query = update(Notification).where(
            Notification.account_id == self.account_id, Notification.user_id == user_id
        )
        if notification_id is not None:
            query = query.where(Notification.id == notification_id)
        else:
            query = query.where(Notification.read_at.is_(None))
        result = await self.session.execute(
            query.values(read_at=func.coalesce(Notification.read_at, at)).returning(Notification.id)
        )
        return len(result.all())
