"""Marks notifications as read. Each member sees only their own, so the audit log leaves them out."""

from uuid import UUID

from app.errors import NotFound
from app.work import Work


def me(work: Work) -> UUID:
    """The member who makes the request. Raises `NotFound` outside of a request."""
    if work.principal is None:
        raise NotFound("notification")
    return work.principal.user_id


async def mark_read(work: Work, notification_id: UUID | None = None) -> int:
    """Marks one of the caller's notifications, or all, as read; returns how many. Raises `NotFound`."""
    count = await work.notifications.read(me(work), work.now, notification_id)
    if notification_id is not None and not count:
        raise NotFound("notification")
    await work.commit()
    return count
