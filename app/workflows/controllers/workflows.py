"""Routes of the workflow list, new workflows, names, pausing and archiving."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.web.actions import action, actions
from app.web.guards import may
from app.web.methods import deletion, partial_update
from app.web.paging import Paging, neighbor_links
from app.web.responses import Saved
from app.work import Work
from app.workflows.controllers.pages import EDIT, PUBLISH, VIEW, builder_of
from app.workflows.schemas.inputs import WorkflowChangeForm, WorkflowForm
from app.workflows.schemas.pages import Builder, NewWorkflow, WorkflowList
from app.workflows.use_cases.edit import create_workflow, rename
from app.workflows.use_cases.publication import set_held, set_status
from app.workflows.use_cases.read import workflows


class WorkflowController(Controller):
    path = "/workflows"
    tags = ("workflows",)

    @get(page="workflows/index.html", guards=[may(VIEW)])
    async def index(self, work: NamedDependency[Work], paging: NamedDependency[Paging]) -> WorkflowList:
        """Every workflow, the newest first."""
        items, more = await workflows(work, after=paging.after, before=paging.before, limit=paging.size())
        following, previous = neighbor_links("/workflows", {}, items, paging, more=more)
        new = action(work, "new", "New workflow", "/workflows/new", permission=EDIT, method="GET")
        return WorkflowList(items, following, previous, actions(new))

    @get("/new", page="workflows/new.html", guards=[may(EDIT)])
    async def new(self, work: NamedDependency[Work]) -> NewWorkflow:
        """The form for a new workflow."""
        return NewWorkflow(
            actions(action(work, "create", "New workflow", "/workflows", permission=EDIT, form=WorkflowForm))
        )

    @post(form="/workflows/new", guards=[may(EDIT)])
    async def create(self, data: JSONBody[WorkflowForm], work: NamedDependency[Work]) -> Saved[Builder]:
        """Creates a workflow with an empty draft."""
        workflow_id = await create_workflow(work, data.name, data.description)
        page = await builder_of(work, workflow_id)
        return Saved(page, see=f"/workflows/{workflow_id}", note="Start by adding a trigger.")

    @get(
        "/{workflow_id:uuid}",
        page="workflows/show.html",
        fragment="workflows/_workbench_update.html",
        guards=[may(VIEW)],
    )
    async def show(self, workflow_id: FromPath[UUID], work: NamedDependency[Work]) -> Builder:
        """The builder: triggers, steps, counts."""
        return await builder_of(work, workflow_id)

    @partial_update("/{workflow_id:uuid}", form="/workflows/{workflow_id}/settings", guards=[may(EDIT)])
    async def rename(
        self, workflow_id: FromPath[UUID], data: JSONBody[WorkflowChangeForm], work: NamedDependency[Work]
    ) -> Saved[Builder]:
        """Changes name or description; a missing field stays as it is."""
        await rename(work, workflow_id, data)
        page = await builder_of(work, workflow_id)
        return Saved(page, see=f"/workflows/{workflow_id}/settings", created=False, note="Saved.")

    @post("/{workflow_id:uuid}/pause", form="/workflows/{workflow_id}/settings", guards=[may(PUBLISH)])
    async def pause(self, workflow_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[None]:
        """Pauses the workflow: no contact enters; active enrollments continue."""
        await set_status(work, workflow_id, "paused")
        return Saved(None, see=f"/workflows/{workflow_id}/settings", note="Paused: no new contacts enter.")

    @deletion("/{workflow_id:uuid}/pause", form="/workflows/{workflow_id}/settings", guards=[may(PUBLISH)])
    async def resume(self, workflow_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[None]:
        """Resumes the workflow: contacts enter again."""
        await set_status(work, workflow_id, "active")
        return Saved(None, see=f"/workflows/{workflow_id}/settings", note="New contacts can enter again.")

    @post("/{workflow_id:uuid}/hold", form="/workflows/{workflow_id}/settings", guards=[may(PUBLISH)])
    async def hold(self, workflow_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[None]:
        """Holds all enrollments of the workflow: none moves and nothing is sent."""
        await set_held(work, workflow_id, True)
        note = "On hold: enrollments don't move, and nothing is sent."
        return Saved(None, see=f"/workflows/{workflow_id}/settings", note=note)

    @deletion("/{workflow_id:uuid}/hold", form="/workflows/{workflow_id}/settings", guards=[may(PUBLISH)])
    async def release(self, workflow_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[None]:
        """Releases the enrollments of a held workflow."""
        await set_held(work, workflow_id, False)
        return Saved(None, see=f"/workflows/{workflow_id}/settings", note="Released: enrollments move again.")

    @post("/{workflow_id:uuid}/archival", form="/workflows/{workflow_id}/settings", guards=[may(PUBLISH)])
    async def archive(self, workflow_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[None]:
        """Archives the workflow: no contact enters, and active enrollments end."""
        await set_status(work, workflow_id, "archived")
        note = "Archived: no contacts can enter, and active enrollments end."
        return Saved(None, see=f"/workflows/{workflow_id}/settings", note=note)
