"""Edits of a draft. An edit locks the workflow and compares revisions (`open_draft`), changes the draft
(`apply_edit`), writes it as the next revision with an audit entry, and commits (`store_revision`).

Here are these shared steps and the edits of the whole draft; `edit_steps` and `edit_triggers` have the
others. `save_draft` compares no revisions. `create_workflow` writes revision 0. `rename` changes columns of
the workflow and writes no revision."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET

from app.engine.core.draft import Draft, DraftError, WorkflowSettings, walk
from app.engine.core.name_lookup import Names
from app.engine.core.secret_headers import hidden, hidden_steps
from app.engine.core.steps import StepConfig
from app.errors import Conflict, Invalid, NotFound
from app.json_types import Json
from app.patch import resolve
from app.permissions import Permission
from app.work import Work
from app.workflows.domain import draft_edits
from app.workflows.domain.lint import lint
from app.workflows.schemas import inputs
from app.workflows.use_cases.config_builder import window
from db.models import Workflow, WorkflowRevision
from db.queries.references import lock_for_reference
from db.queries.workflow_drafts import read_draft, write_draft

STALE = "The workflow was changed in the meantime{by}. Nothing was saved. Below is the current draft."
NOTHING_TO_UNDO = -1  # as `undo_to` of a revision
# What an audit entry says about each field: its value before and after.
Changes: TypeAlias = Mapping[str, tuple[Json, Json]]


async def create_workflow(work: Work, name: str, description: str = "") -> UUID:
    """Creates a workflow with an empty draft; returns its id."""
    if not name.strip():
        raise Invalid({"name": "Enter a name for the workflow."})
    workflow_id = await work.workflows.create(name.strip(), description.strip(), work.actor.name)
    await work.revisions.store(workflow_id, 0, "created", Draft(), None, None, work.actor.name)
    work.audit("workflow.created", "workflow", workflow_id, {"name": (None, name.strip())})
    await work.commit()
    return workflow_id


async def header_of(work: Work, workflow_id: UUID, *, lock: bool = False) -> Workflow:
    """The workflow without its draft. Raises `NotFound`."""
    header = await work.workflows.header(workflow_id, lock=lock)
    if header is None:
        raise NotFound("workflow")
    return header


async def rename(work: Work, workflow_id: UUID, form: inputs.WorkflowChangeForm) -> None:
    """Changes name or description; without a revision, since the draft stays as it is."""
    header = await header_of(work, workflow_id, lock=True)
    name = resolve(form.name, header.name).strip()
    description = (resolve(form.description, header.description) or "").strip()
    if not name:
        raise Invalid({"name": "Enter a name for the workflow."})
    changes = {
        field: (old, new)
        for field, old, new in (
            ("name", header.name, name),
            ("description", header.description, description),
        )
        if old != new
    }
    if changes:
        header.name, header.description = name, description
        await work.workflows.save(header, work.now)
        action = "workflow.renamed" if "name" in changes else "workflow.updated"
        work.audit(action, "workflow", workflow_id, changes)
    await work.commit()


async def open_draft(work: Work, workflow_id: UUID, rev: int) -> tuple[Workflow, Draft]:
    """The locked workflow and its draft. The names that the draft may refer to are locked until the edit is
    stored. Raises `NotFound`, and `Conflict` when `rev` is not the latest."""
    await lock_for_reference(work.session)
    header = await header_of(work, workflow_id, lock=True)
    draft = await read_draft(work.session, header)
    if rev != header.rev:
        last = await work.revisions.find(workflow_id, header.rev)
        by = f" by {last.actor}" if last and last.actor else ""
        if not work.may(Permission.EDIT_WORKFLOWS):  # a token that may only publish
            draft = msgspec.structs.replace(draft, steps=hidden_steps(draft.steps))
        raise Conflict(STALE.format(by=by), current={"rev": header.rev, "draft": draft})
    return header, draft


async def store_revision(
    work: Work,
    header: Workflow,
    draft: Draft,
    operation: str,
    *,
    undo_to: int | None = None,
    redo_to: int | None = None,
    changes: Changes | None = None,
) -> int:
    """Writes the draft as the next revision and commits; returns its number. `undo_to` is the revision that
    an undo restores: None for the one before this edit, NOTHING_TO_UNDO for none."""
    rev = header.rev + 1
    await write_draft(work.session, header.id, draft, rev)
    undo_rev = header.rev if undo_to is None else undo_to
    stored_undo_rev = None if undo_rev == NOTHING_TO_UNDO else undo_rev
    await work.revisions.store(header.id, rev, operation, draft, stored_undo_rev, redo_to, work.actor.name)
    edit: Changes = {"draft": (f"revision {header.rev}", f"revision {rev}: {operation}")}
    work.audit("workflow.updated", "workflow", header.id, {**edit, **(changes or {})})
    await work.commit()
    return rev


def apply_edit(change: Callable[[], Draft]) -> Draft:
    """The changed draft; raises a DraftError as `NotFound` (a step, trigger or list that does not exist) or
    `Invalid`."""
    try:
        return change()
    except DraftError as error:
        if error.missing:
            raise NotFound("step, trigger or list") from None
        raise Invalid({"": error.message}) from None


async def save_draft(work: Work, workflow_id: UUID, draft: Draft) -> int:
    """Replaces the whole draft, as seeds and restored versions do; returns its revision."""
    header = await header_of(work, workflow_id, lock=True)
    following = max(draft.next_key, header.next_key, _highest_key(draft) + 1)
    whole = msgspec.structs.replace(draft, next_key=following)
    return await store_revision(work, header, whole, "Replaced the whole draft")


def _highest_key(draft: Draft) -> int:
    keys = [
        *(step.key for _, _, step in walk(draft.steps)),
        *(trigger.key for trigger in draft.triggers),
    ]
    return max((int(key[1:]) for key in keys if key[1:].isdigit()), default=0)


def difference(old: StepConfig | WorkflowSettings, new: StepConfig | WorkflowSettings) -> Changes:
    """The fields in which two configs differ, for the audit entry, which must not contain header values."""
    old_raw, new_raw = msgspec.to_builtins(old), msgspec.to_builtins(new)
    old_shown, new_shown = (
        msgspec.to_builtins(config if isinstance(config, WorkflowSettings) else hidden(config))
        for config in (old, new)
    )
    return {
        name: (old_shown.get(name), new_shown.get(name))
        for name in new_shown
        if old_raw.get(name) != new_raw.get(name) and name != "kind"
    }


async def set_settings(work: Work, workflow_id: UUID, form: inputs.SettingsForm) -> None:
    """Changes settings. A setting that is not sent stays as it is; null resets it to its default."""
    header, draft = await open_draft(work, workflow_id, form.rev)
    defaults = WorkflowSettings()
    changed = {
        name: getattr(defaults, name) if value is None else value
        for name in WorkflowSettings.__struct_fields__
        if name != "window" and (value := getattr(form, name)) is not UNSET
    }
    sending_window = window(form.window, draft.settings.window)
    settings = msgspec.structs.replace(draft.settings, **changed, window=sending_window)
    problems = lint(Draft(settings=settings), {}, Names())
    if wrong := {problem.field: problem.message for problem in problems if problem.where == "settings"}:
        raise Invalid(wrong)
    changes = difference(draft.settings, settings)
    await store_revision(
        work, header, draft_edits.set_settings(draft, settings), "Changed the settings", changes=changes
    )


async def undo(work: Work, workflow_id: UUID, rev: int) -> None:
    """Restores the draft from before the last change. Raises `Conflict` when there is none."""
    await _restore(work, workflow_id, rev, "undo")


async def redo(work: Work, workflow_id: UUID, rev: int) -> None:
    """Repeats the change that was undone last. Raises `Conflict` when there is none."""
    await _restore(work, workflow_id, rev, "redo")


async def _restore(work: Work, workflow_id: UUID, rev: int, direction: Literal["undo", "redo"]) -> None:
    header, draft = await open_draft(work, workflow_id, rev)
    last = await work.revisions.find(workflow_id, rev)
    target_rev = None if last is None else last.undo_to if direction == "undo" else last.redo_to
    target = None if target_rev is None else await work.revisions.find(workflow_id, target_rev)
    if last is None or target is None:
        raise Conflict(f"There is nothing to {direction}.", current={"rev": rev})
    # Keys are never used twice, so the counter does not go back.
    restored = msgspec.convert(target.draft, Draft)
    restored = msgspec.structs.replace(restored, next_key=max(draft.next_key, restored.next_key))
    if direction == "undo":
        undo_rev = NOTHING_TO_UNDO if target.undo_to is None else target.undo_to
        operation = f"Undid: {_plain(last)}"
        await store_revision(work, header, restored, operation, undo_to=undo_rev, redo_to=rev)
    else:
        operation = f"Redid: {_plain(target)}"
        await store_revision(work, header, restored, operation, redo_to=target.redo_to)


def _plain(revision: WorkflowRevision) -> str:
    return revision.operation.removeprefix("Undid: ").removeprefix("Redid: ")
