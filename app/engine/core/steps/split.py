"""Split: each contact takes a lane by chance, and always the same one at the same step."""

import hashlib
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from app.engine.core.checks import Problems
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import LaneKey, Line
from app.engine.core.steps.base import CompileMatch, Config, Lane, Sentence, StepKind, fail
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class SplitLane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`weight` is a share of the sum of all weights of the split."""

    key: LaneKey
    name: Line = ""
    weight: Annotated[int, Meta(ge=0, le=1000)] = 1


class Split(Config, frozen=True, tag="split"):
    lanes: Annotated[list[SplitLane], Meta(max_length=20)] = []


def compile_node(node: "Node", _match: CompileMatch) -> None:
    total = 0
    for lane in node.config.lanes:
        total += lane.weight
        node.shares.append((total, lane.key))


def execute(run: "Run", node: "Node") -> int:
    """The lane follows from a hash of contact, workflow and step. Step keys repeat from workflow to workflow:
    without the workflow, two splits would divide contacts alike."""
    total = node.shares[-1][0] if node.shares else 0
    if total == 0:
        return fail(run, node, "No lane of the split has a share above zero.")
    hashed = f"{run.enrollment.contact_id}:{run.program.version.workflow_id}:{node.key}"
    digest = hashlib.sha256(hashed.encode()).digest()
    position = int.from_bytes(digest[:8]) % total
    return run.enter_lane(node, next(key for limit, key in node.shares if position < limit))


def describe(config: Split, _fields: Fields, _names: Names) -> Sentence:
    shares = " : ".join(str(lane.weight) for lane in config.lanes)
    return Sentence(f"Split {shares or '…'}", "At random; always the same lane for one contact")


def validate(config: Split, _fields: Fields, _names: Names) -> Problems:
    if len(config.lanes) < 2:
        yield "lanes", "A split needs at least two lanes."
    elif not any(lane.weight > 0 for lane in config.lanes):
        yield "lanes", "Give at least one lane a share above zero."


def lanes(config: Split) -> list[Lane]:
    return [Lane(lane.key, lane.name) for lane in config.lanes]


def lane_condition(config: Split, lane: str, _fields: Fields, _names: Names) -> str:
    total = sum(each.weight for each in config.lanes) or 1
    weight = next(each.weight for each in config.lanes if each.key == lane)
    return f"{100 * weight / total:.0f} % of contacts"


KIND = StepKind(
    Split,
    label="Split",
    group="Flow",
    icon="path",
    tone="quiet",
    hint="Split contacts at random, by share",
    execute=execute,
    describe=describe,
    validate=validate,
    blank=lambda: Split(lanes=[SplitLane("b1", "A"), SplitLane("b2", "B")]),
    lanes=lanes,
    lane_condition=lane_condition,
    compile_node=compile_node,
    only_routes=True,
)
