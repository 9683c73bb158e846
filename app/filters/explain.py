"""What a filter looked at in a contact, fit for JSON: kept with each refusal, so that *why* can be told."""

from datetime import datetime
from typing import Any
from uuid import UUID

from app.filters import ranges
from app.filters.analysis import named_segments
from app.filters.ast import Filter, Op, Predicate, predicates
from app.filters.change_predicates import CONTACT_UPDATED
from app.filters.evaluate import compile_filter
from app.filters.facts import Facts, Happened
from app.filters.fields import Fields, FieldType
from app.filters.values import Change, Span, Times, read

MOST, MOST_CHANGES = 20, 5  # segments or workflows of one filter, changes of one field: the rest is left out


def values_seen(expression: Filter | None, facts: Facts, fields: Fields, now: datetime) -> dict[str, Any]:
    """What the contact has in the fields that a filter asks about: a value; the ids of its tags; which of
    the named segments it is in; where it stands with the named workflows; for each question about history
    what was counted."""
    seen: dict[str, Any] = {}
    for predicate in predicates(expression):
        key = predicate.field
        if key == FieldType.TAGS:
            seen[key] = sorted(str(tag) for tag in facts.tags)
        elif key == FieldType.SEGMENTS:
            seen[key] = _segments(_named(expression, key), facts, fields, now)
        elif key == FieldType.WORKFLOWS:
            seen[key] = _workflows(_named(expression, key), facts)
        elif key == FieldType.HISTORY:
            seen.setdefault(key, []).append(_history(predicate, facts, fields, now))
        else:
            value = facts.values.get(key)
            seen[key] = value.isoformat() if isinstance(value, datetime) else value
    return seen


def _named(expression: Filter | None, key: str) -> list[UUID]:
    """The ids that all conditions on a field name."""
    asked = (one for one in predicates(expression) if one.field == key)
    return list(dict.fromkeys(named for one in asked for named in named_segments(one)))[:MOST]


def _segments(named: list[UUID], facts: Facts, fields: Fields, now: datetime) -> dict[str, list[str]]:
    seen: dict[str, list[str]] = {"in": [], "not_in": []}
    for one in named:
        asked = Predicate(FieldType.SEGMENTS, Op.ANY_OF, [str(one)])
        seen["in" if compile_filter(asked, fields)(facts, now) else "not_in"].append(str(one))
    return seen


def _workflows(named: list[UUID], facts: Facts) -> dict[str, list[str]]:
    """*Past*: in it once, and neither in it now nor ever at its end."""
    where = facts.workflows
    past = where.ever - where.active - where.completed
    seen = {"active": where.active, "completed": where.completed, "past": past}
    found = {name: [str(one) for one in named if one in inside] for name, inside in seen.items()}
    return found | {"never": [str(one) for one in named if one not in where.ever]}


def _history(predicate: Predicate, facts: Facts, fields: Fields, now: datetime) -> dict[str, Any]:
    asked = read(predicate, fields)[1][0]
    if isinstance(asked, Times):
        kinds = [one.kind for one in _lately(asked.within, facts, now)]
        return {"event": asked.kind, "times": kinds.count(asked.kind), "within": _span(asked.within)}
    if not isinstance(asked, Change):
        raise TypeError(asked)
    changes = [
        list(one.changes[asked.field])
        for one in _lately(asked.within, facts, now)
        if one.kind == CONTACT_UPDATED and one.changes.get(asked.field) is not None
    ]
    seen = {"field": asked.field, "times": len(changes), "changes": changes[:MOST_CHANGES]}
    return seen | {"within": _span(asked.within)}


def _lately(within: Span, facts: Facts, now: datetime) -> list[Happened]:
    start, end = ranges.instants(Op.IN_LAST, (within,), now, facts.zone)
    return [one for one in facts.history if ranges.inside(one.at, start, end)]


def _span(span: Span) -> str:
    return f"{span.amount} {span.unit.removesuffix('s') if span.amount == 1 else span.unit}"
