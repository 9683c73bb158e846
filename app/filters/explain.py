"""Explain a filter's result: the values it compared, as JSON. The engine stores them with each decision that
refuses an entry."""

from datetime import datetime
from uuid import UUID

from app.filters import ranges
from app.filters.analysis import named_segments
from app.filters.ast import Filter, Op, Predicate, predicates
from app.filters.change_predicates import CONTACT_UPDATED
from app.filters.evaluate import compile_filter
from app.filters.facts import Facts, Happened
from app.filters.fields import Fields, FieldType
from app.filters.values import Change, Span, Times, read
from app.json_types import Json, JsonObject

MOST, MOST_CHANGES = 20, 5  # segments or workflows of one filter, changes of one field: more are left out


def explain(expression: Filter | None, facts: Facts, fields: Fields, now: datetime) -> JsonObject:
    """The contact's values by field key, for the fields that a filter tests. Ordinary fields have their
    value; tags the ids of the contact's tags; segments and workflows the ids in the filter, grouped by
    whether the contact is in them; history one entry per condition, with the count."""
    values: JsonObject = {}
    history: list[Json] = []
    for predicate in predicates(expression):
        key = predicate.field
        if key == FieldType.TAGS:
            values[key] = [*sorted(str(tag) for tag in facts.tags)]
        elif key == FieldType.SEGMENTS:
            values[key] = _segments(_named_ids(expression, key), facts, fields, now)
        elif key == FieldType.WORKFLOWS:
            values[key] = _workflows(_named_ids(expression, key), facts)
        elif key == FieldType.HISTORY:
            history.append(_history(predicate, facts, fields, now))
            values[key] = history
        else:
            value = facts.values.get(key)
            values[key] = value.isoformat() if isinstance(value, datetime) else value
    return values


def _named_ids(expression: Filter | None, key: str) -> list[UUID]:
    """The ids in all conditions on a field, at most `MOST`."""
    conditions = (predicate for predicate in predicates(expression) if predicate.field == key)
    return list(dict.fromkeys(segment for condition in conditions for segment in named_segments(condition)))[
        :MOST
    ]


def _segments(named: list[UUID], facts: Facts, fields: Fields, now: datetime) -> JsonObject:
    inside: list[Json] = []
    outside: list[Json] = []
    for segment in named:
        condition = Predicate(FieldType.SEGMENTS, Op.ANY_OF, [str(segment)])
        (inside if compile_filter(condition, fields)(facts, now) else outside).append(str(segment))
    return {"in": inside, "not_in": outside}


def _workflows(named: list[UUID], facts: Facts) -> JsonObject:
    """*Past*: was enrolled, is not now, and never completed."""
    enrollments = facts.workflows
    past = enrollments.ever - enrollments.active - enrollments.completed
    groups = {"active": enrollments.active, "completed": enrollments.completed, "past": past}
    membership: JsonObject = {
        name: [str(workflow) for workflow in named if workflow in inside] for name, inside in groups.items()
    }
    return membership | {"never": [str(workflow) for workflow in named if workflow not in enrollments.ever]}


def _history(predicate: Predicate, facts: Facts, fields: Fields, now: datetime) -> JsonObject:
    operand = read(predicate, fields)[1][0]
    if isinstance(operand, Times):
        kinds = [event.kind for event in _events_within(operand.within, facts, now)]
        return {"event": operand.kind, "times": kinds.count(operand.kind), "within": _span(operand.within)}
    if not isinstance(operand, Change):
        raise TypeError(operand)
    changes: list[Json] = [
        list(event.changes[operand.field])
        for event in _events_within(operand.within, facts, now)
        if event.kind == CONTACT_UPDATED and event.changes.get(operand.field) is not None
    ]
    return {
        "field": operand.field,
        "times": len(changes),
        "changes": changes[:MOST_CHANGES],
        "within": _span(operand.within),
    }


def _events_within(within: Span, facts: Facts, now: datetime) -> list[Happened]:
    start, end = ranges.instants(Op.IN_LAST, (within,), now, facts.zone)
    return [event for event in facts.history if ranges.inside(event.at, start, end)]


def _span(span: Span) -> str:
    return f"{span.amount} {span.unit.removesuffix('s') if span.amount == 1 else span.unit}"
