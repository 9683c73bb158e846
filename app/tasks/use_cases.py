"""Adding, completing, reopening, deleting and restoring tasks."""

from datetime import datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import UNSET
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Invalid, NotFound
from app.filters.field_values import read_moment
from app.filters.times import instant
from app.tasks.schemas import TITLE, TaskChangeForm, TaskForm
from app.work import Work
from db.models import Task
from db.queries.name_lookup import read_member_names
from db.queries.tasks import NamedTask, lock_task

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
    task = Task(
        contact_id=contact_id,
        title=title,
        body=_body(form.body),
        assignee_id=await _member(work, form.assignee),
        due_at=await _due(work, form.due),
        author_kind=work.actor.kind,
        author_id=work.actor.id,
        author_name=work.actor.name,
        created_at=work.now,
        updated_at=work.now,
    )
    try:
        await work.tasks.add(task)
    except IntegrityError:
        await work.session.rollback()
        raise Invalid({"assignee": NO_MEMBER}) from None
    work.audit("task.created", "contact", contact_id, {"task": [None, title]})
    work.emit("task.added", contact_id, {"task_id": str(task.id)})
    await work.commit()
    return task.id


async def change_task(work: Work, task_id: UUID, form: TaskChangeForm) -> None:
    """Changes title, text, due time or assignee; with another due time the task may become overdue again.
    Raises `Invalid`, `NotFound`."""
    task = (await _locked(work, task_id)).task
    columns: dict[str, str | UUID | datetime | None] = {}
    if form.title is not UNSET:
        columns["title"] = _title(form.title)
    if form.body is not UNSET:
        columns["body"] = _body(form.body or "")
    if form.assignee is not UNSET:
        columns["assignee_id"] = await _member(work, form.assignee)
    if form.due is not UNSET:
        due = await _due(work, form.due or "")
        # The input has no seconds: a time that is sent back unchanged keeps its seconds.
        shown = task.due_at and task.due_at.replace(second=0, microsecond=0)
        columns["due_at"] = task.due_at if due == shown else due
    changed = {
        name: (getattr(task, name), value) for name, value in columns.items() if value != getattr(task, name)
    }
    if changed:
        title = task.title
        for name, (_, value) in changed.items():
            setattr(task, name, value)
        task.overdue_at, task.updated_at = None if "due_at" in changed else task.overdue_at, work.now
        try:
            await work.session.flush()
        except IntegrityError:
            await work.session.rollback()
            raise Invalid({"assignee": NO_MEMBER}) from None
        members = await read_member_names(work.session) if "assignee_id" in changed else {}
        changes = {
            name: [
                members.get(str(value)) if name == "assignee_id" else _audit_value(value) for value in values
            ]
            for name, values in changed.items()
        }
        work.audit("task.updated", "contact", task.contact_id, {"task": [title, title], **changes})
    await work.commit()


async def complete_task(work: Work, task_id: UUID) -> None:
    """Marks the task as done. A second call changes nothing. Raises `NotFound`."""
    task = (await _locked(work, task_id)).task
    if task.completed_at is None:
        task.completed_at, task.completed_by, task.updated_at = work.now, work.actor.name, work.now
        work.audit("task.completed", "contact", task.contact_id, {"task": [None, task.title]})
        work.emit("task.completed", task.contact_id, {"task_id": str(task_id)})
    await work.commit()


async def reopen_task(work: Work, task_id: UUID) -> None:
    """Makes the task open again; then it can become overdue again. Raises `NotFound`."""
    task = (await _locked(work, task_id)).task
    if task.completed_at is not None:
        task.completed_at = task.completed_by = task.overdue_at = None
        task.updated_at = work.now
        work.audit("task.reopened", "contact", task.contact_id, {"task": [None, task.title]})
    await work.commit()


async def delete_task(work: Work, task_id: UUID) -> NamedTask:
    """Soft-deletes the task and returns it. Raises `NotFound`."""
    named = await _locked(work, task_id)
    named.task.deleted_at = named.task.updated_at = work.now
    work.audit("task.deleted", "contact", named.task.contact_id, {"task": [named.task.title, None]})
    await work.commit()
    return named


async def restore_task(work: Work, task_id: UUID) -> None:
    """Restores a deleted task. One that became overdue while it was deleted emitted no event, so it can
    become overdue again. Raises `NotFound`, also when it is not deleted."""
    task = (await _locked(work, task_id, deleted=True)).task
    if task.overdue_at and task.deleted_at and task.overdue_at >= task.deleted_at:
        task.overdue_at = None
    task.deleted_at, task.updated_at = None, work.now
    work.audit("task.restored", "contact", task.contact_id, {"task": [None, task.title]})
    await work.commit()


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


def _audit_value(value: str | UUID | datetime | None) -> str | None:
    """The value as the audit entry stores it."""
    return None if value is None else value.isoformat() if isinstance(value, datetime) else str(value)


async def _locked(work: Work, task_id: UUID, *, deleted: bool = False) -> NamedTask:
    named = await lock_task(work.session, task_id, deleted=deleted)
    if named is None:
        raise NotFound("task")
    return named
