"""Describes the values that a decision saw, with names instead of ids. Pure."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from app.enrollments.labels import moment_label
from app.enrollments.schemas import DecisionValue
from app.filters.event_kinds import EVENT_KINDS
from app.filters.field_values import plain_text
from app.filters.fields import Fields, FieldSpec, FieldType
from app.filters.money import money_text
from app.json_types import Json, JsonObject

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


def decision_values(detail: Mapping[str, Json], names: ValueNames) -> list[DecisionValue]:
    """The stored values that the filter saw when the decision was made."""
    return [_decision_value(key, value, names) for key, value in _object(detail.get("values")).items()]


def _decision_value(key: str, value: Json, names: ValueNames) -> DecisionValue:
    if key == "changes":  # a value of the event, not of the contact
        changes = [_change(field, pair, names) for field, pair in _object(value).items()]
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


def _object(value: Json) -> JsonObject:
    """Empty for what an earlier version did not store."""
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _ids(value: Json) -> list[str]:
    if isinstance(value, dict):
        return [str(item_id) for ids in value.values() for item_id in _list(ids)]
    return [str(item_id) for item_id in (value if isinstance(value, list) else [value] if value else [])]


def _words(spec: FieldSpec, value: Json, called: Mapping[str, str], names: ValueNames) -> str:
    match spec.type:
        case FieldType.TAGS:
            return ", ".join(called.values()) or "none"
        case FieldType.USER:
            return ", ".join(called.values()) or "no one"
        case FieldType.SEGMENTS | FieldType.WORKFLOWS:
            return _membership_words(_object(value), called) or NOT_KEPT
        case FieldType.HISTORY:
            return " · ".join(_counted(_object(count), names) for count in _list(value)) or NOT_KEPT
        case FieldType.DATETIME if value:
            return moment_label(datetime.fromisoformat(str(value)), names.now, names.zone)
    return (money_text(value, spec.currency) if spec.type is FieldType.MONEY else "") or _plain(value)


def _membership_words(value: JsonObject, called: Mapping[str, str]) -> str:
    parts = ((how, ", ".join(called[item_id] for item_id in _ids(ids))) for how, ids in value.items() if ids)
    return " · ".join(f"{MEMBERSHIP_LABELS[how]} {names}" for how, names in parts)


def _counted(count: JsonObject, names: ValueNames) -> str:
    """ "Tag added 2 times in the last 30 days", "City changed once in the last 7 days (Rome → Oslo)"."""
    often = "once" if count["times"] == 1 else f"{count['times']} times"
    if "event" in count:
        event = str(count["event"])
        return f"{EVENT_KINDS.get(event, event)} {often} in the last {count['within']}"
    spec = names.fields.get(str(count["field"]))
    label = spec.label if spec is not None else "A deleted field"
    sides = "; ".join(_sides(spec, pair) for pair in _list(count["changes"]))
    return f"{label} changed {often} in the last {count['within']}" + (f" ({sides})" if sides else "")


def _change(field: str, pair: Json, names: ValueNames) -> str:
    spec = names.fields.get(field)
    return f"{spec.label if spec is not None else field}: {_sides(spec, pair)}"


def _sides(spec: FieldSpec | None, pair: Json) -> str:
    name_of = (spec.names if spec is not None else None) or {}
    return " → ".join(name_of.get(str(side), _plain(side)) for side in _list(pair))


def _plain(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "empty" if value is None or value == "" else plain_text(value)
