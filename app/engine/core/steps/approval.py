"""Ask members a question and take the lane of their answer."""

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from app.engine.core.checks import Problems, check_members, check_period, check_templates, check_text
from app.engine.core.merge_tags import Output
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import Amount, LaneKey, Line, Text, Unit
from app.engine.core.steps.base import (
    TIMEOUT,
    Config,
    Lane,
    References,
    Sentence,
    StepKind,
    Templates,
    Users,
    fails_on_long_text,
    first_line,
    period,
)
from app.engine.core.timing.wait_times import period_end
from app.engine.core.types import NewApproval, WaitReason
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class ApprovalOption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: LaneKey
    name: Line = ""


class AskApproval(Config, frozen=True, tag="approval"):
    """A question to `users` (none chosen: every member who may manage enrollments). Each option is a lane;
    without an answer in `amount` `unit`s the lane is `timeout`. `question` is a template."""

    question: Text = ""
    options: Annotated[list[ApprovalOption], Meta(max_length=10)] = []
    users: Users = []
    amount: Amount = 2
    unit: Unit = Unit.DAYS


def templates(config: AskApproval) -> Templates:
    return {"question": (config.question, Output.TEXT)}


@fails_on_long_text
def execute(run: "Run", node: "Node") -> int:
    config: AskApproval = node.config
    until = period_end(config.amount, config.unit, run.now, run.facts.zone)
    question = node.templates["question"].render(run.facts)
    seq = run.begin(node, {"question": question, "until": until.isoformat()})
    options = [(option.key, option.name or option.key) for option in config.options]
    run.out.approvals.append(NewApproval(seq, node.key, question, options, list(config.users), until))
    return run.wait_at(node, WaitReason.APPROVAL, until)


def describe(config: AskApproval, _fields: Fields, _names: Names) -> Sentence:
    options = " or ".join(option.name or option.key for option in config.options)
    return Sentence(f"Ask: {first_line(config.question) or '…'}", options)


def validate(config: AskApproval, fields: Fields, names: Names) -> Problems:
    yield from check_text(config.question, "question", "Enter a question.")
    yield from check_templates(templates(config), fields, names)
    if not config.options:
        yield "options", "Add at least one answer."
    yield from check_members(config.users, names)
    yield from check_period(config.amount, "Enter how long to wait for an answer, longer than zero.")


def references(config: AskApproval) -> References:
    yield from (("user", user) for user in config.users)


def lanes(config: AskApproval) -> list[Lane]:
    return [*(Lane(option.key, option.name) for option in config.options), Lane(TIMEOUT, "Timed out")]


def lane_condition(config: AskApproval, lane: str, _fields: Fields, _names: Names) -> str:
    return f"After {period(config.amount, config.unit)} without it" if lane == TIMEOUT else ""


KIND = StepKind(
    AskApproval,
    label="Ask for approval",
    group="Flow",
    icon="help",
    tone="warn",
    hint="Ask a member; each answer is a lane",
    execute=execute,
    describe=describe,
    validate=validate,
    references=references,
    templates=templates,
    blank=lambda: AskApproval(options=[ApprovalOption("b1", "Approve"), ApprovalOption("b2", "Decline")]),
    lanes=lanes,
    lane_condition=lane_condition,
)
