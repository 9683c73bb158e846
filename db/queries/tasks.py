"""Tasks of the session's account with the names of their contact and assignee: the views of the list, and one
task. Those on the page of a contact are in `contact_history`."""

from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, func, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Contact, Task, User

TaskView: TypeAlias = Literal["mine", "all", "overdue", "done"]


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
_ASSIGNEE = func.coalesce(
    select(User.name).where(User.id == Task.assignee_id).correlate(Task).scalar_subquery(), ""
)
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
_DUE_OR_NEVER = func.coalesce(Task.due_at, literal_column("cast('infinity' as timestamptz)"))
# Tasks that aren't deleted, about contacts that aren't.
_LIVE = and_(Task.deleted_at.is_(None), Contact.deleted_at.is_(None))


def _view(view: TaskView, user_id: UUID | None, now: datetime) -> ColumnElement[bool]:
    return {
        "mine": and_(_IS_OPEN, Task.assignee_id == user_id),
        "all": _IS_OPEN,
        "overdue": and_(_IS_OPEN, Task.due_at < now),
        "done": _IS_DONE,
    }[view]


async def fetch_task_page(
    session: AsyncSession,
    view: TaskView,
    user_id: UUID | None,
    now: datetime,
    *,
    after: UUID | None,
    before: UUID | None,
    limit: int,
) -> tuple[list[NamedTask], bool] | None:
    """At most `limit` tasks of a view, after or before one of them, and whether there are more in that
    direction; None when that one has no place in the view any more. Mine are those of `user_id`; in all views
    the earliest due come first, in done the latest."""
    down = (view == "done") is (before is None)
    place = tuple_(Task.completed_at if view == "done" else _DUE_OR_NEVER, Task.id)
    query = _TASKS.where(_LIVE, _view(view, user_id, now))
    own = select(*place.clauses).where(
        Task.account_id == func.current_account(), Task.id == (before or after)
    )
    if before or after:
        edge = own.scalar_subquery()
        query = query.where(place < edge if down else place > edge)
    order = [column.desc() for column in place.clauses] if down else list(place.clauses)
    tasks = await _fetch(session, query.order_by(*order).limit(limit + 1))
    # Nothing comes after a place that is null: that of a task that is gone or, among those done, open again.
    if (before or after) and not tasks and None in ((await session.execute(own)).first() or (None,)):
        return None
    page = tasks[:limit]
    return (page[::-1] if before is not None else page), len(tasks) > limit


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


async def _fetch(session: AsyncSession, query: _Tasks) -> list[NamedTask]:
    return [NamedTask(*row) for row in await session.execute(query)]


async def _first(session: AsyncSession, query: _Tasks) -> NamedTask | None:
    tasks = await _fetch(session, query)
    return tasks[0] if tasks else None
