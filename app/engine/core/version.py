"""A version: the frozen document that publishing creates from a draft, its hash, and the program that the
engine runs. `freeze` creates it; `compile_version` compiles it."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

import msgspec

from app.engine.core.draft import Audience, Draft, WorkflowSettings, walk
from app.engine.core.merge_tags import Template, TemplateError, compile_template
from app.engine.core.recheck_interval import awaits_change, recheck_interval
from app.engine.core.steps import Goal, Step, StepConfig, WaitFor, kind_of, lane_keys
from app.engine.core.steps.goal import never
from app.engine.core.timing.sending_window import Window
from app.engine.core.triggers import Manual, Trigger
from app.engine.core.types import END
from app.filters.analysis import UsedHistory, used_fields, used_history
from app.filters.ast import Filter, FilterError
from app.filters.evaluate import Match, compile_filter
from app.filters.fields import Fields, holds_member


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One immutable document; an enrollment names the version it runs."""

    workflow_id: UUID
    number: int
    triggers: list[Trigger]
    entry: Filter | None
    steps: list[Step]
    settings: WorkflowSettings

    @property
    def closed(self) -> bool:
        """Whether the version was published only for the contacts that match now: later ones enter by hand or
        not at all."""
        return self.settings.audience is Audience.CURRENT_ONLY

    def listens_to(self, trigger: Trigger) -> bool:
        """Whether an event for this trigger may enroll a contact."""
        return not self.closed or isinstance(trigger, Manual)


def freeze(draft: Draft, workflow_id: UUID, number: int) -> Version:
    """The version that publishing this draft creates. Call `lint` first; nothing is checked here."""
    copy = msgspec.convert(msgspec.to_builtins(draft), Draft)
    return Version(workflow_id, number, copy.triggers, copy.entry, copy.steps, copy.settings)


def canonical(version: Version) -> bytes:
    """The document as JSON that is the same bytes for the same meaning: keys sorted, no spaces."""
    return msgspec.json.encode(version, order="sorted")


def content_hash(version: Version) -> str:
    """sha256 of the version's behavior, in hex: its number is left out, so an unchanged draft is
    recognized."""
    return hashlib.sha256(canonical(msgspec.structs.replace(version, number=0))).hexdigest()


def load_version(document: object) -> Version:
    """The version of a stored document: the decoded JSON, or its bytes."""
    if isinstance(document, bytes | str):
        return msgspec.json.decode(document, type=Version)
    return msgspec.convert(document, Version)


class Node(msgspec.Struct):
    """One step, flattened. `after` is where its list continues (at the end of a lane: after the step with the
    lanes); `lanes` are the lanes of a branch in order, *else* last; `starts` is where each lane of any step
    begins; `target` where a go-to or a wait's skip-to leads; `shares` the lanes of a split with the sum of
    all weights up to theirs; `match` the filter of a goal or of a wait for something; `window` the sending
    window of a step that sends; `goals` the nodes of the goals that certainly lie ahead, itself included:
    those in its own list and in the lists around it, not those in lanes not yet entered;
    `recheck_interval` the longest time an enrollment waits here without being rechecked."""

    index: int
    key: str
    kind: str
    config: Any  # Any: a StepConfig; each kind executes only nodes with its own config
    after: int = END
    lanes: list[tuple[str, Match, int]] = []
    starts: dict[str, int] = {}
    target: int = END
    shares: list[tuple[int, str]] = []
    match: Match | None = None
    templates: dict[str, Template] = {}
    window: Window | None = None
    goals: tuple[int, ...] = ()
    recheck_interval: timedelta | None = None


class GoalMark(msgspec.Struct, frozen=True):
    key: str
    match: Match


Listened = dict[tuple[str, str], tuple[int, ...]]


class Program(msgspec.Struct, frozen=True):
    """A version ready to run. Compiled once, cached and shared: nothing in it changes. `last_goal` is the
    last goal of the main list: a contact that meets it already gains nothing by entering.

    What the engine has to read for it: `asks_workflows`, `asks_history` (facts that its filters read),
    `asks_members`, `asks_owned`, `steps_with_state` (for `StepContext`: keys of steps that store something
    across enrollments). `changes_contact` means that one of its steps writes to the contact; `watches` that a
    change of the contact may move an enrollment that waits; `stay_match` is what must stay true for each
    enrollment. `listens` has the nodes that wait for an event, by (event kind, equality key) as
    `index_keys_of` yields them."""

    version: Version
    fields: Fields
    nodes: list[Node]
    by_key: dict[str, int]
    start: int
    trigger_matches: list[Match]
    entry_match: Match
    last_goal: GoalMark | None
    has_goals: bool
    goals: tuple[int, ...] = ()
    stay_match: Match | None = None
    asks_workflows: bool = False
    asks_history: UsedHistory = UsedHistory()
    asks_members: bool = False
    asks_owned: bool = False
    changes_contact: bool = False
    watches: bool = False
    steps_with_state: list[str] = []
    listens: Listened = {}


class CompileError(ValueError):
    """A version that cannot run, because something it refers to no longer exists; the message names the
    step."""


def compile_version(version: Version, fields: Fields) -> Program:
    """Raises CompileError when a filter or a template of it no longer fits the account's fields."""
    nodes: list[Node] = []
    start = _flatten(version.steps, END, nodes, fields)
    by_key = {node.key: node.index for node in nodes}
    for node in nodes:
        node.goals = _goals_ahead(node, nodes)
        if hasattr(node.config, "window"):
            node.window = node.config.window or version.settings.window
        _resolve_jump(node, by_key)
    stays = version.entry if version.settings.leave_when_unmatched else None
    for node in nodes:
        node.recheck_interval = recheck_interval(
            node.config, [stays, *(nodes[goal].config.filter for goal in node.goals)], fields
        )
    configs = [node.config for node in nodes]
    kinds = [(kind_of(config), config) for config in configs]
    goals = tuple(node.index for node in nodes if isinstance(node.config, Goal))
    last = next((step for step in reversed(version.steps) if isinstance(step.config, Goal)), None)
    entry = _match(version.entry, fields, "The entry condition")
    triggers = [_match(trigger.filter, fields, f"Trigger {trigger.key}") for trigger in version.triggers]
    asked_fields = {key for expression in filters_of(version) for key in used_fields(expression, fields)}
    history = [used_history(expression, fields) for expression in filters_of(version)]
    stay = entry if stays is not None else None
    awaited = any(awaits_change(config) for config in configs)
    return Program(
        version=version,
        fields=fields,
        nodes=nodes,
        by_key=by_key,
        start=start,
        trigger_matches=triggers,
        entry_match=entry,
        last_goal=None if last is None else GoalMark(last.key, nodes[by_key[last.key]].match or never),
        has_goals=bool(goals),
        goals=goals,
        stay_match=stay,
        asks_workflows="workflows" in asked_fields,
        asks_history=reduce(or_, history, UsedHistory()),
        asks_members=any(kind.needs_members(config) for kind, config in kinds)
        or any(holds_member(key, fields) for key in _read_or_written(nodes)),
        asks_owned=any(kind.needs_owner_counts(config) for kind, config in kinds),
        changes_contact=any(kind.changes_contact for kind, _ in kinds),
        watches=bool(goals) or stay is not None or awaited,
        steps_with_state=[node.key for node in nodes if kind_of(node.config).keeps_state(node.config)],
        listens=_listens(nodes),
    )


def _read_or_written(nodes: list["Node"]) -> Iterator[object]:
    """The keys of the fields that templates read and steps name."""
    for node in nodes:
        for text in node.templates.values():
            yield from text.fields
        yield from (key for kind, key in kind_of(node.config).references(node.config) if kind == "field")


def filters_of(source: Version | Draft) -> Iterator[Filter | None]:
    """Every filter: entry, triggers, branches, goals, waits."""
    yield source.entry
    for trigger in source.triggers:
        yield trigger.filter
    for _, _, step in walk(source.steps):
        yield from kind_of(step.config).filters(step.config)


def _listens(nodes: list[Node]) -> Listened:
    indexes: dict[tuple[str, str], list[int]] = {}
    for node in nodes:
        if isinstance(node.config, WaitFor) and node.config.mode == "event":
            indexes.setdefault((node.config.event, node.config.about), []).append(node.index)
    return {key: tuple(waits) for key, waits in indexes.items()}


def _flatten(steps: list[Step], after: int, nodes: list[Node], fields: Fields) -> int:
    """Appends the nodes of a list that continues at `after`; returns where the list starts."""
    # All siblings first, their lanes later: a lane needs to know where its branch continues.
    siblings = [
        Node(len(nodes) + position, step.key, step.kind, step.config) for position, step in enumerate(steps)
    ]
    nodes.extend(siblings)
    for node, following in zip(siblings, [*(node.index for node in siblings[1:]), after], strict=False):
        node.after = following
    for step, node in zip(steps, siblings, strict=True):
        _compile(node, step, nodes, fields)
    return siblings[0].index if siblings else after


def _compile(node: Node, step: Step, nodes: list[Node], fields: Fields) -> None:
    config, label = step.config, f"Step {step.key}"
    node.starts = {
        lane: _flatten(step.lanes.get(lane, []), node.after, nodes, fields) for lane in lane_keys(config)
    }
    node.templates = _templates(config, fields, label)
    kind_of(config).compile_node(node, lambda expression: _match(expression, fields, label))


def _resolve_jump(node: Node, by_key: dict[str, int]) -> None:
    jump = kind_of(node.config).jump(node.config)
    if jump is None:
        return
    if jump.step not in by_key:
        raise CompileError(f"Step {node.key}: It leads to a step that doesn't exist.")
    node.target = by_key[jump.step]


def _match(expression: Filter | None, fields: Fields, label: str) -> Match:
    try:
        return compile_filter(expression, fields)
    except FilterError as error:
        raise CompileError(f"{label}: {error}") from None


def _templates(config: StepConfig, fields: Fields, label: str) -> dict[str, Template]:
    try:
        return {
            name: compile_template(text, fields, output, name=name.replace(":", " "))
            for name, (text, output) in kind_of(config).templates(config).items()
        }
    except TemplateError as error:
        raise CompileError(f"{label}: {error}") from None


def _goals_ahead(node: Node, nodes: list[Node]) -> tuple[int, ...]:
    goals = []
    index = node.index
    while index != END:
        if isinstance(nodes[index].config, Goal):
            goals.append(index)
        index = nodes[index].after
    return tuple(goals)
