"""Notes and tasks about contacts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, insert, literal_column, select, tuple_, update

from db.ids import uuid7
from db.models import Contact, Note, Task, User
from db.tenancy import TenantRepository


class Author(Protocol):
    """The author of a note or task: a member, a token or a step."""

    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


NOTE_COLUMNS = (
    Note.id,
    Note.contact_id,
    Note.body,
    Note.author_kind,
    Note.author_id,
    Note.author_name,
    Note.created_at,
    Note.deleted_at,
)


class NoteRepository(TenantRepository[Note]):
    model_type = Note

    async def of(self, contact_id: UUID, limit: int = 50) -> Sequence[Any]:
        """The latest notes about a contact."""
        query = (
            select(*NOTE_COLUMNS)
            .where(
                Note.account_id == self.account_id, Note.contact_id == contact_id, Note.deleted_at.is_(None)
            )
            .order_by(Note.created_at.desc(), Note.id.desc())
            .limit(limit)
        )
        return (await self.session.execute(query)).all()

    async def row(self, note_id: UUID, *, deleted: bool = False) -> Any | None:
        """One note, or with `deleted` a deleted one; None when there is none."""
        state = Note.deleted_at.is_not(None) if deleted else Note.deleted_at.is_(None)
        query = select(*NOTE_COLUMNS).where(Note.account_id == self.account_id, Note.id == note_id, state)
        return (await self.session.execute(query)).one_or_none()

    async def insert(self, contact_id: UUID, body: str, by: Author, now: datetime) -> UUID:
        """Inserts a note; returns its id."""
        note_id = uuid7()
        columns = {"contact_id": contact_id, "body": body, "created_at": now} | _author(by)
        await self.session.execute(insert(Note).values(id=note_id, account_id=self.account_id, **columns))
        return note_id

    async def mark(self, note_id: UUID, deleted_at: datetime | None) -> None:
        """Soft-deletes it at a moment, or restores it (None)."""
        own = (Note.account_id == self.account_id, Note.id == note_id)
        await self.session.execute(update(Note).where(*own).values(deleted_at=deleted_at))


def _author(by: Author) -> dict[str, str]:
    return {"author_kind": by.kind, "author_id": by.id, "author_name": by.name}


ASSIGNEE = func.coalesce(
    select(User.name).where(User.id == Task.assignee_id).correlate(Task).scalar_subquery(), ""
).label("assignee")
SELECT_TASK = select(
    Task.id,
    Task.contact_id,
    Task.title,
    Task.body,
    Task.assignee_id,
    ASSIGNEE,
    Task.due_at,
    Task.completed_at,
    Task.completed_by,
    Task.deleted_at,
    Task.author_name,
    Task.created_at,
    Contact.first_name,
    Contact.last_name,
    Contact.email,
    Contact.company,
    Contact.phone,
    Contact.external_id,
).join(Contact, and_(Contact.account_id == Task.account_id, Contact.id == Task.contact_id))
NOT_DELETED = Task.deleted_at.is_(None)
IS_OPEN, IS_DONE = Task.completed_at.is_(None), Task.completed_at.is_not(None)
DUE_OR_NEVER = func.coalesce(Task.due_at, literal_column("cast('infinity' as timestamptz)"))


class TaskRepository(TenantRepository[Task]):
    model_type = Task

    def _view(self, view: str, user_id: UUID | None, now: datetime) -> ColumnElement[bool]:
        return {
            "mine": and_(IS_OPEN, Task.assignee_id == user_id),
            "all": IS_OPEN,
            "overdue": and_(IS_OPEN, Task.due_at < now),
            "done": IS_DONE,
        }[view]

    async def page(
        self, view: str, user_id: UUID | None, now: datetime, after: UUID | None, limit: int
    ) -> tuple[Sequence[Any], bool]:
        """Tasks about contacts that aren't deleted, and whether there are more. `view` is mine, all, overdue
        (open tasks, the earliest due first) or done (the latest first)."""
        down = view == "done"
        place = tuple_(Task.completed_at, Task.id) if down else tuple_(DUE_OR_NEVER, Task.id)
        query = SELECT_TASK.where(
            Task.account_id == self.account_id,
            NOT_DELETED,
            Contact.deleted_at.is_(None),
            self._view(view, user_id, now),
        )
        if after is not None:
            edge = select(*place.clauses).where(Task.account_id == self.account_id, Task.id == after)
            query = query.where(place < edge.scalar_subquery() if down else place > edge.scalar_subquery())
        order = [column.desc() for column in place.clauses] if down else list(place.clauses)
        rows = (await self.session.execute(query.order_by(*order).limit(limit + 1))).all()
        return list(rows[:limit]), len(rows) > limit

    async def counts(self, user_id: UUID | None, now: datetime) -> dict[str, int]:
        """The number of tasks in each view."""
        views = ("mine", "all", "overdue", "done")
        counted = (func.count().filter(self._view(view, user_id, now)).label(view) for view in views)
        query = (
            select(*counted)
            .select_from(Task)
            .join(Contact, and_(Contact.account_id == Task.account_id, Contact.id == Task.contact_id))
            .where(Task.account_id == self.account_id, NOT_DELETED, Contact.deleted_at.is_(None))
        )
        row = (await self.session.execute(query)).one()
        return dict(zip(views, row, strict=True))

    async def of(self, contact_id: UUID, limit: int = 50) -> Sequence[Any]:
        """The tasks of a contact: open ones first, sorted by due time."""
        query = (
            SELECT_TASK.where(Task.account_id == self.account_id, Task.contact_id == contact_id, NOT_DELETED)
            .order_by(IS_DONE, DUE_OR_NEVER, Task.completed_at.desc(), Task.id)
            .limit(limit)
        )
        rows: Sequence[Any] = (await self.session.execute(query)).all()
        return rows

    async def row(self, task_id: UUID, *, lock: bool = False, deleted: bool = False) -> Any | None:
        """One task, or with `deleted` a deleted one; None when there is none."""
        state = Task.deleted_at.is_not(None) if deleted else NOT_DELETED
        query = SELECT_TASK.where(Task.account_id == self.account_id, Task.id == task_id, state)
        query = query.with_for_update(of=Task) if lock else query
        return (await self.session.execute(query)).one_or_none()

    async def insert(self, columns: dict[str, Any], by: Author, now: datetime) -> UUID:
        """Inserts a task; returns its id."""
        task_id = uuid7()
        values = columns | _author(by) | {"created_at": now, "updated_at": now}
        await self.session.execute(insert(Task).values(id=task_id, account_id=self.account_id, **values))
        return task_id

    async def complete(self, task_id: UUID, by: str | None, now: datetime) -> None:
        """Completes a task, or reopens it when `by` is None; then it can become overdue again."""
        done = {"completed_at": now if by is not None else None, "completed_by": by, "updated_at": now}
        if by is None:
            done["overdue_at"] = None
        await self.session.execute(
            update(Task).where(Task.account_id == self.account_id, Task.id == task_id).values(**done)
        )

    async def change(self, task_id: UUID, columns: dict[str, Any], now: datetime) -> None:
        """Updates these columns; with another due time the task may become overdue again."""
        if "due_at" in columns:
            columns = {**columns, "overdue_at": None}
        await self.session.execute(
            update(Task)
            .where(Task.account_id == self.account_id, Task.id == task_id)
            .values(**columns, updated_at=now)
        )

    async def mark(self, task_id: UUID, deleted_at: datetime | None, now: datetime) -> None:
        """Soft-deletes it at a moment, or restores it (None). A task that became overdue while it was deleted
        emitted no event, so it can become overdue again."""
        values: dict[str, Any] = {"deleted_at": deleted_at, "updated_at": now}
        if deleted_at is None:
            values["overdue_at"] = case((Task.overdue_at < Task.deleted_at, Task.overdue_at))
        own = (Task.account_id == self.account_id, Task.id == task_id)
        await self.session.execute(update(Task).where(*own).values(**values))
