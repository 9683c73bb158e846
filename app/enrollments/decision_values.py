"""Describes the values that a decision saw, with names instead of ids. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from app.enrollments.labels import moment_label
from app.enrollments.schemas import DecisionValue
from app.filters.event_kinds import EVENT_KINDS
from app.filters.fields import Fields, FieldSpec, FieldType

GONE = {
    FieldType.TAGS: "a deleted tag",
    FieldType.USER: "a former member",
    FieldType.SEGMENTS: "a deleted segment",
    FieldType.WORKFLOWS: "a deleted workflow",
}
MEMBERSHIP_LABELS = {
    "in": "in",
    "not_in": "not in",
    "active": "now in",
    "completed": "completed",
    "past": "was in",
    "never": "never in",
}
NOT_KEPT = "not stored"  # decisions of an earlier version


class ValueNames(msgspec.Struct):
    """Names by id: `fields` has those of members, segments and workflows."""

    fields: Fields
    tags: Mapping[str, str]
    now: datetime
    zone: str


def decision_values(detail: Mapping[str, Any], names: ValueNames) -> list[DecisionValue]:
    """The stored values that the filter saw when the decision was made."""
    return [_decision_value(key, value, names) for key, value in (detail.get("values") or {}).items()]


def _decision_value(key: str, value: Any, names: ValueNames) -> DecisionValue:
    if key == "changes":  # a value of the event, not of the contact
        changes = [_change(field, pair, names) for field, pair in (value or {}).items()]
        return DecisionValue(key, "Changed", value, ", ".join(changes) or "nothing")
    spec = names.fields.get(key)
    if spec is None:
        return DecisionValue(key, "A deleted field", value, _plain(value))
    name_of = names.tags if spec.type is FieldType.TAGS else spec.names or {}
    called = (
        {item_id: name_of.get(item_id, GONE[spec.type]) for item_id in _ids(value)}
        if spec.type in GONE
        else {}
    )
    return DecisionValue(key, spec.label, value, _words(spec, value, called, names), called)


def _ids(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [item_id for ids in value.values() for item_id in ids]
    return value if isinstance(value, list) else [value] if value else []


def _words(spec: FieldSpec, value: Any, called: Mapping[str, str], names: ValueNames) -> str:
    match spec.type:
        case FieldType.TAGS:
            return ", ".join(called.values()) or "none"
        case FieldType.USER:
            return ", ".join(called.values()) or "no one"
        case FieldType.SEGMENTS | FieldType.WORKFLOWS:
            return _membership_words(value or {}, called) or NOT_KEPT
        case FieldType.HISTORY:
            return " · ".join(_counted(count, names) for count in value or ()) or NOT_KEPT
        case FieldType.DATETIME if value:
            return moment_label(datetime.fromisoformat(value), names.now, names.zone)
    return _plain(value)


def _membership_words(value: Mapping[str, list[str]], called: Mapping[str, str]) -> str:
    parts = ((how, ", ".join(called[item_id] for item_id in ids)) for how, ids in value.items() if ids)
    return " · ".join(f"{MEMBERSHIP_LABELS[how]} {names}" for how, names in parts)


def _counted(count: Mapping[str, Any], names: ValueNames) -> str:
    """ "Tag added 2 times in the last 30 days", "City changed once in the last 7 days (Rome → Oslo)"."""
    often = "once" if count["times"] == 1 else f"{count['times']} times"
    if "event" in count:
        return f"{EVENT_KINDS.get(count['event'], count['event'])} {often} in the last {count['within']}"
    spec = names.fields.get(count["field"])
    label = spec.label if spec is not None else "A deleted field"
    sides = "; ".join(_sides(spec, pair) for pair in count["changes"])
    return f"{label} changed {often} in the last {count['within']}" + (f" ({sides})" if sides else "")


def _change(field: str, pair: Any, names: ValueNames) -> str:
    spec = names.fields.get(field)
    return f"{spec.label if spec is not None else field}: {_sides(spec, pair)}"


def _sides(spec: FieldSpec | None, pair: Any) -> str:
    name_of = (spec.names if spec is not None else None) or {}
    return " → ".join(name_of.get(str(side), _plain(side)) for side in pair)


def _plain(value: Any) -> str:
    if value is None or value == "":
        return "empty"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
