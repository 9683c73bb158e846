"""Let a limited number of contacts pass in each period; the others wait for a slot, in order of arrival."""

from typing import TYPE_CHECKING

from app.engine.core.checks import Problems, check_period
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import Amount, Unit
from app.engine.core.steps.base import Config, Sentence, StepKind, period
from app.engine.core.timing.drip import take_slot
from app.engine.core.types import Outcome, WaitReason
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class Drip(Config, frozen=True, tag="drip"):
    """At most `count` contacts in each period of `amount` `unit`s."""

    count: Amount = 100
    amount: Amount = 1
    unit: Unit = Unit.HOURS


def execute(run: "Run", node: "Node") -> int:
    config: Drip = node.config
    slot = take_slot(config, run.around.states.setdefault(node.key, {}), run.now, run.facts.zone)
    if slot <= run.now:
        run.record(node, Outcome.PASSED, {})
        return node.after
    run.begin(node, {"until": slot.isoformat()})
    return run.wait_at(node, WaitReason.DRIP_SLOT, slot)


def describe(config: Drip, _fields: Fields, _names: Names) -> Sentence:
    contacts = "contact" if config.count == 1 else "contacts"
    each = period(config.amount, config.unit).removeprefix("1 ")
    return Sentence(f"Drip {config.count:,} {contacts} every {each}", "The others wait")


def validate(config: Drip, _fields: Fields, _names: Names) -> Problems:
    yield from check_period(config.amount, "Enter a period longer than zero.")
    if config.count <= 0:
        yield "count", "Let at least one contact pass."


KIND = StepKind(
    Drip,
    label="Drip",
    group="Flow",
    icon="stack",
    tone="warn",
    hint="Limit how many contacts pass per period",
    execute=execute,
    describe=describe,
    validate=validate,
    interrupts=True,
    only_routes=True,
    keeps_state=lambda _config: True,
)
