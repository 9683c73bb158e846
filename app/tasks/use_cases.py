"""Adding, changing, snoozing, completing, reopening, deleting and restoring tasks."""

from collections.abc import Sequence
from datetime import datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import UNSET, convert
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Invalid, NotFound
from app.filters.field_values import read_moment
from app.filters.times import instant
from app.tasks.domain import Repeat, next_due, snoozed_until
from app.tasks.schemas import TITLE, SnoozeForm, TaskChangeForm, TaskForm
from app.work import Work
from db.ids import uuid7
from db.models import Task
from db.queries.name_lookup import read_member_names
from db.queries.tasks import NamedTask, lock_completed_tasks, lock_task, lock_tasks

END_OF_DAY = time(23, 59)
NO_MEMBER = "Choose a member of this account."
REPEATS_FROM = "Enter when it is due first. It repeats from then."
NO_TASKS = "Choose at least one task, and only tasks of this account."


async def zone_of(work: Work) -> str:
    """The zone in which the caller enters and reads times; without a caller that of the account."""
    principal = work.principal
    return principal.time_zone if principal is not None else (await work.accounts.own()).time_zone


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
    due = await _due(work, form.due)
    task = Task(
        contact_id=contact_id,
        title=title,
        body=_body(form.body),
        assignee_id=await _member(work, form.assignee),
        due_at=due,
        **await _repetition(work, form.repeats, due),
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
    """Changes title, text, due time, assignee or repetition; with another due time the task may become
    overdue again, and repeats from then. Raises `Invalid`, `NotFound`."""
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
    columns |= await _changed_repetition(work, task, form, columns.get("due_at", task.due_at))
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
            if name not in ("repeat_from", "repeat_zone")
        }
        work.audit("task.updated", "contact", task.contact_id, {"task": [title, title], **changes})
    await work.commit()


async def snooze_task(work: Work, task_id: UUID, form: SnoozeForm) -> None:
    """Gives an open task a later due time; what it repeats from stays. Raises `Invalid`, `NotFound`, and
    `Conflict` for a task that is done."""
    task = (await _locked(work, task_id)).task
    if task.completed_at is not None:
        raise Conflict("This task is done. Reopen it first.")
    zone = ZoneInfo(await zone_of(work))
    due = snoozed_until(form.until, work.now, zone) if form.until else due_of(form.due, zone)
    if due is None or due <= work.now:
        raise Invalid({"due": "Enter a time in the future."})
    before, task.due_at, task.overdue_at, task.updated_at = task.due_at, due, None, work.now
    times = [_audit_value(before), _audit_value(due)]
    work.audit(
        "task.snoozed", "contact", task.contact_id, {"task": [task.title, task.title], "due_at": times}
    )
    await work.commit()


async def complete_task(work: Work, task_id: UUID) -> None:
    """Marks the task as done; one that repeats gets a successor. A second call changes nothing. Raises
    `NotFound`."""
    _complete(work, (await _locked(work, task_id)).task)
    await work.commit()


async def complete_tasks(work: Work, ids: Sequence[UUID]) -> tuple[UUID, int]:
    """Marks these tasks as done, all or none; returns the id of their completion and how many were open.
    Raises `Invalid`."""
    chosen = sorted(set(ids))
    tasks = await lock_tasks(work.session, chosen)
    if not chosen or len(tasks) < len(chosen):
        raise Invalid({"ids": NO_TASKS})
    completion = uuid7()
    done = sum(_complete(work, task, completion) for task in tasks)
    await work.commit()
    return completion, done


async def undo_completion(work: Work, completion_id: UUID) -> int:
    """Opens the tasks that were completed together, as far as they are still done; returns how many. Raises
    `NotFound`."""
    tasks = await lock_completed_tasks(work.session, completion_id)
    if not tasks:
        raise NotFound("completion of tasks")
    reopened = [await _reopen(work, task) for task in tasks]
    await work.commit()
    return sum(reopened)


async def reopen_task(work: Work, task_id: UUID) -> None:
    """Makes the task open again; then it can become overdue again, and the successor that its completion
    added goes, unless someone changed it since. Raises `NotFound`."""
    await _reopen(work, (await _locked(work, task_id)).task)
    await work.commit()


def _complete(work: Work, task: Task, completion_id: UUID | None = None) -> bool:
    """Completes a locked task; whether it was open."""
    if task.completed_at is not None:
        return False
    task.completed_at, task.completed_by, task.updated_at = work.now, work.actor.name, work.now
    task.completion_id = completion_id
    work.audit("task.completed", "contact", task.contact_id, {"task": [None, task.title]})
    work.emit("task.completed", task.contact_id, {"task_id": str(task.id)})
    successor = _successor(work, task) if task.next_id is None else None
    if successor is not None:
        task.next_id = successor.id
        work.session.add(successor)
        work.audit("task.created", "contact", task.contact_id, {"task": [None, task.title]})
        work.emit("task.added", task.contact_id, {"task_id": str(successor.id)})
    return True


def _successor(work: Work, task: Task) -> Task | None:
    """The next task of a completed one that repeats: due the first time that is neither past nor its own."""
    if task.repeats is None or task.repeat_from is None or task.repeat_zone is None:
        return None
    repeats: Repeat = convert(task.repeats, Repeat)
    after = max(task.due_at or work.now, work.now)
    due = next_due(repeats, task.repeat_from, ZoneInfo(task.repeat_zone), after)
    if due is None:
        return None
    return Task(
        id=uuid7(), account_id=work.account_id, contact_id=task.contact_id, title=task.title, body=task.body,
        assignee_id=task.assignee_id, due_at=due, repeats=task.repeats, repeat_from=task.repeat_from,
        repeat_zone=task.repeat_zone, author_kind=task.author_kind, author_id=task.author_id,
        author_name=task.author_name, created_at=work.now, updated_at=work.now,
    )  # fmt: skip


async def _reopen(work: Work, task: Task) -> bool:
    """Opens a locked task; whether it was done."""
    if task.completed_at is None:
        return False
    task.completed_at = task.completed_by = task.overdue_at = task.completion_id = None
    task.updated_at = work.now
    work.audit("task.reopened", "contact", task.contact_id, {"task": [None, task.title]})
    if task.next_id is not None and await _withdraw(work, task.next_id):
        task.next_id = None
    return True


async def _withdraw(work: Work, successor_id: UUID) -> bool:
    """Deletes the successor of a task that was reopened, unless it was changed or completed; whether it is
    gone. One that stays goes on with the repetition: the task gets no second one."""
    successor = await work.tasks.get_one_or_none(id=successor_id, with_for_update=True)
    if successor is None or successor.deleted_at is not None:
        return True
    if successor.updated_at != successor.created_at:
        return False
    successor.deleted_at = successor.updated_at = work.now
    work.audit("task.deleted", "contact", successor.contact_id, {"task": [successor.title, None]})
    return True


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
    return due_of(text, ZoneInfo(await zone_of(work)))


async def _repetition(work: Work, repeats: str | None, due: object) -> dict[str, str | datetime | None]:
    """The columns that say how a task repeats. Raises `Invalid` without a due time to begin with."""
    if not repeats:
        return {"repeats": None, "repeat_from": None, "repeat_zone": None}
    if not isinstance(due, datetime):
        raise Invalid({"due": REPEATS_FROM})
    return {"repeats": repeats, "repeat_from": due, "repeat_zone": await zone_of(work)}


async def _changed_repetition(
    work: Work, task: Task, form: TaskChangeForm, due: object
) -> dict[str, str | datetime | None]:
    """The columns that an edit changes of how a task repeats. An edit of the due time alone moves what it
    repeats from; without a due time it waits for one. Raises `Invalid`."""
    repeats = task.repeats if form.repeats is UNSET else form.repeats or None
    if repeats != task.repeats or (repeats and due is None and form.repeats is not UNSET):
        return await _repetition(work, repeats, due)
    if repeats and due != task.due_at:
        moved = due if isinstance(due, datetime) else None
        return {"repeat_from": moved, "repeat_zone": await zone_of(work)}
    return {}


def _audit_value(value: str | UUID | datetime | None) -> str | None:
    """The value as the audit entry stores it."""
    return None if value is None else value.isoformat() if isinstance(value, datetime) else str(value)


async def _locked(work: Work, task_id: UUID, *, deleted: bool = False) -> NamedTask:
    named = await lock_task(work.session, task_id, deleted=deleted)
    if named is None:
        raise NotFound("task")
    return named
