"""Marks notifications as read. Each member sees only their own, so the audit log leaves them out."""

from uuid import UUID

from app.errors import NotFound
from app.work import Work
from db.queries.notifications import mark_all_notifications_read, mark_notification_read


def me(work: Work) -> UUID:
    """The member who makes the request. Raises `NotFound` outside of a request."""
    if work.principal is None:
        raise NotFound("notification")
    return work.principal.user_id


async def mark_read(work: Work, notification_id: UUID) -> None:
    """Marks one of the caller's notifications as read. Raises `NotFound`."""
    if not await mark_notification_read(work.session, me(work), notification_id, work.now):
        raise NotFound("notification")
    await work.commit()


async def mark_all_read(work: Work) -> None:
    """Marks all of the caller's notifications as read."""
    await mark_all_notifications_read(work.session, me(work), work.now)
    await work.commit()
