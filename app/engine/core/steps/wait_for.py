"""Wait until something happens or a condition holds, for a limited time. Two lanes: `met` and `timeout`."""

from typing import TYPE_CHECKING, Literal

import msgspec

from app.engine.core.checks import (
    Problems,
    check_filter,
    check_period,
    check_reference,
    check_required_filter,
)
from app.engine.core.events import CONTACT_UPDATED, EMAIL_DELIVERED, EVENT_KINDS, KEYED
from app.engine.core.name_lookup import Names, lookup_name
from app.engine.core.scalars import Amount, Line, Unit
from app.engine.core.steps.base import (
    MET,
    TIMEOUT,
    CompileMatch,
    Config,
    Lane,
    References,
    Sentence,
    StepKind,
    describe_filter,
    period,
)
from app.engine.core.timing.wait_times import period_end
from app.engine.core.types import WaitReason
from app.filters.ast import Filter
from app.filters.event_kinds import FORMER_KINDS
from app.filters.fields import Fields, unknown_field
from app.json_types import JsonObject

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node

# What an event is about, by its kind or the first part of it; other events have no subject with a name.
_SUBJECTS = {"contact.updated": "field", "tag": "tag", "segment": "segment", "enrollment": "workflow"}


class WaitFor(Config, frozen=True, tag="wait_for"):
    """`event`: the contact has an event of kind `event` (a name of `EVENT_KINDS`), about `about` where that
    kind has a key (a tag's id, a field's key, a workflow's id), while `filter` holds. `condition`: `filter`
    holds; it is evaluated on arrival, after each change of the contact and, if it depends on the time, at
    least every 15 minutes (see `recheck_interval`). At most `amount` `unit`s."""

    mode: Literal["event", "condition"] = "condition"
    event: Line = ""
    about: Line = ""
    filter: Filter | None = None
    amount: Amount = 7
    unit: Unit = Unit.DAYS

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "event", FORMER_KINDS.get(self.event, self.event))


def compile_node(node: "Node", match: CompileMatch) -> None:
    node.match = match(node.config.filter)


def execute(run: "Run", node: "Node") -> int:
    config: WaitFor = node.config
    waits_for_condition = config.mode == "condition"
    # The delivery of the email just sent is an event that is over before this wait begins.
    just_delivered = not waits_for_condition and config.event == EMAIL_DELIVERED and run.delivered
    if (waits_for_condition or just_delivered) and _holds(run, node):
        return run.enter_lane(node, MET)
    until = period_end(config.amount, config.unit, run.now, run.facts.zone)
    detail: JsonObject = {"until": until.isoformat()}
    if not waits_for_condition:
        detail["event"] = config.event
    run.begin(node, detail)
    return run.wait_at(node, WaitReason.CONDITION if waits_for_condition else WaitReason.EVENT, until)


def _holds(run: "Run", node: "Node") -> bool:
    return node.match is not None and node.match(run.facts, run.now)


def describe(config: WaitFor, fields: Fields, names: Names) -> Sentence:
    at_most = f"At most {period(config.amount, config.unit)}"
    condition = describe_filter(config.filter, fields, names)
    if config.mode == "condition":
        return Sentence(f"Wait for: {condition or '…'}", at_most)
    subjects: dict[str, str] = {**names.tags, **names.segments, **names.workflows}
    subjects.update({key: spec.label for key, spec in fields.items()})
    about = f" ({lookup_name(config.about, subjects)})" if config.about else ""
    title = f"Wait for: {EVENT_KINDS.get(config.event, '…')}{about}"
    return Sentence(title, f"{condition} · {at_most}" if condition else at_most)


def validate(config: WaitFor, fields: Fields, names: Names) -> Problems:
    if config.mode == "event":
        yield from _check_event(config, fields, names)
        yield from check_filter(config.filter, fields, names, "filter", "The wait")
    else:
        yield from check_required_filter(config.filter, fields, names, "filter", "The wait")
    yield from check_period(config.amount, "Enter a maximum wait longer than zero.")


def _check_event(config: WaitFor, fields: Fields, names: Names) -> Problems:
    """`about` may be empty; what it names must exist."""
    if not config.event:
        yield "event", "Choose what to wait for."
    elif config.event not in EVENT_KINDS:
        yield "event", f"There is no event “{config.event[:40]}”. Choose one from the list."
    elif config.about and config.event == CONTACT_UPDATED:
        if config.about not in fields:
            yield "about", unknown_field(config.about, fields)
    elif config.about:
        by_id = {"tag_id": names.tags, "segment_id": names.segments, "workflow_id": names.workflows}
        id_name = KEYED.get(config.event, "")
        if id_name in by_id:
            yield from check_reference(config.about, by_id[id_name], "about", id_name.removesuffix("_id"))


def references(config: WaitFor) -> References:
    subject = _SUBJECTS.get(config.event) or _SUBJECTS.get(config.event.partition(".")[0])
    if config.mode == "event" and subject is not None:
        yield subject, config.about


def lanes(config: WaitFor) -> list[Lane]:
    return [Lane(MET, "Happened" if config.mode == "event" else "Met"), Lane(TIMEOUT, "Timed out")]


def lane_condition(config: WaitFor, lane: str, _fields: Fields, _names: Names) -> str:
    return f"After {period(config.amount, config.unit)} without it" if lane == TIMEOUT else ""


KIND = StepKind(
    WaitFor,
    label="Wait for",
    group="Flow",
    icon="eye",
    tone="warn",
    hint="Until an event or condition, or a timeout",
    execute=execute,
    describe=describe,
    validate=validate,
    references=references,
    filters=lambda config: [config.filter],
    lanes=lanes,
    lane_condition=lane_condition,
    compile_node=compile_node,
    only_routes=True,
)
