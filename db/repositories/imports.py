"""Single imports. Their pages are in `db/queries/import_pages`, their rows in `db/queries/import_rows`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import undefer

from db.models import Import
from db.tenancy import TenantRepository


class ImportRepository(TenantRepository[Import]):
    model_type = Import

    async def lock(self, import_id: UUID) -> Import | None:
        """One import without its content, locked until the transaction ends."""
        return await self.get_one_or_none(Import.id == import_id, with_for_update=True)

    async def content(self, import_id: UUID) -> bytes:
        """The file as it was uploaded."""
        return (await self.get_one(Import.id == import_id, load=[undefer(Import.content)])).content

    async def save(self, import_: Import, now: datetime) -> None:
        """Writes the changes of a locked import."""
        import_.updated_at = now
        await self.session.flush()
