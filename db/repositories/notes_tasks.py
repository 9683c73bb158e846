"""Notes and tasks about contacts. Tasks with names are read by db/queries/tasks.py."""

from uuid import UUID

from advanced_alchemy.filters import LimitOffset

from db.models import Note, Task
from db.tenancy import TenantRepository

MOST_NOTES_OF_CONTACT = 50


class NoteRepository(TenantRepository[Note]):
    model_type = Note

    async def of_contact(self, contact_id: UUID) -> list[Note]:
        """The latest notes about a contact."""
        return await self.get_many(
            Note.deleted_at.is_(None),
            LimitOffset(MOST_NOTES_OF_CONTACT, 0),
            contact_id=contact_id,
            order_by=[("created_at", True), ("id", True)],
        )


class TaskRepository(TenantRepository[Task]):
    model_type = Task
