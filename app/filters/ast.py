"""The filter language as data: nested groups of predicates. Lists, segments, triggers, entry conditions,
branches and goals all store this union; `evaluate` compiles it to Python and `db.filters` to SQL."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.filters.event_kinds import FORMER_KINDS


class Op(StrEnum):
    """The operator of a predicate. Which ones a field allows depends on its type (`fields.OPERATORS`)."""

    IS = "is"
    IS_NOT = "is_not"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    STARTS = "starts"
    ENDS = "ends"
    IN = "in"
    EMPTY = "empty"
    NOT_EMPTY = "not_empty"
    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GE = "ge"
    LT = "lt"
    LE = "le"
    BETWEEN = "between"
    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"
    ANY_OF = "any_of"
    ALL_OF = "all_of"
    NONE_OF = "none_of"
    ON = "on"
    BEFORE = "before"
    AFTER = "after"
    TODAY = "today"
    YESTERDAY = "yesterday"
    TOMORROW = "tomorrow"
    IN_LAST = "in_last"
    IN_NEXT = "in_next"
    MORE_THAN_AGO = "more_than_ago"
    MORE_THAN_AHEAD = "more_than_ahead"
    ANNIVERSARY = "anniversary"
    ANNIVERSARY_IN = "anniversary_in"
    UNASSIGNED = "unassigned"
    ASSIGNED = "assigned"
    ACTIVE_IN = "active_in"
    NOT_ACTIVE_IN = "not_active_in"
    EVER_IN = "ever_in"
    NEVER_IN = "never_in"
    COMPLETED = "completed"
    NOT_COMPLETED = "not_completed"
    HAPPENED = "happened"
    NOT_HAPPENED = "not_happened"
    CHANGED = "changed"
    CHANGED_TO = "changed_to"
    CHANGED_FROM_TO = "changed_from_to"


class Arity(StrEnum):
    """How many values an operator takes.

    `span` is one text such as "7 days". `times` is three values, the kind of an event, a count and a span:
    ["tag.added", 3, "30 days"]. `change` is the key of a field, its new value or its old and new value
    (depending on the operator; "" is empty) and a span: ["city", "Rome", "7 days"]."""

    NONE = "none"
    ONE = "one"
    TWO = "two"
    MANY = "many"
    SPAN = "span"
    TIMES = "times"
    CHANGE = "change"


ARITY: dict[Op, Arity] = {
    **dict.fromkeys(Op, Arity.ONE),
    **dict.fromkeys(
        (
            Op.EMPTY,
            Op.NOT_EMPTY,
            Op.TRUE,
            Op.FALSE,
            Op.UNKNOWN,
            Op.TODAY,
            Op.YESTERDAY,
            Op.TOMORROW,
            Op.ANNIVERSARY,
            Op.UNASSIGNED,
            Op.ASSIGNED,
        ),
        Arity.NONE,
    ),
    **dict.fromkeys((Op.IN, Op.ANY_OF, Op.ALL_OF, Op.NONE_OF), Arity.MANY),
    **dict.fromkeys((Op.ACTIVE_IN, Op.NOT_ACTIVE_IN, Op.EVER_IN, Op.NEVER_IN), Arity.MANY),
    **dict.fromkeys((Op.COMPLETED, Op.NOT_COMPLETED), Arity.MANY),
    **dict.fromkeys(
        (Op.IN_LAST, Op.IN_NEXT, Op.MORE_THAN_AGO, Op.MORE_THAN_AHEAD, Op.ANNIVERSARY_IN), Arity.SPAN
    ),
    **dict.fromkeys((Op.HAPPENED, Op.NOT_HAPPENED), Arity.TIMES),
    **dict.fromkeys((Op.CHANGED, Op.CHANGED_TO, Op.CHANGED_FROM_TO), Arity.CHANGE),
    Op.BETWEEN: Arity.TWO,
}

# Operators whose result can change just because time passes.
TIMED = frozenset(
    {
        *(Op.TODAY, Op.YESTERDAY, Op.TOMORROW, Op.IN_LAST, Op.IN_NEXT, Op.MORE_THAN_AGO, Op.MORE_THAN_AHEAD),
        *(Op.ANNIVERSARY, Op.ANNIVERSARY_IN, Op.HAPPENED, Op.NOT_HAPPENED),
        *(Op.CHANGED, Op.CHANGED_TO, Op.CHANGED_FROM_TO),
    }
)

Value = bool | int | float | str | None | list[bool | int | float | str]


class Predicate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="predicate"):
    """One condition on one field. `value` is null, one value or a list, as `ARITY[op]` says; numbers may
    be text (all a form sends), dates are ISO text; tags, members, segments and workflows are ids."""

    field: Annotated[str, Meta(examples=["city", "tags"])]
    op: Op
    value: Annotated[Value, Meta(examples=["Oslo", 3, "7 days", ["CA", "NY"], None])] = None

    def __post_init__(self) -> None:
        if self.field == "history" and isinstance(self.value, list):
            values = [FORMER_KINDS.get(str(value), value) for value in self.value]
            msgspec.structs.force_setattr(self, "value", values)


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="group"):
    """All or any of its items. An empty group is true for *all* and false for *any*."""

    match: Literal["all", "any"] = "all"
    items: list["Filter"] = []


Filter = Group | Predicate


class FilterError(ValueError):
    """A filter that cannot be compiled. `problems` maps a path such as "items.0.value" to a message."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


def predicates(expression: Filter | None) -> list[Predicate]:
    """Every predicate of the tree, from left to right."""
    if expression is None:
        return []
    if isinstance(expression, Predicate):
        return [expression]
    return [predicate for item in expression.items for predicate in predicates(item)]
