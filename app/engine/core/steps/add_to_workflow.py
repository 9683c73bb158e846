"""Request that the contact enter another workflow, whose own rules decide."""

from typing import TYPE_CHECKING
from uuid import UUID

from app.engine.core.checks import Problems, check_reference
from app.engine.core.name_lookup import Names, lookup_name
from app.engine.core.steps.base import Config, References, Sentence, StepKind, fail
from app.engine.core.types import Outcome
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class AddToWorkflow(Config, frozen=True, tag="add_to_workflow"):
    workflow: UUID | None = None


def execute(run: "Run", node: "Node") -> int:
    config: AddToWorkflow = node.config
    if config.workflow is None:
        return fail(run, node, "The step has no workflow.")
    run.record(node, Outcome.DONE, {"workflow": str(config.workflow)})
    run.out.enter.append(config.workflow)
    return node.after


def describe(config: AddToWorkflow, _fields: Fields, names: Names) -> Sentence:
    return Sentence(f"Add to “{lookup_name(config.workflow, names.workflows)}”", "Its own entry rules apply")


def validate(config: AddToWorkflow, _fields: Fields, names: Names) -> Problems:
    yield from check_reference(config.workflow, names.workflows, "workflow", "workflow")


def references(config: AddToWorkflow) -> References:
    yield "workflow", config.workflow


KIND = StepKind(
    AddToWorkflow,
    label="Add to workflow",
    group="Flow",
    icon="flow",
    tone="quiet",
    hint="Add the contact to another workflow",
    execute=execute,
    describe=describe,
    validate=validate,
    references=references,
    skips_deleted_contact=True,
)
