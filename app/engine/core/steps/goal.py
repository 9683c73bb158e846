"""A goal: an enrollment whose contact meets it further up jumps here, from entry on."""

from typing import TYPE_CHECKING, Literal

from app.engine.core.checks import Problems, check_period, check_required_filter
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import Amount, Line, Unit
from app.engine.core.steps.base import CompileMatch, Config, Sentence, StepKind, describe_filter
from app.engine.core.timing.wait_times import period_end
from app.engine.core.types import END, Outcome, WaitReason
from app.filters.ast import Filter
from app.filters.facts import Facts
from app.filters.fields import Fields

if TYPE_CHECKING:
    from datetime import datetime

    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class Goal(Config, frozen=True, tag="goal"):
    """`on_unmet` is for enrollments that arrive without having met it; `wait` waits `amount` `unit`s."""

    name: Line = ""
    filter: Filter | None = None
    on_unmet: Literal["wait", "continue", "end"] = "end"
    amount: Amount = 7
    unit: Unit = Unit.DAYS


def compile_node(node: "Node", match: CompileMatch) -> None:
    config: Goal = node.config
    node.match = never if config.filter is None else match(config.filter)


def never(_facts: Facts, _now: "datetime") -> bool:
    """The match of a goal without a condition."""
    return False


def execute(run: "Run", node: "Node") -> int:
    """An enrollment that arrives here has not met the goal: goals are checked before any step is executed."""
    config: Goal = node.config
    if config.on_unmet == "continue":
        run.record(node, Outcome.UNMET, {})
        return node.after
    if config.on_unmet == "wait":
        until = period_end(config.amount, config.unit, run.now, run.facts.zone)
        run.begin(node, {"until": until.isoformat()})
        return run.wait_at(node, WaitReason.CONDITION, until)
    run.record(node, Outcome.UNMET, {})
    return END


def describe(config: Goal, fields: Fields, names: Names) -> Sentence:
    condition = describe_filter(config.filter, fields, names, "No condition yet")
    if config.name:
        return Sentence(f"Goal: {config.name}", condition)
    return Sentence(f"Goal: {condition}", "Checked from entry on" if config.filter else condition)


def validate(config: Goal, fields: Fields, names: Names) -> Problems:
    yield from check_required_filter(config.filter, fields, names, "filter", "The goal")
    if config.on_unmet == "wait":
        yield from check_period(config.amount, "Enter how long to wait for the goal, longer than zero.")


KIND = StepKind(
    Goal,
    label="Goal",
    group="Flow",
    icon="flag",
    tone="ok",
    hint="The purpose of the workflow: contacts that meet it jump here",
    execute=execute,
    describe=describe,
    validate=validate,
    filters=lambda config: [config.filter],
    compile_node=compile_node,
    interrupts=True,
    only_routes=True,
)
