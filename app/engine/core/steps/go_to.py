"""Jump to another step, which may be further up."""

from typing import TYPE_CHECKING

from app.engine.core.name_lookup import Names
from app.engine.core.scalars import StepKey
from app.engine.core.steps.base import Config, Jump, Sentence, StepKind
from app.engine.core.types import Outcome
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class GoTo(Config, frozen=True, tag="go_to"):
    step: StepKey = ""


def execute(run: "Run", node: "Node") -> int:
    config: GoTo = node.config
    run.record(node, Outcome.DONE, {"to": config.step})
    run.check_goals = True
    return node.target


def describe(config: GoTo, _fields: Fields, names: Names) -> Sentence:
    return Sentence(f"Go to {_target(config.step, names)}", "Continues there")


def _target(step: str, names: Names) -> str:
    if not step:
        return "…"
    if names.step_titles is None:
        return "another step"
    return f"“{names.step_titles[step]}”" if step in names.step_titles else "a removed step"


KIND = StepKind(
    GoTo,
    label="Go to",
    group="Flow",
    icon="skip",
    tone="quiet",
    hint="Continue at another step",
    execute=execute,
    describe=describe,
    jump=lambda config: Jump("step", config.step),
    only_routes=True,
)
