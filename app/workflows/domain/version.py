"""A version: the frozen document that publish makes of a draft, its hash, what it refers to, and the program
that the engine runs."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from app.filters.ast import Filter, FilterError, predicates
from app.filters.facts import Facts
from app.filters.fields import Fields
from app.filters.matches import Match, compile_filter
from app.workflows.domain.draft import Draft, Settings, walk
from app.workflows.domain.steps import (
    ELSE,
    AddTag,
    Branch,
    Goal,
    RemoveTag,
    SendEmail,
    Step,
    StepConfig,
    UpdateField,
    Webhook,
)
from app.workflows.domain.templates import Output, Template, TemplateError, compile_template, used_fields
from app.workflows.domain.triggers import ContactUpdated, TagAdded, Trigger

END = -1


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One immutable document; enrollments name the version they run."""

    workflow_id: UUID
    number: int
    triggers: list[Trigger]
    entry: Filter | None
    steps: list[Step]
    settings: Settings


def freeze(draft: Draft, workflow_id: UUID, number: int) -> Version:
    """The version that publishing this draft makes. `lint` comes first; nothing is checked here."""
    copy = msgspec.convert(msgspec.to_builtins(draft), Draft)
    return Version(workflow_id, number, copy.triggers, copy.entry, copy.steps, copy.settings)


def canonical(version: Version) -> bytes:
    """The document as JSON that is the same bytes for the same meaning: keys sorted, no spaces."""
    return msgspec.json.encode(version, order="sorted")


def content_hash(version: Version) -> str:
    """sha256 of what the version does, in hex: its number is left out, so an unchanged draft is seen."""
    return hashlib.sha256(canonical(msgspec.structs.replace(version, number=0))).hexdigest()


def load_version(document: object) -> Version:
    """The version of a stored document: the decoded JSON, or its bytes."""
    if isinstance(document, bytes | str):
        return msgspec.json.decode(document, type=Version)
    return msgspec.convert(document, Version)


class References(msgspec.Struct, frozen=True):
    """What a version uses, by id and by field key, for "used by"."""

    tags: frozenset[UUID]
    fields: frozenset[str]


def references(source: Version | Draft, fields: Fields) -> References:
    """Tags and fields named in filters, templates, triggers and steps."""
    tags: set[UUID | None] = set()
    used: set[str] = set()
    for predicate in (found for expression in _filters(source) for found in predicates(expression)):
        used.add(predicate.field)
        if predicate.field == "tags" and isinstance(predicate.value, list):
            tags.update(UUID(str(value)) for value in predicate.value if _is_id(value))
    for trigger in source.triggers:
        tags.add(trigger.tag if isinstance(trigger, TagAdded) else None)
        used.update(trigger.fields if isinstance(trigger, ContactUpdated) else ())
    for _, _, step in walk(source.steps):
        tags.add(step.config.tag if isinstance(step.config, AddTag | RemoveTag) else None)
        used.add(step.config.field if isinstance(step.config, UpdateField) else "")
        used.update(*(used_fields(text, fields) for text in texts(step.config)))
    return References(frozenset(tag for tag in tags if tag is not None), frozenset(used - {""}))


def _filters(source: Version | Draft) -> Iterable[Filter | None]:
    yield source.entry
    for trigger in source.triggers:
        yield trigger.filter
    for _, _, step in walk(source.steps):
        if isinstance(step.config, Goal):
            yield step.config.filter
        if isinstance(step.config, Branch):
            yield from (lane.filter for lane in step.config.branches)


def _is_id(value: object) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True


def texts(config: StepConfig) -> list[str]:
    """Every template of a step."""
    if isinstance(config, SendEmail):
        return [config.subject, config.body, config.from_name, config.reply_to]
    if isinstance(config, Webhook):
        return [config.url, config.body, *config.headers.values()]
    return [config.value] if isinstance(config, UpdateField) else []


class Node(msgspec.Struct):
    """One step, flattened. `after` is where its list goes on (a lane's end: after the branch); `lanes` are a
    branch's ways out in order, *else* last; `goals` the nodes of the goals that certainly lie ahead, itself
    included: those in its own list and in the lists around it, not those in lanes not yet entered."""

    index: int
    key: str
    kind: str
    config: StepConfig
    after: int = END
    lanes: list[tuple[str, Match, int]] = []
    match: Match | None = None
    templates: dict[str, Template] = {}
    goals: tuple[int, ...] = ()


class GoalMark(msgspec.Struct, frozen=True):
    key: str
    match: Match


class Program(msgspec.Struct, frozen=True):
    """A version ready to run. Compile once, keep, share: nothing in it changes. `last_goal` is the last one
    of the main list: who meets it already has nothing to gain by entering."""

    version: Version
    fields: Fields
    nodes: list[Node]
    by_key: dict[str, int]
    start: int
    trigger_matches: list[Match]
    entry_match: Match
    last_goal: GoalMark | None
    has_goals: bool


class CompileError(ValueError):
    """A version that cannot run, because something it refers to is gone; the message names the step."""


def compile_version(version: Version, fields: Fields) -> Program:
    """Raises CompileError when a filter or a template of it no longer fits the account's fields."""
    nodes: list[Node] = []
    start = _flatten(version.steps, END, nodes, fields)
    for node in nodes:
        node.goals = _goals_ahead(node, nodes)
    goals = [step for step in version.steps if isinstance(step.config, Goal)]
    by_key = {node.key: node.index for node in nodes}
    last = goals[-1] if goals else None
    return Program(
        version=version,
        fields=fields,
        nodes=nodes,
        by_key=by_key,
        start=start,
        trigger_matches=[
            _match(trigger.filter, fields, f"Trigger {trigger.key}") for trigger in version.triggers
        ],
        entry_match=_match(version.entry, fields, "The entry condition"),
        last_goal=None if last is None else GoalMark(last.key, nodes[by_key[last.key]].match or _never),
        has_goals=any(isinstance(node.config, Goal) for node in nodes),
    )


def _never(_facts: Facts, _now: datetime) -> bool:
    return False


def _flatten(steps: list[Step], after: int, nodes: list[Node], fields: Fields) -> int:
    """Appends the nodes of a list that goes on at `after`; returns where the list starts."""
    # All siblings first, their lanes later: a lane must know where its branch goes on.
    made = [
        Node(len(nodes) + position, step.key, step.kind, step.config) for position, step in enumerate(steps)
    ]
    nodes.extend(made)
    for node, following in zip(made, [*(next_one.index for next_one in made[1:]), after], strict=False):
        node.after = following
    for step, node in zip(steps, made, strict=True):
        _compile(node, step, nodes, fields)
    return made[0].index if made else after


def _compile(node: Node, step: Step, nodes: list[Node], fields: Fields) -> None:
    config, label = step.config, f"Step {step.key}"
    if isinstance(config, Branch):
        ways = [*((lane.key, lane.filter) for lane in config.branches), (ELSE, None)]
        node.lanes = [
            (key, _match(asked, fields, label), _flatten(step.lanes.get(key, []), node.after, nodes, fields))
            for key, asked in ways
        ]
    elif isinstance(config, Goal):
        node.match = _match(config.filter, fields, label) if config.filter is not None else _never
    else:
        node.templates = _templates(config, fields, label)


def _match(expression: Filter | None, fields: Fields, label: str) -> Match:
    try:
        return compile_filter(expression, fields)
    except FilterError as error:
        raise CompileError(f"{label}: {error}") from None


def _templates(config: StepConfig, fields: Fields, label: str) -> dict[str, Template]:
    wanted: dict[str, tuple[str, Output]] = {}
    if isinstance(config, SendEmail):
        wanted = {
            "subject": (config.subject, Output.SUBJECT),
            "body": (config.body, Output.TEXT),
            "from_name": (config.from_name, Output.HEADER),
            "reply_to": (config.reply_to, Output.HEADER),
        }
    elif isinstance(config, Webhook):
        wanted = {"url": (config.url, Output.URL), "body": (config.body, Output.JSON)}
        wanted |= {f"header:{name}": (value, Output.HEADER) for name, value in config.headers.items()}
    elif isinstance(config, UpdateField):
        wanted = {"value": (config.value, Output.TEXT)}
    try:
        return {name: compile_template(text, fields, output) for name, (text, output) in wanted.items()}
    except TemplateError as error:
        raise CompileError(f"{label}: {error}") from None


def _goals_ahead(node: Node, nodes: list[Node]) -> tuple[int, ...]:
    found = []
    at = node.index
    while at != END:
        if isinstance(nodes[at].config, Goal):
            found.append(at)
        at = nodes[at].after
    return tuple(found)
