"""Adding, completing, reopening, deleting and restoring tasks."""

from datetime import datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import UNSET
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Invalid, NotFound
from app.filters.times import instant
from app.filters.values import read_moment
from app.tasks.schemas import TITLE, TaskChangeForm, TaskForm
from app.work import Work
from db.queries.name_lookup import read_member_names

END_OF_DAY = time(23, 59)
NO_MEMBER = "Choose a member of this account."


def due_of(text: str, zone: ZoneInfo) -> datetime | None:
    """The typed time as an instant in UTC; None for "". Raises `Invalid`."""
    if not text.strip():
        return None
    try:
        moment = read_moment(text)
    except ValueError as error:
        raise Invalid({"due": str(error)}) from None
    if isinstance(moment, datetime):
        return moment if moment.tzinfo else instant(moment, zone)
    return instant(datetime.combine(moment, END_OF_DAY), zone)


async def add_task(work: Work, contact_id: UUID, form: TaskForm) -> UUID:
    """Adds a task about a contact. Raises `Invalid`, `NotFound`, and `Conflict` for a deleted contact."""
    title = _title(form.title)
    contact = await work.contacts.lock(contact_id)
    if contact is None:
        raise NotFound("contact")
    if contact.deleted_at is not None:
        raise Conflict("This contact is deleted. Restore it first.")
    columns = {
        "contact_id": contact_id,
        "title": title,
        "body": _body(form.body),
        "assignee_id": await _member(work, form.assignee),
        "due_at": await _due(work, form.due),
    }
    try:
        task_id = await work.tasks.insert(columns, work.actor, work.now)
    except IntegrityError:
        await work.session.rollback()
        raise Invalid({"assignee": NO_MEMBER}) from None
    work.audit("task.created", "contact", contact_id, {"task": [None, title]})
    work.emit("task.added", contact_id, {"task_id": str(task_id)})
    await work.commit()
    return task_id


async def change_task(work: Work, task_id: UUID, form: TaskChangeForm) -> None:
    """Changes title, text, due time or assignee. Raises `Invalid`, `NotFound`."""
    row = await _locked(work, task_id)
    columns: dict[str, Any] = {}
    if form.title is not UNSET:
        columns["title"] = _title(form.title)
    if form.body is not UNSET:
        columns["body"] = _body(form.body or "")
    if form.assignee is not UNSET:
        columns["assignee_id"] = await _member(work, form.assignee)
    if form.due is not UNSET:
        due = await _due(work, form.due or "")
        # The input has no seconds: a time that is sent back unchanged keeps its seconds.
        shown = row.due_at and row.due_at.replace(second=0, microsecond=0)
        columns["due_at"] = row.due_at if due == shown else due
    changed = {name: value for name, value in columns.items() if value != getattr(row, name)}
    if changed:
        try:
            await work.tasks.change(task_id, changed, work.now)
        except IntegrityError:
            await work.session.rollback()
            raise Invalid({"assignee": NO_MEMBER}) from None
        members = await read_member_names(work.session) if "assignee_id" in changed else {}
        changes = {
            name: [
                members.get(str(value)) if name == "assignee_id" else _audit_value(value)
                for value in (getattr(row, name), changed[name])
            ]
            for name in changed
        }
        work.audit("task.updated", "contact", row.contact_id, {"task": [row.title, row.title], **changes})
    await work.commit()


async def complete_task(work: Work, task_id: UUID) -> Any:
    """Marks the task as done and returns its row. A second call changes nothing. Raises `NotFound`."""
    row = await _locked(work, task_id)
    if row.completed_at is None:
        await work.tasks.complete(task_id, work.actor.name, work.now)
        work.audit("task.completed", "contact", row.contact_id, {"task": [None, row.title]})
        work.emit("task.completed", row.contact_id, {"task_id": str(task_id)})
    await work.commit()
    return row


async def reopen_task(work: Work, task_id: UUID) -> Any:
    """Makes the task open again and returns its row. Raises `NotFound`."""
    row = await _locked(work, task_id)
    if row.completed_at is not None:
        await work.tasks.complete(task_id, None, work.now)
        work.audit("task.reopened", "contact", row.contact_id, {"task": [None, row.title]})
    await work.commit()
    return row


async def delete_task(work: Work, task_id: UUID) -> Any:
    """Soft-deletes the task and returns its row. Raises `NotFound`."""
    row = await _locked(work, task_id)
    await work.tasks.mark(task_id, work.now, work.now)
    work.audit("task.deleted", "contact", row.contact_id, {"task": [row.title, None]})
    await work.commit()
    return row


async def restore_task(work: Work, task_id: UUID) -> Any:
    """Restores a deleted task and returns its row. Raises `NotFound`, also when it is not deleted."""
    row = await _locked(work, task_id, deleted=True)
    await work.tasks.mark(task_id, None, work.now)
    work.audit("task.restored", "contact", row.contact_id, {"task": [None, row.title]})
    await work.commit()
    return row


def _title(text: str) -> str:
    title = " ".join(text.split())
    if not title or not title.isprintable():
        raise Invalid({"title": TITLE})
    return title


def _body(text: str) -> str:
    if "\0" in text:
        raise Invalid({"body": "Remove the invisible character from the text."})
    return text.strip()


async def _member(work: Work, user: UUID | None) -> UUID | None:
    members = (await work.fields.catalog())["owner"].names or {}
    if user is not None and str(user) not in members:
        raise Invalid({"assignee": NO_MEMBER})
    return user


async def _due(work: Work, text: str) -> datetime | None:
    return due_of(text, ZoneInfo((await work.accounts.own()).time_zone))


def _audit_value(value: Any) -> str | None:
    """The value as the audit entry stores it."""
    return None if value is None else value.isoformat() if isinstance(value, datetime) else str(value)


async def _locked(work: Work, task_id: UUID, *, deleted: bool = False) -> Any:
    row = await work.tasks.row(task_id, lock=True, deleted=deleted)
    if row is None:
        raise NotFound("task")
    return row
