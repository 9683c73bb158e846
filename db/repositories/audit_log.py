"""Reads the audit log. `Work.audit` writes it."""

from uuid import UUID

from db.models import AuditLog
from db.queries.paging import get_page_of
from db.tenancy import TenantRepository


class AuditRepository(TenantRepository[AuditLog]):
    model_type = AuditLog

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
    ) -> tuple[list[AuditLog], bool]:
        """At most `limit` entries, newest first, older than `after` or newer than `before`, and whether there
        are more in that direction. `actor` is the beginning of a name."""
        columns = (
            (AuditLog.subject_kind, subject_kind),
            (AuditLog.subject_id, subject_id),
            (AuditLog.actor_kind, actor_kind),
        )
        filters = [column == value for column, value in columns if value]
        if actor:
            filters.append(AuditLog.actor_name.op("^@", is_comparison=True)(actor))
        return await get_page_of(self, AuditLog.id, *filters, after=after, before=before, limit=limit)
