"""Reads the audit log. `Work.audit` writes it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import AuditLog
from db.paging import fetch_page

COLUMNS = (
    AuditLog.id,
    AuditLog.occurred_at,
    AuditLog.actor_kind,
    AuditLog.actor_id,
    AuditLog.actor_name,
    AuditLog.action,
    AuditLog.subject_kind,
    AuditLog.subject_id,
    AuditLog.changes,
    AuditLog.request_id,
)


class AuditRepository:
    """The log of the session's account, newest first; ids are in the order of time."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.account_id: UUID = session.info["account_id"]

    async def page(
        self,
        *,
        subject_kind: str = "",
        subject_id: str = "",
        actor_kind: str = "",
        actor: str = "",
        after: UUID | None = None,
        before: UUID | None = None,
        limit: int = 50,
    ) -> tuple[Sequence[Any], bool]:
        """At most `limit` entries older than `after` or newer than `before`, and whether there are more in
        that direction. `actor` is the beginning of a name."""
        query = select(*COLUMNS).where(AuditLog.account_id == self.account_id)
        for column, value in (
            (AuditLog.subject_kind, subject_kind),
            (AuditLog.subject_id, subject_id),
            (AuditLog.actor_kind, actor_kind),
        ):
            query = query.where(column == value) if value else query
        if actor:
            query = query.where(AuditLog.actor_name.op("^@")(actor))
        return await fetch_page(self.session, query, AuditLog.id, after=after, before=before, limit=limit)
