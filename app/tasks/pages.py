"""The list of tasks, and tasks on the page of a contact."""

from collections.abc import Iterable
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from app.contacts.domain import display_name
from app.errors import Invalid, NotFound
from app.permissions import Permission
from app.tasks.schemas import TaskChangeForm, TaskList, TaskPage, TaskStepForm, TaskView
from app.web.actions import Action, action, actions
from app.web.paging import Paging, gone, neighbor_links
from app.work import Work
from db.models import Task
from db.queries.contact_history import TaskOfContact
from db.queries.tasks import NamedTask, count_tasks, fetch_task_page, find_task
from db.queries.tasks import TaskView as View

EDIT = Permission.EDIT_CONTACTS
PAGE_SIZE = 100
VIEWS: dict[View, str] = {"mine": "Mine", "all": "All open", "overdue": "Overdue", "done": "Done"}


def view_of(work: Work, named: NamedTask) -> TaskView:
    """A task as the page shows it."""
    return shown(work, named.task, display_name(msgspec.structs.asdict(named)), named.assignee)


def shown(work: Work, task: Task | TaskOfContact, contact: str, assignee: str) -> TaskView:
    """A task with the names of its contact and its assignee."""
    return TaskView(
        id=task.id,
        contact_id=task.contact_id,
        contact=contact,
        title=task.title,
        body=task.body,
        assignee_id=task.assignee_id,
        assignee=assignee,
        due_at=task.due_at,
        overdue=task.completed_at is None and task.due_at is not None and task.due_at < work.now,
        completed_at=task.completed_at,
        completed_by=task.completed_by,
        author_name=task.author_name,
        created_at=task.created_at,
    )


async def task_view(work: Work, task_id: UUID) -> TaskView:
    """One task. Raises `NotFound`."""
    named = await find_task(work.session, task_id)
    if named is None:
        raise NotFound("task")
    return view_of(work, named)


async def show_task(work: Work, task_id: UUID) -> TaskPage:
    """One task with its form. Raises `NotFound`."""
    task = await task_view(work, task_id)
    zone = (await work.accounts.own()).time_zone
    local = task.due_at.astimezone(ZoneInfo(zone)) if task.due_at else None
    href = f"/tasks/{task_id}"
    return TaskPage(
        task,
        local.strftime("%Y-%m-%dT%H:%M") if local else "",
        zone,
        dict((await work.fields.catalog())["owner"].names or {}),
        [
            *actions(
                action(work, "update", "Save", href, method="PATCH", permission=EDIT, form=TaskChangeForm)
            ),
            *task_actions(work, [task]),
        ],
    )


def task_actions(work: Work, tasks: Iterable[TaskView], *, when: bool = True) -> list[Action]:
    """The actions that each of these tasks allows."""
    all_actions: list[Action] = []
    for task in tasks:
        href, done = f"/tasks/{task.id}", task.completed_at is not None
        all_actions += actions(
            action(
                work, f"complete:{task.id}", f"Complete {task.title}", f"{href}/completion",
                permission=EDIT, form=TaskStepForm, when=when and not done,
            ),
            action(
                work, f"reopen:{task.id}", f"Reopen {task.title}", f"{href}/completion", method="DELETE",
                permission=EDIT, form=TaskStepForm, when=when and done,
            ),
            action(
                work, f"delete_task:{task.id}", f"Delete {task.title}", href, method="DELETE",
                permission=EDIT, form=TaskStepForm, when=when,
            ),
        )  # fmt: skip
    return all_actions


async def task_list(work: Work, view: str, paging: Paging) -> TaskList:
    """A page of tasks. Raises `Invalid` for an unknown view, and for a cursor that has left it."""
    chosen = next((name for name in VIEWS if name == view), None)
    if chosen is None:
        raise Invalid({"view": f"“view” must be one of {', '.join(VIEWS)}."})
    me = work.principal.user_id if work.principal is not None else None
    page = await fetch_task_page(
        work.session, chosen, me, work.now,
        after=paging.after, before=paging.before, limit=paging.size(PAGE_SIZE),
    )  # fmt: skip
    if page is None:
        raise gone(paging)
    tasks, more = page
    counts = await count_tasks(work.session, me, work.now)
    items = [view_of(work, task) for task in tasks]
    following, previous = neighbor_links("/tasks", {"view": view}, items, paging, more=more)
    return TaskList(
        items,
        view,
        [
            (label, f"/tasks?{urlencode({'view': key})}", key == view, counts[key])
            for key, label in VIEWS.items()
        ],
        following,
        previous,
        task_actions(work, items),
    )
