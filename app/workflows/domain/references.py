"""What a version or a draft uses, for "used by"."""

from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

import msgspec

from app.engine.core.draft import Draft, walk
from app.engine.core.merge_tags import used_fields
from app.engine.core.steps import (
    AddTag,
    AddToWorkflow,
    Approval,
    AssignOwner,
    CreateTask,
    Notify,
    RemoveFromWorkflow,
    RemoveTag,
    StepConfig,
    UpdateField,
    Wait,
    WaitFor,
)
from app.engine.core.template_fields import texts_of
from app.engine.core.version import Version, filters_of
from app.filters.analysis import changing_field
from app.filters.ast import Predicate, predicates
from app.filters.fields import Fields
from app.filters.values import fold

# What an event kind is about, by the beginning of its name; the others are about nothing that has a name.
_ABOUT = {"contact.updated": "field", "tag": "tag", "segment": "segment", "enrollment": "workflow"}
# Predicates on these fields name things by id.
_NAMED = {"tags": "tag", "segments": "segment", "workflows": "workflow", "owner": "user"}


class References(msgspec.Struct, frozen=True):
    """What a version uses: tags, segments, workflows and users by id, fields by key."""

    tags: frozenset[UUID]
    fields: frozenset[str]
    segments: frozenset[UUID] = frozenset()
    workflows: frozenset[UUID] = frozenset()
    users: frozenset[UUID] = frozenset()

    def rows(self) -> list[tuple[str, str]]:
        """(kind, target) as `workflow_references` keeps them, sorted."""
        kinds: dict[str, Iterable[object]] = {
            "tag": self.tags,
            "field": self.fields,
            "segment": self.segments,
            "workflow": self.workflows,
            "user": self.users,
        }
        return [(kind, target) for kind, used in kinds.items() for target in sorted(map(str, used))]


Used = Iterator[tuple[str, object]]


def references(source: Version | Draft, fields: Fields) -> References:
    """Everything named in filters, templates, triggers, settings and steps, as far as it is in force: not
    what a setting keeps for another choice."""
    found: dict[str, set[str]] = {
        "tag": set(),
        "field": set(),
        "segment": set(),
        "workflow": set(),
        "user": set(),
    }
    for kind, target in _used(source, fields):
        if target and (kind == "field" or _is_id(target)):
            found[kind].add(str(target))
    ids = {kind: frozenset(UUID(one) for one in found[kind]) for kind in found if kind != "field"}
    return References(ids["tag"], frozenset(found["field"]), ids["segment"], ids["workflow"], ids["user"])


def _used(source: Version | Draft, fields: Fields) -> Used:
    for expression in filters_of(source):
        for predicate in predicates(expression):
            yield from _predicate(predicate)
    for trigger in source.triggers:
        yield from trigger.references()
    key = source.settings.key_field
    yield "field", key if key in fields else ""
    for _, _, step in walk(source.steps):
        yield from _step(step.config)
        for text, output in texts_of(step.config).values():
            yield from (("field", name) for name in used_fields(text, fields, output))


def _predicate(predicate: Predicate) -> Used:
    yield "field", predicate.field
    values = predicate.value if isinstance(predicate.value, list) else [predicate.value]
    changing = changing_field(predicate)
    yield "field", changing
    kind = _NAMED.get(changing or predicate.field)
    if kind is not None:
        yield from ((kind, value) for value in values)


def _step(config: StepConfig) -> Used:
    yield from (("user", user) for user in _people(config))
    match config:
        case AddTag() | RemoveTag():
            yield "tag", config.tag
        case UpdateField():
            yield "field", config.field
            yield "field", config.source if config.operation == "copy" else ""
        case Wait():
            yield "field", config.field if config.mode == "date_field" else ""
        case WaitFor():
            kind = _ABOUT.get(config.event) or _ABOUT.get(config.event.partition(".")[0])
            if config.mode == "event" and kind is not None:
                yield kind, config.about
        case AddToWorkflow() | RemoveFromWorkflow():
            yield "workflow", config.workflow
        case _:
            pass


def _people(config: StepConfig) -> Iterable[object]:
    match config:
        case UpdateField(field="owner", operation="set"):
            return [config.value.strip()]
        case CreateTask(assignee="user"):
            return [config.user]
        case Notify(to="users") | Approval():
            return config.users
        case AssignOwner() if config.mode != "nobody":
            return config.users
        case _:
            return []


def _is_id(value: object) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True


def names_option(source: Version | Draft, key: str, options: Collection[str]) -> bool:
    """Whether a filter, a trigger or a step names one of these options of the field."""
    folded = {fold(option) for option in options}
    asked = (one for expression in filters_of(source) for one in predicates(expression))
    return (
        any(_asks_option(one, key, options, folded) for one in asked)
        or any(trigger.names_option(key, folded) for trigger in source.triggers)
        or any(_writes_option(step.config, key, options) for _, _, step in walk(source.steps))
    )


def _asks_option(predicate: Predicate, key: str, options: Collection[str], folded: Collection[str]) -> bool:
    values = predicate.value if isinstance(predicate.value, list) else [predicate.value]
    if changing_field(predicate) == key:
        return any(fold(str(value)).strip() in folded for value in values[1:-1])
    return predicate.field == key and any(str(value) in options for value in values)


def _writes_option(config: StepConfig, key: str, options: Collection[str]) -> bool:
    if not isinstance(config, UpdateField) or config.field != key or config.operation != "set":
        return False
    return config.value.strip() in options
