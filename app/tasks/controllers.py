"""Routes of tasks."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from app.permissions import Permission
from app.tasks.pages import show_task, task_list, task_view, view_of
from app.tasks.schemas import (
    TaskChangeForm,
    TaskDeleted,
    TaskForm,
    TaskList,
    TaskPage,
    TaskStepForm,
    TaskView,
)
from app.tasks.use_cases import add_task, change_task, complete_task, delete_task, reopen_task, restore_task
from app.web.actions import action, actions
from app.web.guards import may
from app.web.methods import deletion, partial_update
from app.web.paging import Paging
from app.web.responses import Saved
from app.work import Work

EDIT = Permission.EDIT_CONTACTS


class TaskController(Controller):
    tags = ("tasks",)

    @get("/tasks", page="tasks/index.html", fragment="tasks/_list.html", guards=[may(Permission.VIEW)])
    async def index(
        self,
        work: NamedDependency[Work],
        paging: NamedDependency[Paging],
        view: FromQuery[str] = "mine",
    ) -> TaskList:
        """Tasks about all contacts: `view` is mine, all, overdue or done."""
        return await task_list(work, view, paging)

    @post("/contacts/{contact_id:uuid}/tasks", form="/contacts/{contact_id}", guards=[may(EDIT)])
    async def create(
        self, contact_id: FromPath[UUID], data: JSONBody[TaskForm], work: NamedDependency[Work]
    ) -> Saved[TaskView]:
        """Adds a task about a contact."""
        task = await task_view(work, await add_task(work, contact_id, data))
        return Saved(task, see=f"/contacts/{contact_id}", note=f"“{task.title}” was added.")

    @get("/tasks/{task_id:uuid}", page="tasks/show.html", guards=[may(Permission.VIEW)])
    async def show(self, task_id: FromPath[UUID], work: NamedDependency[Work]) -> TaskPage:
        """One task and its form."""
        return await show_task(work, task_id)

    @partial_update("/tasks/{task_id:uuid}", form="/tasks/{task_id}", guards=[may(EDIT)])
    async def update(
        self, task_id: FromPath[UUID], data: JSONBody[TaskChangeForm], work: NamedDependency[Work]
    ) -> Saved[TaskPage]:
        """Changes title, text, due time or assignee."""
        await change_task(work, task_id, data)
        return Saved(await show_task(work, task_id), see="/tasks", created=False, note="The task was saved.")

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
