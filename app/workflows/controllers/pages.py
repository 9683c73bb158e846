"""Builds the builder's page as one struct: canvas, open sheet, actions. Every route of the builder ends
here."""

from uuid import UUID

from app.engine.core.draft import walk
from app.permissions import Permission
from app.web.actions import Action, action, actions
from app.work import Work
from app.workflows.schemas.inputs import PositionForm, RevForm
from app.workflows.schemas.pages import Builder, Sheet
from app.workflows.use_cases.read import (
    LoadedWorkflow,
    canvas,
    entry_sentence,
    live_steps,
    open_workflow,
    problem_views,
    trigger_cards,
)

VIEW, EDIT, PUBLISH = Permission.VIEW, Permission.EDIT_WORKFLOWS, Permission.PUBLISH_WORKFLOWS
SHEET_ACTIONS = list[Action | None]


def builder(
    work: Work, opened: LoadedWorkflow, sheet: Sheet | None, own: SHEET_ACTIONS | None = None
) -> Builder:
    """The builder with a sheet open, or none; `own` are the sheet's actions."""
    base = f"/workflows/{opened.view.id}"
    first = next((step.key for _, _, step in walk(opened.draft.steps)), "")
    page_actions = actions(
        action(work, "undo", "Undo", f"{base}/undo", permission=EDIT, form=RevForm, when=bool(opened.undo)),
        action(work, "redo", "Redo", f"{base}/redo", permission=EDIT, form=RevForm, when=bool(opened.redo)),
        action(
            work, "move", "Move a step", f"{base}/steps/{first}/position", permission=EDIT, form=PositionForm,
            when=bool(first),
        ),
        *(own or []),
    )  # fmt: skip
    return Builder(
        workflow=opened.view,
        triggers=trigger_cards(opened.draft.triggers, opened),
        entry=entry_sentence(opened.draft.entry, opened.lookup),
        steps=canvas(opened.draft.steps, opened, live_steps(opened)),
        totals=opened.totals,
        undo=opened.undo,
        redo=opened.redo,
        problems=problem_views(opened),
        sheet=sheet,
        editable=work.may(EDIT),
        publishable=work.may(PUBLISH),
        actions=page_actions,
    )


async def builder_of(work: Work, workflow_id: UUID) -> Builder:
    """The builder without a sheet."""
    return builder(work, await open_workflow(work, workflow_id), None)
