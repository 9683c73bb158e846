"""The values that a decision saw, in words. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from app.enrollments.labels import clock
from app.enrollments.schemas import SeenValue
from app.filters.event_kinds import EVENT_KINDS
from app.filters.fields import Fields, FieldSpec, FieldType

GONE = {
    FieldType.TAGS: "a tag that is gone",
    FieldType.USER: "somebody who is gone",
    FieldType.SEGMENTS: "a segment that is gone",
    FieldType.WORKFLOWS: "a workflow that is gone",
}
STANDS = {
    "in": "in",
    "not_in": "not in",
    "active": "now in",
    "completed": "completed",
    "past": "was in",
    "never": "never in",
}
NOT_KEPT = "not kept"  # decisions of an earlier release


class Names(msgspec.Struct):
    """What turns ids into words: the fields know people, segments and workflows."""

    fields: Fields
    tags: Mapping[str, str]
    now: datetime
    zone: str


def seen_values(detail: Mapping[str, Any], names: Names) -> list[SeenValue]:
    """What the detail of a decision keeps of the values that its filter saw."""
    return [_seen(key, value, names) for key, value in (detail.get("seen") or {}).items()]


def _seen(key: str, value: Any, names: Names) -> SeenValue:
    if key == "changes":  # of the event, not of the contact
        told = [_change(field, pair, names) for field, pair in (value or {}).items()]
        return SeenValue(key, "Changed", value, ", ".join(told) or "nothing")
    spec = names.fields.get(key)
    if spec is None:
        return SeenValue(key, "A field that is gone", value, _plain(value))
    known = names.tags if spec.type is FieldType.TAGS else spec.names or {}
    called = {one: known.get(one, GONE[spec.type]) for one in _ids(value)} if spec.type in GONE else {}
    return SeenValue(key, spec.label, value, _words(spec, value, called, names), called)


def _ids(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [one for ids in value.values() for one in ids]
    return value if isinstance(value, list) else [value] if value else []


def _words(spec: FieldSpec, value: Any, called: Mapping[str, str], names: Names) -> str:
    match spec.type:
        case FieldType.TAGS:
            return ", ".join(called.values()) or "none"
        case FieldType.USER:
            return ", ".join(called.values()) or "nobody"
        case FieldType.SEGMENTS | FieldType.WORKFLOWS:
            return _stands(value or {}, called) or NOT_KEPT
        case FieldType.HISTORY:
            return " · ".join(_counted(one, names) for one in value or ()) or NOT_KEPT
        case FieldType.DATETIME if value:
            return clock(datetime.fromisoformat(value), names.now, names.zone)
    return _plain(value)


def _stands(value: Mapping[str, list[str]], called: Mapping[str, str]) -> str:
    told = ((how, ", ".join(called[one] for one in ids)) for how, ids in value.items() if ids)
    return " · ".join(f"{STANDS[how]} {whom}" for how, whom in told)


def _counted(one: Mapping[str, Any], names: Names) -> str:
    """ "Tag added 2 times in the last 30 days", "City changed once in the last 7 days (Rome → Oslo)"."""
    often = "once" if one["times"] == 1 else f"{one['times']} times"
    if "event" in one:
        return f"{EVENT_KINDS.get(one['event'], one['event'])} {often} in the last {one['within']}"
    spec = names.fields.get(one["field"])
    label = spec.label if spec is not None else "A field that is gone"
    sides = "; ".join(_sides(spec, pair) for pair in one["changes"])
    return f"{label} changed {often} in the last {one['within']}" + (f" ({sides})" if sides else "")


def _change(field: str, pair: Any, names: Names) -> str:
    spec = names.fields.get(field)
    return f"{spec.label if spec is not None else field}: {_sides(spec, pair)}"


def _sides(spec: FieldSpec | None, pair: Any) -> str:
    known = (spec.names if spec is not None else None) or {}
    return " → ".join(known.get(str(one), _plain(one)) for one in pair)


def _plain(value: Any) -> str:
    if value is None or value == "":
        return "empty"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
