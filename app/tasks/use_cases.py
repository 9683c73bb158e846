"""Adding, completing, reopening and deleting tasks."""

from datetime import datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Invalid, NotFound
from app.filters.times import instant
from app.filters.values import read_moment
from app.tasks.schemas import TITLE, TaskForm
from app.work import Work

END_OF_DAY = time(23, 59)
NO_MEMBER = "Choose a member of this account."


def due_of(text: str, zone: ZoneInfo) -> datetime | None:
    """The instant that was typed, in UTC; None for nothing. Raises `Invalid`."""
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
    """A new task about a contact. Raises `Invalid`, `NotFound`, and `Conflict` for a deleted contact."""
    title = " ".join(form.title.split())
    if not title or not title.isprintable() or "\0" in form.body:
        raise Invalid({"title": TITLE})
    contact = await work.contacts.row(contact_id, lock=True)
    if contact is None:
        raise NotFound("contact")
    if contact.deleted_at is not None:
        raise Conflict("This contact was deleted. Restore it first.")
    members = (await work.fields.catalogue())["owner"].names or {}
    if form.assignee is not None and str(form.assignee) not in members:
        raise Invalid({"assignee": NO_MEMBER})
    due = due_of(form.due, ZoneInfo((await work.accounts.own()).time_zone))
    columns = {
        "contact_id": contact_id,
        "title": title,
        "body": form.body.strip(),
        "assignee_id": form.assignee,
        "due_at": due,
    }
    try:
        task_id = await work.tasks.insert(columns, work.actor, work.now)
    except IntegrityError:
        await work.session.rollback()
        raise Invalid({"assignee": NO_MEMBER}) from None
    work.audit("task.added", "contact", contact_id, {"task": [None, title]})
    work.emit("task.added", contact_id, {"task_id": str(task_id)})
    await work.commit()
    return task_id


async def complete_task(work: Work, task_id: UUID) -> Any:
    """Marks it as done; its row. Doing it twice changes nothing. Raises `NotFound`."""
    row = await _locked(work, task_id)
    if row.completed_at is None:
        await work.tasks.complete(task_id, work.actor.name, work.now)
        work.audit("task.completed", "contact", row.contact_id, {"task": [None, row.title]})
        work.emit("task.completed", row.contact_id, {"task_id": str(task_id)})
    await work.commit()
    return row


async def reopen_task(work: Work, task_id: UUID) -> Any:
    """Makes it open again; its row. Raises `NotFound`."""
    row = await _locked(work, task_id)
    if row.completed_at is not None:
        await work.tasks.complete(task_id, None, work.now)
        work.audit("task.reopened", "contact", row.contact_id, {"task": [None, row.title]})
    await work.commit()
    return row


async def delete_task(work: Work, task_id: UUID) -> Any:
    """Deletes it; the row that it was. Raises `NotFound`."""
    row = await _locked(work, task_id)
    await work.tasks.remove(task_id)
    work.audit("task.deleted", "contact", row.contact_id, {"task": [row.title, None]})
    await work.commit()
    return row


async def _locked(work: Work, task_id: UUID) -> Any:
    row = await work.tasks.one(task_id, lock=True)
    if row is None:
        raise NotFound("task")
    return row
