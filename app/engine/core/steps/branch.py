"""Branch: takes the first lane whose condition holds, else the last one."""

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from app.engine.core.checks import Problems, check_required_filter
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import LaneKey, Line
from app.engine.core.steps.base import (
    ELSE,
    CompileMatch,
    Config,
    Lane,
    Sentence,
    StepKind,
    describe_filter,
    fail,
)
from app.engine.core.types import Outcome
from app.filters.ast import Filter
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class BranchLane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: LaneKey
    name: Line = ""
    filter: Filter | None = None


class Branch(Config, frozen=True, tag="branch"):
    """The lanes in the order in which they are tried, besides the *else* that every branch has. All of them
    meet again after the branch."""

    branches: Annotated[list[BranchLane], Meta(max_length=20)] = []
    else_name: Line = "Else"


def compile_node(node: "Node", match: CompileMatch) -> None:
    config: Branch = node.config
    conditions = [*((lane.key, lane.filter) for lane in config.branches), (ELSE, None)]
    node.lanes = [(key, match(condition), node.starts[key]) for key, condition in conditions]


def execute(run: "Run", node: "Node") -> int:
    for key, match, start in node.lanes:
        if match(run.facts, run.now):
            run.record(node, Outcome.TAKEN, {"branch": key})
            run.check_goals = True  # the goals of the lane listen from now on
            return start
    return fail(run, node, "The contact matches no lane of the branch.")


def describe(config: Branch, _fields: Fields, _names: Names) -> Sentence:
    names = [lane.name or lane.key for lane in config.branches]
    return Sentence("Branch: " + (", ".join(names) or "…"), f"If / else · {len(names) + 1} lanes")


def validate(config: Branch, fields: Fields, names: Names) -> Problems:
    if not config.branches:
        yield "branches", "The branch has only its last lane. Add a lane with a condition."
    for position, lane in enumerate(config.branches):
        label = f"The lane “{lane.name or lane.key}”"
        path = f"branches.{position}.filter"
        yield from check_required_filter(lane.filter, fields, names, path, label)


def lanes(config: Branch) -> list[Lane]:
    return [*(Lane(lane.key, lane.name) for lane in config.branches), Lane(ELSE, config.else_name or "Else")]


def lane_condition(config: Branch, lane: str, fields: Fields, names: Names) -> str:
    if lane == ELSE:
        return "All other contacts"
    condition = next(branch.filter for branch in config.branches if branch.key == lane)
    return describe_filter(condition, fields, names, "No condition yet")


KIND = StepKind(
    Branch,
    label="Branch",
    group="Flow",
    icon="split",
    tone="quiet",
    hint="Send contacts down different lanes by condition",
    execute=execute,
    describe=describe,
    validate=validate,
    filters=lambda config: [lane.filter for lane in config.branches],
    blank=lambda: Branch(branches=[BranchLane("b1", "Yes")]),
    lanes=lanes,
    lane_condition=lane_condition,
    compile_node=compile_node,
    only_routes=True,
)
