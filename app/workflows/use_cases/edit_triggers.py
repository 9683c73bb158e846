"""Edits of what starts a draft's workflow: its triggers and the entry condition. Each is one edit as `edit`
describes it."""

from uuid import UUID

import msgspec
from msgspec import UNSET

from app.engine.core.draft import Draft, find_trigger
from app.engine.core.triggers import TRIGGERS, Trigger
from app.errors import Invalid
from app.work import Work
from app.workflows.domain import draft_edits
from app.workflows.domain.lint import lint
from app.workflows.schemas import inputs
from app.workflows.use_cases.config_builder import trigger_of
from app.workflows.use_cases.edit import apply_edit, open_draft, store_revision
from app.workflows.use_cases.input_reader import Reader, read_builder_names


async def add_trigger(work: Work, workflow_id: UUID, form: inputs.AddTriggerForm) -> str:
    """Adds a trigger, blank or with a config; returns its key."""
    header, draft = await open_draft(work, workflow_id, form.rev)
    trigger: Trigger = TRIGGERS[form.kind]()
    if form.config is not None:
        trigger = await _trigger(work, form.config, form.kind)
    key = f"t{draft.next_key}"
    after = apply_edit(lambda: draft_edits.add_trigger(draft, trigger))
    operation = f"Added the trigger “{trigger.label}”"
    await store_revision(work, header, after, operation, changes={"trigger": (None, key)})
    return key


async def update_trigger(work: Work, workflow_id: UUID, key: str, form: inputs.TriggerForm) -> None:
    """Changes a trigger, also to another kind."""
    header, draft = await open_draft(work, workflow_id, form.rev)
    apply_edit(lambda: draft_edits.delete_trigger(draft, key))  # 404 before the body is checked
    trigger = find_trigger(draft, key)
    if form.config is not UNSET:
        trigger = await _trigger(work, form.config, old=trigger)
    after = apply_edit(lambda: draft_edits.update_trigger(draft, key, trigger))
    await store_revision(work, header, after, f"Edited the trigger “{trigger.label}”")


async def _trigger(
    work: Work, config: inputs.TriggerInput, kind: str = "", old: Trigger | None = None
) -> Trigger:
    reader = Reader(work, await read_builder_names(work))
    trigger = await trigger_of(reader, config, old)
    if kind and trigger.kind != kind:
        raise Invalid({"config.kind": f"The config doesn't match the type {kind}."})
    keyed = msgspec.structs.replace(trigger, key="new")
    problems = lint(Draft(triggers=[keyed]), reader.lookup.fields, reader.lookup.names)
    reader.refuse(
        [(problem.field, problem.message) for problem in problems if problem.key == "new"], "config"
    )
    return trigger


async def delete_trigger(work: Work, workflow_id: UUID, key: str, rev: int) -> None:
    """Deletes a trigger."""
    header, draft = await open_draft(work, workflow_id, rev)
    after = apply_edit(lambda: draft_edits.delete_trigger(draft, key))
    operation = f"Deleted the trigger “{find_trigger(draft, key).label}”"
    await store_revision(work, header, after, operation, changes={"trigger": (key, None)})


async def set_entry(work: Work, workflow_id: UUID, form: inputs.EntryForm) -> None:
    """Sets or removes the entry condition; a missing one stays."""
    header, draft = await open_draft(work, workflow_id, form.rev)
    reader = Reader(work, await read_builder_names(work))
    entry = draft.entry if form.filter is UNSET else reader.filter(form.filter, "filter")
    problems = lint(Draft(entry=entry), reader.lookup.fields, reader.lookup.names)
    wrong = [
        (problem.field.replace("entry", "filter", 1), problem.message)
        for problem in problems
        if problem.where == "entry"
    ]
    reader.refuse(wrong, "")
    await store_revision(work, header, draft_edits.set_entry(draft, entry), "Changed the entry condition")
