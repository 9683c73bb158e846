"""Take the contact out of another workflow, or of every other one."""

from typing import TYPE_CHECKING
from uuid import UUID

from app.engine.core.checks import Problems, check_reference
from app.engine.core.name_lookup import Names, lookup_name
from app.engine.core.steps.base import Config, References, Sentence, StepKind
from app.engine.core.types import Outcome
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class RemoveFromWorkflow(Config, frozen=True, tag="remove_from_workflow"):
    """No `workflow` means every other one."""

    workflow: UUID | None = None


def execute(run: "Run", node: "Node") -> int:
    config: RemoveFromWorkflow = node.config
    run.record(node, Outcome.DONE, {"workflow": str(config.workflow) if config.workflow else None})
    run.out.leave.append(config.workflow)
    return node.after


def describe(config: RemoveFromWorkflow, _fields: Fields, names: Names) -> Sentence:
    if config.workflow is None:
        return Sentence("Remove from all other workflows", "They end immediately")
    return Sentence(f"Remove from “{lookup_name(config.workflow, names.workflows)}”", "It ends immediately")


def validate(config: RemoveFromWorkflow, _fields: Fields, names: Names) -> Problems:
    if config.workflow is not None:
        yield from check_reference(config.workflow, names.workflows, "workflow", "workflow")


def references(config: RemoveFromWorkflow) -> References:
    yield "workflow", config.workflow


KIND = StepKind(
    RemoveFromWorkflow,
    label="Remove from workflow",
    group="Flow",
    icon="stop",
    tone="quiet",
    hint="Remove the contact from another workflow",
    execute=execute,
    describe=describe,
    validate=validate,
    references=references,
    skips_deleted_contact=True,
)
