"""Routes of tasks."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from app.permissions import Permission
from app.tasks.pages import new_task_page, show_task, task_list, task_view, view_of
from app.tasks.schemas import (
    MOST_IDS,
    BulkTaskForm,
    CompletionUndoForm,
    NewTaskPage,
    SnoozeForm,
    TaskChangeForm,
    TaskDeleted,
    TaskForm,
    TaskList,
    TaskPage,
    TasksCompleted,
    TasksReopened,
    TaskStepForm,
    TaskView,
)
from app.tasks.use_cases import (
    add_task,
    change_task,
    complete_task,
    complete_tasks,
    delete_task,
    reopen_task,
    restore_task,
    snooze_task,
    undo_completion,
)
from app.web.actions import action, actions
from app.web.body_limits import BodyLimits
from app.web.formatting import plural
from app.web.guards import may
from app.web.methods import deletion, partial_update
from app.web.paging import Paging
from app.web.request_kinds import search_with
from app.web.responses import Saved
from app.work import Work

EDIT = Permission.EDIT_CONTACTS
MANY = BodyLimits(fields=2 * MOST_IDS)


class TaskController(Controller):
    tags = ("tasks",)

    @get(
        "/tasks",
        page="tasks/index.html",
        fragment="tasks/_list.html",
        guards=[may(Permission.VIEW)],
        kind=search_with("q"),
    )
    async def index(
        self,
        work: NamedDependency[Work],
        paging: NamedDependency[Paging],
        view: FromQuery[str] = "mine",
        q: FromQuery[str] = "",
        sort: FromQuery[str] = "",
        assignee: FromQuery[UUID | None] = None,
    ) -> TaskList:
        """Tasks about all contacts: `view` is mine, all, overdue or done; `q` is a text in the title, the
        details or the contact; `sort` is due, title, contact, assignee, created or, of those done, completed,
        with “-” for descending order."""
        return await task_list(work, view, paging, q, sort, assignee)

    @get("/tasks/new", page="tasks/new.html", guards=[may(EDIT)], kind=search_with("q"))
    async def new(
        self, work: NamedDependency[Work], q: FromQuery[str] = "", contact: FromQuery[UUID | None] = None
    ) -> NewTaskPage:
        """The form for a new task about `contact`; without it the contacts that `q` finds."""
        return await new_task_page(work, q, contact)

    @post("/contacts/{contact_id:uuid}/tasks", form="/contacts/{contact_id}", guards=[may(EDIT)])
    async def create(
        self, contact_id: FromPath[UUID], data: JSONBody[TaskForm], work: NamedDependency[Work]
    ) -> Saved[TaskView]:
        """Adds a task about a contact."""
        task = await task_view(work, await add_task(work, contact_id, data))
        see = "/tasks" if data.back == "tasks" else f"/contacts/{contact_id}"
        return Saved(task, see=see, note=f"“{task.title}” was added.")

    @post("/tasks/bulk/completion", form="/tasks", guards=[may(EDIT)], status_code=200, limits=MANY)
    async def complete_many(
        self, data: JSONBody[BulkTaskForm], work: NamedDependency[Work]
    ) -> Saved[TasksCompleted]:
        """Marks tasks as done, at most 200; the response's action opens them again."""
        completion, total = await complete_tasks(work, [*data.ids, *data.id])
        undo = f"/completions/{completion}/restoration"
        reopen = action(work, "restore", "Reopen these tasks", undo, permission=EDIT, form=CompletionUndoForm)
        page = TasksCompleted(completion, total, actions(reopen))
        note = f"{plural(total, 'task')} completed."
        undo = f"{undo}?view={data.view}" if total else ""
        return Saved(page, see=f"/tasks?view={data.view}", created=False, note=note, undo=undo)

    @post("/completions/{completion_id:uuid}/restoration", guards=[may(EDIT)], status_code=200)
    async def reopen_many(
        self, completion_id: FromPath[UUID], data: JSONBody[CompletionUndoForm], work: NamedDependency[Work]
    ) -> Saved[TasksReopened]:
        """Opens the tasks again that were completed together, as far as they are still done."""
        total = await undo_completion(work, completion_id)
        note = f"{plural(total, 'task')} reopened."
        return Saved(TasksReopened(total), see=f"/tasks?view={data.view}", created=False, note=note)

    @get("/tasks/{task_id:uuid}", page="tasks/show.html", guards=[may(Permission.VIEW)])
    async def show(self, task_id: FromPath[UUID], work: NamedDependency[Work]) -> TaskPage:
        """One task and its form."""
        return await show_task(work, task_id)

    @partial_update("/tasks/{task_id:uuid}", form="/tasks/{task_id}", guards=[may(EDIT)])
    async def update(
        self, task_id: FromPath[UUID], data: JSONBody[TaskChangeForm], work: NamedDependency[Work]
    ) -> Saved[TaskPage]:
        """Changes title, text, due time, assignee or repetition."""
        await change_task(work, task_id, data)
        return Saved(await show_task(work, task_id), see="/tasks", created=False, note="The task was saved.")

    @post("/tasks/{task_id:uuid}/snooze", form="/tasks/{task_id}", guards=[may(EDIT)], status_code=200)
    async def snooze(
        self, task_id: FromPath[UUID], data: JSONBody[SnoozeForm], work: NamedDependency[Work]
    ) -> Saved[TaskView]:
        """Gives an open task a later due time."""
        await snooze_task(work, task_id, data)
        task = await task_view(work, task_id)
        return Saved(task, see=_back(data, task), created=False, note=f"“{task.title}” was snoozed.")

    @post("/tasks/{task_id:uuid}/completion", guards=[may(EDIT)], status_code=200)
    async def complete(
        self, task_id: FromPath[UUID], data: JSONBody[TaskStepForm], work: NamedDependency[Work]
    ) -> Saved[TaskView]:
        """Marks a task as done."""
        await complete_task(work, task_id)
        task = await task_view(work, task_id)
        return Saved(task, see=_back(data, task), created=False, note=f"“{task.title}” was completed.")

    @deletion("/tasks/{task_id:uuid}/completion", guards=[may(EDIT)])
    async def reopen(
        self, task_id: FromPath[UUID], data: JSONBody[TaskStepForm], work: NamedDependency[Work]
    ) -> Saved[TaskView]:
        """Makes a task open again."""
        await reopen_task(work, task_id)
        task = await task_view(work, task_id)
        return Saved(task, see=_back(data, task), created=False, note=f"“{task.title}” was reopened.")

    @deletion("/tasks/{task_id:uuid}", guards=[may(EDIT)])
    async def delete_task(
        self, task_id: FromPath[UUID], data: JSONBody[TaskStepForm], work: NamedDependency[Work]
    ) -> Saved[TaskDeleted]:
        """Deletes a task; the response's action restores it."""
        task = view_of(work, await delete_task(work, task_id))
        undo = f"/tasks/{task_id}/restoration"
        restore = action(work, "restore", "Restore task", undo, permission=EDIT, form=TaskStepForm)
        page = TaskDeleted(task, actions(restore))
        note, undo = f"“{task.title}” was deleted.", f"{undo}?back={data.back}"
        return Saved(page, see=_back(data, task), created=False, note=note, undo=undo)

    @post("/tasks/{task_id:uuid}/restoration", guards=[may(EDIT)], status_code=200)
    async def restore_task(
        self, task_id: FromPath[UUID], data: JSONBody[TaskStepForm], work: NamedDependency[Work]
    ) -> Saved[TaskView]:
        """Restores a deleted task."""
        await restore_task(work, task_id)
        task = await task_view(work, task_id)
        return Saved(task, see=_back(data, task), created=False, note=f"“{task.title}” was restored.")


def _back(form: TaskStepForm, task: TaskView) -> str:
    return "/tasks" if form.back == "tasks" else f"/contacts/{task.contact_id}"
