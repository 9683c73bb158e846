"""Routes of the whole draft: counts, undo and redo, the entry condition, the settings."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.tags.use_cases import make_tag_of_row
from app.web.actions import action
from app.web.body_limits import DOCUMENT
from app.web.form_rows import changed_rows, redrawn, refused_values
from app.web.guards import may
from app.web.methods import partial_update
from app.web.request import Request
from app.web.responses import Saved, Shaped
from app.work import Work
from app.workflows.controllers.form_values import Values
from app.workflows.controllers.pages import EDIT, PUBLISH, VIEW, builder, builder_of
from app.workflows.controllers.sheets import entry_sheet, settings_sheet
from app.workflows.schemas.inputs import EntryForm, RevForm, SettingsForm, WorkflowChangeForm
from app.workflows.schemas.pages import Builder, CountsPage
from app.workflows.use_cases import edit, edit_triggers
from app.workflows.use_cases.read import live_counts, open_workflow

WORKBENCH, PAGE = "workflows/_workbench_update.html", "workflows/show.html"


class BuilderController(Controller):
    path = "/workflows/{workflow_id:uuid}"
    tags = ("workflows",)
    opt = {"limits": DOCUMENT}  # noqa: RUF012 -- as Litestar reads it

    @get("/counts", fragment="workflows/_counts.html", page="workflows/_counts.html", guards=[may(VIEW)])
    async def counts(self, workflow_id: FromPath[UUID], work: NamedDependency[Work]) -> CountsPage:
        """How many contacts are at each step of the draft, completed it, or failed at it."""
        kinds, counts, totals = await live_counts(work, workflow_id)
        return CountsPage(counts, kinds, totals, [])

    @post(
        "/undo",
        page=PAGE,
        fragment=WORKBENCH,
        form="/workflows/{workflow_id}",
        guards=[may(EDIT)],
        status_code=200,
    )
    async def undo(
        self, workflow_id: FromPath[UUID], data: JSONBody[RevForm], work: NamedDependency[Work]
    ) -> Saved[Builder]:
        """Undoes the last change of the draft."""
        await edit.undo(work, workflow_id, data.rev)
        page = await builder_of(work, workflow_id)
        return Saved(page, see=f"/workflows/{workflow_id}", created=False, note="Undone.")

    @post(
        "/redo",
        page=PAGE,
        fragment=WORKBENCH,
        form="/workflows/{workflow_id}",
        guards=[may(EDIT)],
        status_code=200,
    )
    async def redo(
        self, workflow_id: FromPath[UUID], data: JSONBody[RevForm], work: NamedDependency[Work]
    ) -> Saved[Builder]:
        """Redoes the change that was undone last."""
        await edit.redo(work, workflow_id, data.rev)
        page = await builder_of(work, workflow_id)
        return Saved(page, see=f"/workflows/{workflow_id}", created=False, note="Redone.")

    @get("/entry", page=PAGE, fragment=WORKBENCH, guards=[may(VIEW)])
    async def entry(
        self, workflow_id: FromPath[UUID], request: Request, work: NamedDependency[Work]
    ) -> Builder:
        """The entry condition: which of the contacts that a trigger admits may enter."""
        return await _entry(work, workflow_id, refused_values(request, EntryForm))

    @partial_update(
        "/entry", page=PAGE, fragment=WORKBENCH, form="/workflows/{workflow_id}/entry", guards=[may(EDIT)]
    )
    async def set_entry(
        self,
        workflow_id: FromPath[UUID],
        request: Request,
        data: JSONBody[EntryForm],
        work: NamedDependency[Work],
    ) -> Shaped[Builder]:
        """Replaces the entry condition; none admits every contact."""
        values = changed_rows(request, EntryForm, data)
        if values is not None:
            await make_tag_of_row(work, values, data.make)
            page, headers = await _entry(work, workflow_id, values), redrawn(data, "sheet")
            return Shaped(page, status_code=200, headers=headers)
        await edit_triggers.set_entry(work, workflow_id, data)
        page = await _entry(work, workflow_id)
        return Saved(page, see=f"/workflows/{workflow_id}/entry", created=False, note="Saved.")

    @get("/settings", page=PAGE, fragment=WORKBENCH, guards=[may(VIEW)])
    async def settings(
        self, workflow_id: FromPath[UUID], request: Request, work: NamedDependency[Work]
    ) -> Builder:
        """Name, re-entry, pausing and archiving."""
        return await _settings(work, workflow_id, refused_values(request, SettingsForm))

    @partial_update(
        "/settings",
        page=PAGE,
        fragment=WORKBENCH,
        form="/workflows/{workflow_id}/settings",
        guards=[may(EDIT)],
    )
    async def set_settings(
        self, workflow_id: FromPath[UUID], data: JSONBody[SettingsForm], work: NamedDependency[Work]
    ) -> Saved[Builder]:
        """Changes settings of the draft; they go live when it is published."""
        await edit.set_settings(work, workflow_id, data)
        page = await _settings(work, workflow_id)
        return Saved(page, see=f"/workflows/{workflow_id}/settings", created=False, note="Saved.")


async def _entry(work: Work, workflow_id: UUID, values: Values | None = None) -> Builder:
    opened = await open_workflow(work, workflow_id)
    href = f"/workflows/{workflow_id}/entry"
    own = [action(work, "set_entry", "Save", href, method="PATCH", permission=EDIT, form=EntryForm)]
    return builder(work, opened, entry_sheet(opened, values), own)


async def _settings(work: Work, workflow_id: UUID, values: Values | None = None) -> Builder:
    opened = await open_workflow(work, workflow_id)
    base, status = f"/workflows/{workflow_id}", opened.view.status
    own = [
        action(work, "set_settings", "Save", f"{base}/settings", method="PATCH", permission=EDIT,
               form=SettingsForm),
        action(work, "rename", "Save", base, method="PATCH", permission=EDIT, form=WorkflowChangeForm),
        action(work, "pause", "Pause", f"{base}/pause", permission=PUBLISH, when=status == "active"),
        action(work, "resume", "Resume", f"{base}/pause", method="DELETE", permission=PUBLISH,
               when=status in ("paused", "archived") and opened.view.live_version is not None),
        action(work, "hold", "Hold all", f"{base}/hold", permission=PUBLISH,
               when=not opened.view.held and opened.view.live_version is not None),
        action(work, "release", "Release", f"{base}/hold", method="DELETE", permission=PUBLISH,
               when=opened.view.held),
        action(work, "archive", "Archive", f"{base}/archival", permission=PUBLISH, when=status != "archived"),
    ]  # fmt: skip
    return builder(work, opened, settings_sheet(opened, values), own)
