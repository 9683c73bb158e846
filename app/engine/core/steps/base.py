"""What step kinds share: the base class of their configs, `StepKind`, and helpers that execute and describe.

Each kind is one module of this package that ends with `KIND = StepKind(...)`. Every behavior of a kind is a
field of `StepKind`; what a kind leaves out has the default given here."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Generic, Literal, NamedTuple, Never, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from app.engine.core.checks import Problems
from app.engine.core.merge_tags import Output, TextTooLong
from app.engine.core.name_lookup import Names, lookup_name
from app.engine.core.scalars import Unit
from app.engine.core.types import STOPPED, ContactChange, ExitReason, Outcome, Status
from app.filters.ast import Filter
from app.filters.evaluate import Match
from app.filters.facts import FactValue
from app.filters.fields import Fields
from app.filters.parse import describe as describe_filter_expression
from app.json_types import Json

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node

Users = Annotated[list[UUID], Meta(max_length=200)]
MET, TIMEOUT, ELSE = "met", "timeout", "else"
MERGE_TAG = re.compile(r"\{\{.*?\}\}", re.DOTALL)


class Config(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    omit_defaults=False,
):
    """What a step of one kind is set to, as drafts and versions store it. `kind` tells the configs apart."""


class Sentence(NamedTuple):
    """What a step does: the title on its card, and a line with the rest ("" for none)."""

    title: str
    summary: str = ""


class Lane(NamedTuple):
    """A way out of a step. `name` is "" where members gave it none."""

    key: str
    name: str


class Jump(NamedTuple):
    """A jump to another step, and the input that names that step."""

    input: str
    step: str


C = TypeVar("C", bound=Config)
StepGroup = Literal["Send", "Contact", "Flow"]
Consent = Literal["email_consent", "sms_consent"]
# Each template by its name, with the place that the rendered text goes to.
Templates = dict[str, tuple[str, Output]]
# (what it is, its id or key): "tag", "field", "segment", "workflow" or "user".
References = Iterator[tuple[str, object]]
# Executes one visit: returns the index of the next node, `END`, or `STOPPED` after `wait_at` or `finish`.
Execute = Callable[["Run", "Node"], int]
# Compiles a filter of the step. Raises CompileError.
CompileMatch = Callable[[Filter | None], Match]


def _no_entries(*_args: object) -> Iterator[Never]:
    return iter(())


def _no_lanes(_config: object) -> list[Lane]:
    return []


def _no(_config: object) -> bool:
    return False


def _none(_config: object) -> None:
    return None


def _no_templates(_config: object) -> Templates:
    return {}


def _no_condition(_config: object, _lane: str, _fields: Fields, _names: Names) -> str:
    return ""


def _compile_nothing(_node: "Node", _match: CompileMatch) -> None:
    """Templates and lanes are compiled for every kind; most need no more."""


@dataclass(frozen=True)
class StepKind(Generic[C]):
    """One kind of step. The required fields first, then what a kind has only if it needs it."""

    config: type[C]
    label: str
    group: StepGroup
    icon: str
    hint: str  # one line below the label, where members choose a kind
    execute: Execute
    describe: Callable[[C, Fields, Names], Sentence]
    tone: str = ""  # color of the icon: "" sends, "quiet" changes or routes, "warn" waits, "ok" goal

    # The problems that keep a draft from being published, as (input, message).
    validate: Callable[[C, Fields, Names], Problems] = _no_entries
    # What it uses by id or key, as far as it is in effect. The engine reads filters and merge tags by itself.
    references: Callable[[C], References] = _no_entries
    templates: Callable[[C], Templates] = _no_templates
    filters: Callable[[C], Iterable[Filter | None]] = _no_entries
    # The config of a step just inserted, where the defaults of the config are not enough.
    blank: Callable[[], C] | None = None

    # Lanes, in order, and the sentence that says which contacts take one.
    lanes: Callable[[C], list[Lane]] = _no_lanes
    lane_condition: Callable[[C, str, Fields, Names], str] = _no_condition
    jump: Callable[[C], Jump | None] = _none
    # Compiles what only this kind has on its node. Runs once for each version, after the lanes exist.
    compile_node: Callable[["Node", CompileMatch], None] = _compile_nothing

    # Properties of the kind that the engine reads.
    changes_contact: bool = False
    skips_deleted_contact: bool = False  # it changes or addresses the contact
    interrupts: bool = False  # the enrollment may wait, end or jump here, so it breaks a cycle
    only_routes: bool = False  # it only chooses a lane, so it needs no consent
    required_consent: Callable[[C], Consent | None] = _none
    needs_members: Callable[[C], bool] = _no
    needs_owner_counts: Callable[[C], bool] = _no
    keeps_state: Callable[[C], bool] = _no  # across enrollments, in `StepContext.states`

    @property
    def key(self) -> str:
        """The `kind` under which its configs are stored."""
        return str(self.config.__struct_config__.tag)


# Executing


def fails_on_long_text(execute: Execute) -> Execute:
    """For kinds that render templates: a text that grows too long fails the visit. They render before they
    record anything."""

    def execute_or_fail(run: "Run", node: "Node") -> int:
        try:
            return execute(run, node)
        except TextTooLong as error:
            return fail(run, node, str(error))

    return execute_or_fail


def fail(run: "Run", node: "Node", error: str) -> int:
    """Fails the enrollment at this step."""
    run.record(node, Outcome.FAILED, {}, error)
    run.finish(node.key, Status.FAILED, ExitReason.FAILED_PERMANENT, error)
    return STOPPED


def skip(run: "Run", node: "Node", reason: str) -> int:
    """Skips this step and continues behind it."""
    run.record(node, Outcome.SKIPPED, {"reason": reason})
    return node.after


def skip_deleted_contact(run: "Run", node: "Node") -> int:
    """Executes a step that would change or address a contact who was deleted."""
    return skip(run, node, "The contact was deleted.")


def set_field(run: "Run", node: "Node", key: str, old: FactValue, new: Json) -> int:
    """Sets a field of the contact to `new`; nothing changes if the field has that value already."""
    before = old.isoformat() if isinstance(old, datetime) else old
    changed = new != before or isinstance(new, bool) is not isinstance(before, bool)
    run.record(node, Outcome.DONE, {"field": key, "old": before, "new": new, "changed": changed})
    if changed:
        run.facts.values[key] = run.out.fields[key] = new
        run.change(ContactChange("field", node.key, run.seq, key, before, new))
    return node.after


def owner_of(run: "Run") -> UUID | None:
    """The member who owns the contact."""
    owner = run.facts.values.get("owner")
    try:
        return UUID(owner) if isinstance(owner, str) else None
    except ValueError:
        return None


# Describing


def period(amount: int, unit: Unit) -> str:
    """ "1 day", "3 hours"."""
    return f"{amount:,} {unit.value.removesuffix('s') if amount == 1 else unit.value}"


def first_line(text: str, longest: int = 60) -> str:
    """The first line that is not blank, cut to `longest` characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= longest else line[: longest - 1] + "…"


def text_preview(text: str) -> str:
    """The first line of a longer text, for a summary."""
    return first_line(text, 120) or "No text yet"


def member_names(users: Iterable[UUID], names: Names) -> str:
    """Members by name, with commas."""
    return ", ".join(lookup_name(user, names.users) for user in users) or "…"


def describe_filter(expression: Filter | None, fields: Fields, names: Names, empty: str = "") -> str:
    """A filter as a sentence; `empty` where there is none."""
    return empty if expression is None else describe_filter_expression(expression, fields, names.tags)
