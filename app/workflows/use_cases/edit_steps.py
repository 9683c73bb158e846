"""Edits of the steps of a draft: insert, update, move, delete. Each is one edit as `edit` describes it."""

from uuid import UUID

from msgspec import UNSET

from app.engine.core.draft import Draft, DraftError, find
from app.engine.core.steps import KINDS, Step, blank
from app.errors import Invalid, NotFound
from app.patch import resolve
from app.work import Work
from app.workflows.domain import draft_edits
from app.workflows.domain.lint import step_problems, with_draft
from app.workflows.schemas import inputs
from app.workflows.use_cases.config_builder import config_of
from app.workflows.use_cases.edit import apply_edit, difference, open_draft, store_revision
from app.workflows.use_cases.input_reader import BuilderNames, Reader, read_builder_names
from app.workflows.use_cases.step_labels import lookup_for, step_sentence

TITLE = 60  # characters of a step's title in "Edited …"


async def insert_step(work: Work, workflow_id: UUID, form: inputs.InsertForm) -> str:
    """Inserts a step, blank or with a config; returns its key. Raises `Invalid` by input name."""
    header, draft = await open_draft(work, workflow_id, form.rev)
    config = blank(form.kind)
    if form.config is not None:
        reader = Reader(work, await read_builder_names(work))
        config = await config_of(reader, form.config, None)
        if config.__struct_config__.tag != form.kind:
            raise Invalid({"config.kind": f"The config doesn't match the type {form.kind}."})
        reader.refuse(
            step_problems(Step("new", config), reader.lookup.fields, with_draft(reader.lookup.names, draft)),
            "config",
        )
    key = f"s{draft.next_key}"
    after = apply_edit(
        lambda: draft_edits.insert(draft, form.list_id, form.position, config, form.name.strip())
    )
    await store_revision(
        work, header, after, f"Inserted “{KINDS[form.kind].label}”", changes={"step": (None, key)}
    )
    return key


async def update_step(work: Work, workflow_id: UUID, key: str, form: inputs.StepForm) -> None:
    """Changes config, name or note of a step. Raises `Invalid` by input name."""
    header, draft = await open_draft(work, workflow_id, form.rev)
    step = _step(draft, key)
    reader = Reader(work, await read_builder_names(work))
    config = step.config if form.config is UNSET else await config_of(reader, form.config, step.config)
    if config.__struct_config__.tag != step.kind:
        raise Invalid({"config.kind": f"This step is “{KINDS[step.kind].label}” and can't change its type."})
    reader.refuse(
        step_problems(Step(key, config), reader.lookup.fields, with_draft(reader.lookup.names, draft)),
        "config",
    )
    name, note = resolve(form.name, step.name) or "", resolve(form.note, step.note) or ""
    after = apply_edit(lambda: draft_edits.update(draft, key, config, name=name.strip(), note=note.strip()))
    operation = f"Edited {_title(find(after, key), after, reader.lookup)}"
    await store_revision(work, header, after, operation, changes=difference(step.config, config))


def _step(draft: Draft, key: str) -> Step:
    try:
        return find(draft, key)
    except DraftError:
        raise NotFound("step") from None


def _title(step: Step, draft: Draft, names: BuilderNames) -> str:
    """A step's title on the canvas, short enough for the label of a button."""
    title = step_sentence(step, lookup_for(draft.steps, names)).title
    return f"“{title if len(title) <= TITLE else title[: TITLE - 1] + '…'}”"


async def move_step(work: Work, workflow_id: UUID, key: str, form: inputs.PositionForm) -> None:
    """Moves a step to another place."""
    header, draft = await open_draft(work, workflow_id, form.rev)
    step = _step(draft, key)
    where, position = form.list_id, form.position
    if form.to:
        where, _, number = form.to.rpartition(":")
        position = min(int(number), 10_000) if number.isascii() and number.isdigit() else 10_000
    direction = form.dir
    if direction == "up" or direction == "down":  # noqa: PLR1714 -- narrows the literal for the checker
        after = apply_edit(lambda: draft_edits.nudge(draft, key, direction))
    elif where:
        after = apply_edit(lambda: draft_edits.move(draft, key, where, position))
    else:
        raise Invalid({"to": "Choose where the step goes: dir, or list and position."})
    await store_revision(work, header, after, f"Moved {_title(step, draft, await read_builder_names(work))}")


async def delete_step(work: Work, workflow_id: UUID, key: str, rev: int) -> None:
    """Deletes a step and all steps inside it."""
    header, draft = await open_draft(work, workflow_id, rev)
    step = _step(draft, key)
    after = apply_edit(lambda: draft_edits.delete(draft, key))
    operation = f"Deleted {_title(step, draft, await read_builder_names(work))}"
    await store_revision(work, header, after, operation, changes={"step": (key, None)})
