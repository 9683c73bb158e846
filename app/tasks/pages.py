"""The list of tasks, and tasks on the page of a contact."""

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from app.contacts.domain import display_name
from app.contacts.listing import choice_of, find_choices
from app.errors import Invalid, NotFound
from app.permissions import Permission
from app.tasks.schemas import (
    BulkTaskForm,
    NewTaskPage,
    SnoozeForm,
    TaskChangeForm,
    TaskColumn,
    TaskForm,
    TaskList,
    TaskPage,
    TaskStepForm,
    TaskView,
)
from app.tasks.use_cases import zone_of
from app.web.actions import Action, action, actions
from app.web.paging import Paging, gone, neighbor_links, page_link
from app.work import Work
from db.models import Task
from db.queries.contact_history import TaskOfContact
from db.queries.contact_pages import find_contact
from db.queries.tasks import NamedTask, TaskQuery, TaskSort, count_tasks, fetch_task_page, find_task
from db.queries.tasks import TaskView as View

EDIT = Permission.EDIT_CONTACTS
PAGE_SIZE = 100
VIEWS: dict[View, str] = {"mine": "Mine", "all": "All open", "overdue": "Overdue", "done": "Done"}
LONGEST_SEARCH = 200
SORTS: tuple[TaskSort, ...] = get_args(TaskSort)
# Each column of the list: its label and its sort. The last one, the time, depends on the view.
COLUMNS: tuple[tuple[str, TaskSort], ...] = (
    ("Task", "title"), ("Contact", "contact"), ("Assignee", "assignee"), ("Due", "due"),
)  # fmt: skip


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
        repeats=task.repeats or "",
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
    zone = await zone_of(work)
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
                work, f"snooze:{task.id}", f"Snooze {task.title}", f"{href}/snooze",
                permission=EDIT, form=SnoozeForm, when=when and not done,
            ),
            action(
                work, f"delete_task:{task.id}", f"Delete {task.title}", href, method="DELETE",
                permission=EDIT, form=TaskStepForm, when=when,
            ),
        )  # fmt: skip
    return all_actions


async def task_list(
    work: Work, view: str, paging: Paging, q: str = "", sort: str = "", assignee: UUID | None = None
) -> TaskList:
    """A page of tasks. Raises `Invalid` for an unknown view or sort, and for a cursor that has left it."""
    chosen = next((name for name in VIEWS if name == view), None)
    if chosen is None:
        raise Invalid({"view": f"“view” must be one of {', '.join(VIEWS)}."})
    q = " ".join(q.split())
    if len(q) > LONGEST_SEARCH or "\0" in q:
        raise Invalid({"q": f"Search for at most {LONGEST_SEARCH} printable characters."})
    me = work.principal.user_id if work.principal is not None else None
    key, descending = _read_sort(chosen, sort)
    query = TaskQuery(chosen, me, work.now, key, descending, q, assignee)
    page = await fetch_task_page(
        work.session, query, after=paging.after, before=paging.before, limit=paging.size(PAGE_SIZE)
    )
    if page is None:
        raise gone(paging)
    tasks, more = page
    counts = await count_tasks(work.session, me, work.now)
    items = [view_of(work, task) for task in tasks]
    state = {"view": view, "q": q, "sort": sort, "assignee": str(assignee or "")}
    following, previous = neighbor_links("/tasks", state, items, paging, more=more)
    members = dict((await work.fields.catalog())["owner"].names or {})
    return TaskList(
        items,
        view,
        [
            (label, page_link("/tasks", {**state, "view": name, "sort": ""}), name == view, counts[name])
            for name, label in VIEWS.items()
        ],
        following,
        previous,
        [*_list_actions(work, chosen, items), *task_actions(work, items)],
        q,
        sort,
        assignee,
        _columns(chosen, state, key, descending=descending),
        members,
    )


def _list_actions(work: Work, view: View, items: Sequence[TaskView]) -> list[Action]:
    return actions(
        action(work, "new", "New task", "/tasks/new", permission=EDIT, method="GET"),
        action(
            work, "complete", "Complete", "/tasks/bulk/completion", permission=EDIT, form=BulkTaskForm,
            when=view != "done" and bool(items),
        ),
    )  # fmt: skip


def _read_sort(view: View, sort: str) -> tuple[TaskSort, bool]:
    """The sort and whether it is descending: by default the earliest due first, or the latest done."""
    if not sort:
        return ("completed", True) if view == "done" else ("due", False)
    key = next((name for name in SORTS if name == sort.removeprefix("-")), None)
    if key is None or (key == "completed" and view != "done"):
        raise Invalid({"sort": f"Sort by one of {', '.join(SORTS)}, with “-” in front for descending order."})
    return key, sort.startswith("-")


def _columns(view: View, state: Mapping[str, str], key: TaskSort, *, descending: bool) -> list[TaskColumn]:
    columns = []
    for label, name in COLUMNS:
        shown = ("Done", "completed") if name == "due" and view == "done" else (label, name)
        order = ("descending" if descending else "ascending") if shown[1] == key else ""
        sort = f"-{shown[1]}" if order == "ascending" else shown[1]
        columns.append(TaskColumn(shown[0], page_link("/tasks", {**state, "sort": sort}), order))
    return columns


async def new_task_page(work: Work, q: str, contact_id: UUID | None) -> NewTaskPage:
    """The form for a new task about a contact; without one the contacts that a search finds. Raises
    `NotFound`, `Invalid`."""
    contact = await find_contact(work.session, contact_id) if contact_id is not None else None
    if contact_id is not None and (contact is None or contact.deleted_at is not None):
        raise NotFound("contact")
    chosen = choice_of(contact) if contact is not None else None
    create = action(
        work, "create", "Add task", f"/contacts/{contact_id}/tasks", permission=EDIT, form=TaskForm,
        when=chosen is not None,
    )  # fmt: skip
    members = dict((await work.fields.catalog())["owner"].names or {})
    choices = [] if chosen is not None else await find_choices(work, q)
    return NewTaskPage(q, choices, chosen, await zone_of(work), members, actions(create))
