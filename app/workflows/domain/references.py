"""Finds what a version or a draft refers to, for "used by"."""

from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

import msgspec

from app.engine.core.draft import Draft, walk
from app.engine.core.merge_tags import fields_in_template
from app.engine.core.steps import StepConfig, UpdateField, kind_of
from app.engine.core.version import Version, filters_of
from app.filters.analysis import changing_field
from app.filters.ast import Predicate, predicates
from app.filters.field_values import split_options
from app.filters.fields import Fields, holds_member
from app.filters.values import fold

# Predicates on these fields refer to things by id.
_NAMED = {"tags": "tag", "segments": "segment", "workflows": "workflow", "owner": "user"}


class References(msgspec.Struct, frozen=True):
    """What a version refers to: tags, segments, workflows and users by id, fields by key."""

    tags: frozenset[UUID]
    fields: frozenset[str]
    segments: frozenset[UUID] = frozenset()
    workflows: frozenset[UUID] = frozenset()
    users: frozenset[UUID] = frozenset()

    def rows(self) -> list[tuple[str, str]]:
        """(kind, target) as stored in `workflow_references`, sorted."""
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
    """Everything that filters, templates, triggers, settings and steps refer to, as far as it is in effect:
    not what a setting keeps for another choice."""
    targets: dict[str, set[str]] = {
        "tag": set(),
        "field": set(),
        "segment": set(),
        "workflow": set(),
        "user": set(),
    }
    for kind, target in _used(source, fields):
        if target and (kind == "field" or _is_id(target)):
            targets[kind].add(str(target))
    ids = {kind: frozenset(UUID(target) for target in targets[kind]) for kind in targets if kind != "field"}
    return References(ids["tag"], frozenset(targets["field"]), ids["segment"], ids["workflow"], ids["user"])


def _used(source: Version | Draft, fields: Fields) -> Used:
    for expression in filters_of(source):
        for predicate in predicates(expression):
            yield from _predicate(predicate, fields)
    for trigger in source.triggers:
        yield from trigger.references()
    key = source.settings.key_field
    yield "field", key if key in fields else ""
    for _, _, step in walk(source.steps):
        kind = kind_of(step.config)
        yield from kind.references(step.config)
        for text, output in kind.templates(step.config).values():
            yield from (("field", name) for name in fields_in_template(text, fields, output))


def _predicate(predicate: Predicate, fields: Fields) -> Used:
    yield "field", predicate.field
    values = predicate.value if isinstance(predicate.value, list) else [predicate.value]
    changing = changing_field(predicate)
    yield "field", changing
    key = changing or predicate.field
    kind = _NAMED.get(key) or ("user" if holds_member(key, fields) else None)
    if kind is not None:
        yield from ((kind, value) for value in values)


def _is_id(value: object) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True


def names_option(source: Version | Draft, key: str, options: Collection[str]) -> bool:
    """Whether a filter, a trigger or a step names one of these options of the field."""
    folded = {fold(option) for option in options}
    conditions = (predicate for expression in filters_of(source) for predicate in predicates(expression))
    return (
        any(_asks_option(condition, key, options, folded) for condition in conditions)
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
    # A step writes an option in any case.
    named = {fold(text).strip() for text in split_options(config.value, options)}
    return not named.isdisjoint(fold(option) for option in options)
