"""Notes and tasks about contacts. Tasks with names are read by db/queries/tasks.py, those on the page of a
contact by db/queries/contact_history.py."""

from db.models import Note, Task
from db.tenancy import TenantRepository


class NoteRepository(TenantRepository[Note]):
    model_type = Note


class TaskRepository(TenantRepository[Task]):
    model_type = Task
