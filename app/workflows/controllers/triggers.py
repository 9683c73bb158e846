"""Routes of the draft's triggers: pick, add, edit, delete."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.engine.core.draft import DraftError, find_trigger
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
from app.workflows.controllers.sheets import trigger_picker, trigger_sheet
from app.workflows.schemas.inputs import AddTriggerForm, RevForm, TriggerForm
from app.workflows.schemas.pages import Builder
from app.workflows.use_cases import edit_triggers
from app.workflows.use_cases.read import open_workflow

WORKBENCH, PAGE = "workflows/_workbench_update.html", "workflows/show.html"


class TriggerController(Controller):
    path = "/workflows/{workflow_id:uuid}/triggers"
    tags = ("workflows",)
    opt = {"limits": DOCUMENT}  # noqa: RUF012 -- as Litestar reads it

    @get("/new", page=PAGE, fragment=WORKBENCH, guards=[may(EDIT)])
    async def new(self, workflow_id: FromPath[UUID], work: NamedDependency[Work]) -> Builder:
        """The kinds of triggers."""
        opened = await open_workflow(work, workflow_id)
        href = f"/workflows/{workflow_id}/triggers"
        own = [action(work, "add_trigger", "Add", href, permission=EDIT, form=AddTriggerForm)]
        return builder(work, opened, trigger_picker(), own)

    @post(page=PAGE, fragment=WORKBENCH, form="/workflows/{workflow_id}", guards=[may(EDIT)])
    async def add(
        self, workflow_id: FromPath[UUID], data: JSONBody[AddTriggerForm], work: NamedDependency[Work]
    ) -> Saved[Builder]:
        """Adds a trigger, blank or with a config, and opens it: `sheet.key` is its key."""
        key = await edit_triggers.add_trigger(work, workflow_id, data)
        return Saved(await _trigger(work, workflow_id, key), see=f"/workflows/{workflow_id}/triggers/{key}")

    @get("/{key:str}", page=PAGE, fragment=WORKBENCH, guards=[may(VIEW)])
    async def show(
        self, workflow_id: FromPath[UUID], key: FromPath[str], request: Request, work: NamedDependency[Work]
    ) -> Builder:
        """One trigger: what it listens to."""
        return await _trigger(work, workflow_id, key, refused_values(request, TriggerForm))

    @partial_update(
        "/{key:str}",
        page=PAGE,
        fragment=WORKBENCH,
        form="/workflows/{workflow_id}/triggers/{key}",
        guards=[may(EDIT)],
    )
    async def update(
        self,
        workflow_id: FromPath[UUID],
        key: FromPath[str],
        request: Request,
        data: JSONBody[TriggerForm],
        work: NamedDependency[Work],
    ) -> Shaped[Builder]:
        """Changes a trigger."""
        values = changed_rows(request, TriggerForm, data)
        if values is not None:
            await make_tag_of_row(work, values, data.make)
            page, headers = await _trigger(work, workflow_id, key, values), redrawn(data, "sheet")
            return Shaped(page, status_code=200, headers=headers)
        await edit_triggers.update_trigger(work, workflow_id, key, data)
        page = await _trigger(work, workflow_id, key)
        return Saved(page, see=f"/workflows/{workflow_id}/triggers/{key}", created=False, note="Saved.")

    @deletion(
        "/{key:str}",
        page=PAGE,
        fragment=WORKBENCH,
        form="/workflows/{workflow_id}",
        guards=[may(EDIT)],
    )
    async def delete(
        self,
        workflow_id: FromPath[UUID],
        key: FromPath[str],
        data: JSONBody[RevForm],
        work: NamedDependency[Work],
    ) -> Saved[Builder]:
        """Deletes a trigger; undo restores it."""
        await edit_triggers.delete_trigger(work, workflow_id, key, data.rev)
        page = await builder_of(work, workflow_id)
        note = "Deleted. Use Undo above to restore it."
        return Saved(page, see=f"/workflows/{workflow_id}", created=False, note=note)


async def _trigger(work: Work, workflow_id: UUID, key: str, values: Values | None = None) -> Builder:
    opened = await open_workflow(work, workflow_id)
    try:
        sheet = trigger_sheet(opened, find_trigger(opened.draft, key), values)
    except DraftError:
        raise NotFound("trigger") from None
    href = f"/workflows/{workflow_id}/triggers/{key}"
    own = [
        action(
            work, "update_trigger", "Save trigger", href, method="PATCH", permission=EDIT, form=TriggerForm
        ),
        action(work, "delete_trigger", "Delete", href, method="DELETE", permission=EDIT, form=RevForm),
    ]
    return builder(work, opened, sheet, own)
