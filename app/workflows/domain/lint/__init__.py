"""Finds the problems that keep a draft from being published, each with its place. `lint` is the entry point;
`blocking` also compiles."""

from collections.abc import Iterator
from typing import Literal
from uuid import UUID

import msgspec
from msgspec.structs import replace

from app.engine.core.checks import Problems, check_filter, check_window
from app.engine.core.draft import Draft, Reentry, WorkflowSettings, walk
from app.engine.core.name_lookup import Names
from app.engine.core.steps import Step, Webhook
from app.engine.core.version import CompileError, compile_version, freeze
from app.filters.fields import Fields, unknown_field
from app.workflows.domain.lint.cycles import find_cycles
from app.workflows.domain.lint.steps import check_step

CYCLE_MESSAGE = "This step only leads back to itself without a wait. Add a wait or a branch to the loop."


class LintProblem(msgspec.Struct, frozen=True):
    """`key` is the step's or the trigger's key; None for the workflow as a whole. `field` is the input
    that the message belongs to ("filter.items.0.value"), "" for none in particular."""

    key: str | None
    message: str
    field: str = ""
    where: Literal["workflow", "trigger", "entry", "settings", "step"] = "step"


def with_draft(names: Names, draft: Draft) -> Names:
    """The account's names, with the draft's step keys and the names of its saved webhook answers."""
    steps = [step for _, _, step in walk(draft.steps)]
    saved = {step.config.save_as for step in steps if isinstance(step.config, Webhook)}
    return replace(names, steps=frozenset(step.key for step in steps), saved=frozenset(saved - {""}))


def lint(draft: Draft, fields: Fields, names: Names) -> list[LintProblem]:
    """Every problem that blocks publishing, in the order of the screen; empty when the draft may go live. The
    draft's own steps and saved responses are added to `names`."""
    names = with_draft(names, draft)
    return [
        *_workflow(draft, fields, names),
        *(
            LintProblem(trigger.key, message, field, "trigger")
            for trigger in draft.triggers
            for field, message in trigger.validate(fields, names)
        ),
        *(
            LintProblem(step.key, message, field)
            for _, _, step in walk(draft.steps)
            for field, message in check_step(step, fields, names)
        ),
        *(LintProblem(key, CYCLE_MESSAGE, "step") for key in find_cycles(draft)),
    ]


def blocking(draft: Draft, fields: Fields, names: Names) -> list[LintProblem]:
    """The problems of `lint`; if it finds none, the error that would keep the engine from running the
    version."""
    if problems := lint(draft, fields, names):
        return problems
    try:
        compile_version(freeze(draft, UUID(int=0), 1), fields)
    except CompileError as error:
        return [LintProblem(None, str(error), where="workflow")]
    return []


def step_problems(step: Step, fields: Fields, names: Names) -> list[tuple[str, str]]:
    """The problems of one step as (input, message). Jumps and saved responses are checked as far as `names`
    has them: see `with_draft`."""
    return list(check_step(step, fields, names))


def _workflow(draft: Draft, fields: Fields, names: Names) -> Iterator[LintProblem]:
    if not draft.triggers:
        yield LintProblem(None, "Nothing starts this workflow. Add a trigger.", where="workflow")
    if not draft.steps:
        yield LintProblem(None, "This workflow does nothing. Add a step.", where="workflow")
    for path, message in check_filter(draft.entry, fields, names, "entry", "The entry condition"):
        yield LintProblem(None, message, path, "entry")
    for path, message in _settings(draft.settings, fields):
        yield LintProblem(None, message, path, "settings")


def _settings(settings: WorkflowSettings, fields: Fields) -> Problems:
    key = settings.key_field.strip()
    if settings.reentry is Reentry.CONCURRENT_PER_KEY and not key:
        yield "key_field", "Choose what distinguishes enrollments: a field, or a path in the event."
    elif key and fields and key not in fields and not key.startswith("event."):
        yield "key_field", f"{unknown_field(key, fields)} A path in the event starts with “event.”."
    yield from check_window(settings.window)
