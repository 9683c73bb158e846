"""Leave the workflow here."""

from typing import TYPE_CHECKING

from app.engine.core.name_lookup import Names
from app.engine.core.scalars import Line
from app.engine.core.steps.base import Config, Sentence, StepKind
from app.engine.core.types import STOPPED, ExitReason, Outcome, Status
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class Exit(Config, frozen=True, tag="exit"):
    """`reason` is a label for members."""

    reason: Line = ""


def execute(run: "Run", node: "Node") -> int:
    config: Exit = node.config
    run.record(node, Outcome.EXITED, {"reason": config.reason} if config.reason else {})
    run.finish(node.key, Status.EXITED, ExitReason.FINISHED)
    return STOPPED


def describe(config: Exit, _fields: Fields, _names: Names) -> Sentence:
    return Sentence("Exit", config.reason or "Leaves the workflow here")


KIND = StepKind(
    Exit,
    label="Exit",
    group="Flow",
    icon="exit",
    tone="quiet",
    hint="End the enrollment here",
    execute=execute,
    describe=describe,
    interrupts=True,
    only_routes=True,
)
