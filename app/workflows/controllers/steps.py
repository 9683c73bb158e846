"""Routes of the draft's steps: pick, insert, edit, move, delete."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from app.engine.core.draft import DraftError, lists
from app.errors import NotFound
from app.tags.use_cases import make_tag_of_row
from app.web.actions import action
from app.web.body_limits import DOCUMENT
from app.web.form_rows import changed_rows, redrawn, refused_values
from app.web.guards import may
from app.web.methods import deletion, partial_update
from app.web.request import Request
from app.web.responses import Saved, Shaped
from app.work import Work
from app.workflows.controllers.form_values import Values
from app.workflows.controllers.pages import EDIT, VIEW, builder, builder_of
from app.workflows.controllers.sheets import picker, step_sheet
from app.workflows.schemas.inputs import InsertForm, PositionForm, RevForm, StepForm
from app.workflows.schemas.pages import Builder
from app.workflows.use_cases import edit_steps
from app.workflows.use_cases.read import open_workflow

WORKBENCH, PAGE = "workflows/_workbench_update.html", "workflows/show.html"
AT = "/{key:str}"


class StepController(Controller):
    path = "/workflows/{workflow_id:uuid}/steps"
    tags = ("workflows",)
    opt = {"limits": DOCUMENT}  # noqa: RUF012 -- as Litestar reads it

    @get("/new", page=PAGE, fragment=WORKBENCH, guards=[may(EDIT)])
    async def new(
        self,
        workflow_id: FromPath[UUID],
        work: NamedDependency[Work],
        list_id: Annotated[str, QueryParameter(name="list")] = "main",
        position: FromQuery[int] = 10_000,
    ) -> Builder:
        """The kinds of steps, for one place of the flow."""
        opened = await open_workflow(work, workflow_id)
        where = lists(opened.draft).get(list_id)
        if where is None:
            raise NotFound("list of steps")
        href = f"/workflows/{workflow_id}/steps"
        own = [action(work, "insert", "Insert", href, permission=EDIT, form=InsertForm)]
        return builder(work, opened, picker(list_id, min(max(position, 0), len(where))), own)

    @post(page=PAGE, fragment=WORKBENCH, form="/workflows/{workflow_id}", guards=[may(EDIT)])
    async def insert(
        self, workflow_id: FromPath[UUID], data: JSONBody[InsertForm], work: NamedDependency[Work]
    ) -> Saved[Builder]:
        """Inserts a step, blank or with a config, and opens it: `sheet.key` is its key."""
        key = await edit_steps.insert_step(work, workflow_id, data)
        return Saved(await _step(work, workflow_id, key), see=f"/workflows/{workflow_id}/steps/{key}")

    @get(AT, page=PAGE, fragment=WORKBENCH, guards=[may(VIEW)])
    async def show(
        self, workflow_id: FromPath[UUID], key: FromPath[str], request: Request, work: NamedDependency[Work]
    ) -> Builder:
        """One step: its settings and counts."""
        return await _step(work, workflow_id, key, refused_values(request, StepForm))

    @partial_update(
        AT, page=PAGE, fragment=WORKBENCH, form="/workflows/{workflow_id}/steps/{key}", guards=[may(EDIT)]
    )
    async def update(
        self,
        workflow_id: FromPath[UUID],
        key: FromPath[str],
        request: Request,
        data: JSONBody[StepForm],
        work: NamedDependency[Work],
    ) -> Shaped[Builder]:
        """Changes a step; its kind stays."""
        values = changed_rows(request, StepForm, data)
        if values is not None:
            await make_tag_of_row(work, values, data.make)
            page, headers = await _step(work, workflow_id, key, values), redrawn(data, "sheet")
            return Shaped(page, status_code=200, headers=headers)
        await edit_steps.update_step(work, workflow_id, key, data)
        page = await _step(work, workflow_id, key)
        return Saved(page, see=f"/workflows/{workflow_id}/steps/{key}", created=False, note="Saved.")

    @post(
        AT + "/position",
        page=PAGE,
        fragment=WORKBENCH,
        form="/workflows/{workflow_id}",
        guards=[may(EDIT)],
        status_code=200,
    )
    async def move(
        self,
        workflow_id: FromPath[UUID],
        key: FromPath[str],
        data: JSONBody[PositionForm],
        work: NamedDependency[Work],
    ) -> Saved[Builder]:
        """Moves a step, with all steps inside it, within its list or into another."""
        await edit_steps.move_step(work, workflow_id, key, data)
        page = await _step(work, workflow_id, key)
        return Saved(page, see=f"/workflows/{workflow_id}/steps/{key}", created=False, note="Moved.")

    @deletion(AT, page=PAGE, fragment=WORKBENCH, form="/workflows/{workflow_id}", guards=[may(EDIT)])
    async def delete(
        self,
        workflow_id: FromPath[UUID],
        key: FromPath[str],
        data: JSONBody[RevForm],
        work: NamedDependency[Work],
    ) -> Saved[Builder]:
        """Deletes a step with all steps inside it; undo restores it."""
        await edit_steps.delete_step(work, workflow_id, key, data.rev)
        page = await builder_of(work, workflow_id)
        note = "Deleted. Use Undo above to restore it."
        return Saved(page, see=f"/workflows/{workflow_id}", created=False, note=note)


async def _step(work: Work, workflow_id: UUID, key: str, values: Values | None = None) -> Builder:
    opened = await open_workflow(work, workflow_id)
    try:
        sheet = step_sheet(opened, key, values)
    except DraftError:
        raise NotFound("step") from None
    href = f"/workflows/{workflow_id}/steps/{key}"
    own = [
        action(work, "update", "Save step", href, method="PATCH", permission=EDIT, form=StepForm),
        action(work, "move_step", "Move", f"{href}/position", permission=EDIT, form=PositionForm),
        action(work, "delete", "Delete", href, method="DELETE", permission=EDIT, form=RevForm),
    ]
    return builder(work, opened, sheet, own)
