"""Tasks of the session's account with the names of their contact and assignee: the views of the list with
their search and order, and one task. Those on the page of a contact are in `contact_history`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, func, literal_column, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.filters.search_text import folded
from db.models import Contact, Task, User

TaskView: TypeAlias = Literal["mine", "all", "overdue", "done"]
TaskSort: TypeAlias = Literal["due", "completed", "title", "contact", "assignee", "created"]


class TaskQuery(msgspec.Struct, frozen=True):
    """What a list of tasks shows: those of a view with the text `q` in the title, the details or the contact,
    of one assignee. Mine are those of `user_id`; overdue are those due before `now`."""

    view: TaskView
    user_id: UUID | None
    now: datetime
    sort: TaskSort = "due"
    descending: bool = False
    q: str = ""
    assignee: UUID | None = None


class NamedTask(msgspec.Struct, frozen=True):
    """A task, its assignee's name ("" for none), and what names its contact."""

    task: Task
    assignee: str
    first_name: str | None
    last_name: str | None
    email: str | None
    company: str | None
    phone: str | None
    external_id: str | None


_Tasks: TypeAlias = Select[Task, str, str | None, str | None, str | None, str | None, str | None, str | None]


def _assignee(task: type[Task]) -> ColumnElement[str]:
    return func.coalesce(
        select(User.name).where(User.id == task.assignee_id).correlate(task).scalar_subquery(), ""
    )


_ASSIGNEE = _assignee(Task)
_WITH_CONTACT = and_(Contact.account_id == Task.account_id, Contact.id == Task.contact_id)
_TASKS: _Tasks = (
    select(
        Task,
        _ASSIGNEE,
        Contact.first_name,
        Contact.last_name,
        Contact.email,
        Contact.company,
        Contact.phone,
        Contact.external_id,
    )
    .join(Contact, _WITH_CONTACT)
    .where(Task.account_id == func.current_account())
    .execution_options(populate_existing=True)
)
_IS_OPEN, _IS_DONE = Task.completed_at.is_(None), Task.completed_at.is_not(None)
_NEVER: ColumnElement[datetime] = literal_column("cast('infinity' as timestamptz)")
# Tasks that aren't deleted, about contacts that aren't.
_LIVE = and_(Task.deleted_at.is_(None), Contact.deleted_at.is_(None))


def _view(view: TaskView, user_id: UUID | None, now: datetime) -> ColumnElement[bool]:
    return {
        "mine": and_(_IS_OPEN, Task.assignee_id == user_id),
        "all": _IS_OPEN,
        "overdue": and_(_IS_OPEN, Task.due_at < now),
        "done": _IS_DONE,
    }[view]


_SortValue: TypeAlias = ColumnElement[str] | ColumnElement[datetime] | ColumnElement[datetime | None]


def _sort_value(sort: TaskSort, task: type[Task], contact: type[Contact]) -> _SortValue:
    """What a list is sorted by; a task without a due time comes last."""
    values: dict[TaskSort, _SortValue] = {
        "due": func.coalesce(task.due_at, _NEVER),
        "completed": task.completed_at.expression,
        "title": func.lower(task.title),
        "contact": func.lower(
            func.concat_ws(" ", contact.last_name, contact.first_name, contact.email, contact.company)
        ),
        "assignee": func.lower(_assignee(task)),
        "created": task.created_at.expression,
    }
    return values[sort]


def _matching(query: TaskQuery) -> list[ColumnElement[bool]]:
    conditions = [_LIVE, _view(query.view, query.user_id, query.now)]
    if query.assignee is not None:
        conditions.append(Task.assignee_id == query.assignee)
    if query.q:
        text = query.q.lower()
        conditions.append(
            or_(
                func.lower(Task.title).contains(text, autoescape=True),
                func.lower(Task.body).contains(text, autoescape=True),
                Contact.search.contains(folded(query.q), autoescape=True),
            )
        )
    return conditions


async def fetch_task_page(
    session: AsyncSession,
    query: TaskQuery,
    *,
    after: UUID | None,
    before: UUID | None,
    limit: int,
) -> tuple[list[NamedTask], bool] | None:
    """At most `limit` tasks, after or before one of them, and whether there are more in that direction; None
    when that one has no place in the list any more."""
    down = query.descending is (before is None)
    place = tuple_(_sort_value(query.sort, Task, Contact), Task.id)
    tasks = _TASKS.where(*_matching(query))
    edge_task, edge_contact = aliased(Task), aliased(Contact)
    own = (
        select(_sort_value(query.sort, edge_task, edge_contact), edge_task.id)
        .join(
            edge_contact,
            and_(edge_contact.account_id == edge_task.account_id, edge_contact.id == edge_task.contact_id),
        )
        .where(edge_task.account_id == func.current_account(), edge_task.id == (before or after))
    )
    if before or after:
        edge = own.scalar_subquery()
        tasks = tasks.where(place < edge if down else place > edge)
    order = [column.desc() for column in place.clauses] if down else list(place.clauses)
    rows = await _fetch(session, tasks.order_by(*order).limit(limit + 1))
    # Nothing comes after a place that is null: that of a task that is gone or, among those done, open again.
    if (before or after) and not rows and None in ((await session.execute(own)).first() or (None,)):
        return None
    page = rows[:limit]
    return (page[::-1] if before is not None else page), len(rows) > limit


async def count_tasks(session: AsyncSession, user_id: UUID | None, now: datetime) -> dict[TaskView, int]:
    """The number of tasks in each view."""
    views: tuple[TaskView, ...] = ("mine", "all", "overdue", "done")
    query = (
        select(*(func.count().filter(_view(view, user_id, now)) for view in views))
        .select_from(Task)
        .join(Contact, _WITH_CONTACT)
        .where(Task.account_id == func.current_account(), _LIVE)
    )
    return dict(zip(views, (await session.execute(query)).one(), strict=True))


async def find_task(session: AsyncSession, task_id: UUID) -> NamedTask | None:
    """One task that isn't deleted; None when there is none."""
    return await _first(session, _TASKS.where(Task.id == task_id, Task.deleted_at.is_(None)))


async def lock_task(session: AsyncSession, task_id: UUID, *, deleted: bool = False) -> NamedTask | None:
    """One task, or with `deleted` a deleted one, locked until the transaction ends; None when there is
    none."""
    state = Task.deleted_at.is_not(None) if deleted else Task.deleted_at.is_(None)
    return await _first(session, _TASKS.where(Task.id == task_id, state).with_for_update(of=Task))


async def lock_tasks(session: AsyncSession, ids: Sequence[UUID]) -> Sequence[Task]:
    """Those of these tasks that aren't deleted, locked until the transaction ends, in the order of ids."""
    return await _lock(session, Task.id.in_(ids))


async def lock_completed_tasks(session: AsyncSession, completion_id: UUID) -> Sequence[Task]:
    """The tasks that were completed together and aren't deleted, locked likewise."""
    return await _lock(session, Task.completion_id == completion_id)


async def _lock(session: AsyncSession, condition: ColumnElement[bool]) -> Sequence[Task]:
    mine = Task.account_id == session.info["account_id"]
    query = select(Task).where(mine, condition, Task.deleted_at.is_(None)).order_by(Task.id)
    query = query.with_for_update().execution_options(populate_existing=True)
    return (await session.execute(query)).scalars().all()


async def _fetch(session: AsyncSession, query: _Tasks) -> list[NamedTask]:
    return [NamedTask(*row) for row in await session.execute(query)]


async def _first(session: AsyncSession, query: _Tasks) -> NamedTask | None:
    tasks = await _fetch(session, query)
    return tasks[0] if tasks else None
