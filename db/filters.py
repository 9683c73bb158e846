"""Compiles filters to SQL conditions with bound values, for sets of contacts; `where` is the entry point.
`app.filters.evaluate` gives the same answer for a single contact; `tests/integration/db/test_filters.py`
compares the two.

No condition is ever null: each one handles the empty field, so that AND, OR and NOT need no special case."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    FromClause,
    Numeric,
    Text,
    Uuid,
    and_,
    collate,
    column,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    table,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.filters import ranges
from app.filters.analysis import asks_time
from app.filters.ast import Filter, Op, Predicate
from app.filters.change_predicates import CONTACT_UPDATED
from app.filters.evaluate import Inside, unfolded
from app.filters.fields import NUMBER_TYPES, TEXT_TYPES, FieldCatalog, Fields, FieldSpec, FieldType
from app.filters.phone_conditions import PHONES, operand_of
from app.filters.values import Change, Operands, Times, read
from db.condition_cache import ConditionCache
from db.indexed_conditions import (
    has_no_text,
    indexed,
    may_be_day,
    may_be_moment,
    may_be_number,
    may_match,
    phone_matches,
    unindexed,
)
from db.json_conditions import (
    BYTES,
    Clause,
    astext,
    folded_text,
    includes,
    is_any_of,
    json_equals,
    moment_is,
    number_in,
    text_in,
)

MOST_JOINED = 5
_WITHOUT_SPAN = (Op.EMPTY, Op.NOT_EMPTY, Op.ANNIVERSARY, Op.ANNIVERSARY_IN)

contact_tags = table("contact_tags", column("account_id"), column("contact_id"), column("tag_id"))
enrollments = table(
    "enrollments", column("account_id"), column("contact_id"), column("workflow_id"), column("status")
)
events = table(
    "events",
    column("account_id"),
    column("subject_id"),
    column("kind"),
    column("occurred_at"),
    column("data", JSONB),
)


class _Scope:
    """The context of a compilation: the contacts, the account's time zone and the current time."""

    def __init__(self, contacts: FromClause, zone: ZoneInfo, now: datetime) -> None:
        self.contacts = contacts
        self.columns = contacts.c
        self.zone = zone
        self.now = now

    def text(self, spec: FieldSpec) -> ColumnElement[str]:
        """The field as text; empty when it is null or not text."""
        if spec.custom_id is None:
            return func.coalesce(self.columns[spec.key], "")
        return text_in(self.columns.fields[spec.custom_id])

    def number(self, spec: FieldSpec) -> ColumnElement[Decimal]:
        """The field as an exact number; null when it is not a number."""
        return number_in(self.columns.fields[spec.custom_id])


def where(
    expression: Filter | None, contacts: FromClause, fields: Fields, zone: ZoneInfo, now: datetime
) -> Clause:
    """The SQL condition of the filter on `contacts` (the table, or an alias of it). Days are days in `zone`,
    the account's time zone. Raises FilterError like `compile_filter`. The caller restricts the query to the
    account.

    A condition that doesn't depend on the time is kept for the next use with the same `fields`, the object:
    as long as the account's catalog is the same, its pages compile a filter once."""
    if expression is None:
        return true()
    scope = _Scope(contacts, zone, now)
    if not isinstance(fields, FieldCatalog) or asks_time(expression, fields):
        return _clause(expression, fields, scope)
    build = partial(_clause, expression, fields, scope)
    return _compiled.get(msgspec.json.encode(expression), (contacts, zone), fields, build)


_compiled = ConditionCache()


def _clause(expression: Filter, fields: Fields, scope: _Scope, inside: Inside = ()) -> Clause:
    if isinstance(expression, Predicate):
        spec, values = read(expression, fields)
        if spec.type is FieldType.SEGMENTS:
            return _segments(scope, spec, expression.op, values, fields, inside)
        return _COMPILERS[spec.type](scope, spec, expression.op, values)
    parts = [_clause(item, fields, scope, inside) for item in expression.items]
    return and_(true(), *parts) if expression.match == "all" else or_(false(), *parts)


def _text(scope: _Scope, spec: FieldSpec, op: Op, values: Operands) -> Clause:
    value = scope.text(spec)
    if op is Op.EMPTY:
        return indexed(has_no_text(scope.columns, spec), value == "")
    if op is Op.NOT_EMPTY:
        return unindexed(value != "")
    texts = [str(item) for item in values]
    if spec.key == "email" and op is Op.IS:
        # Emails are stored in normalized form, so the unique index answers this query.
        return and_(scope.columns.email.is_not(None), scope.columns.email == texts[0])
    folded = folded_text(value, texts)
    if spec.key in PHONES and any(map(operand_of, texts)):
        exact = phone_matches(value, op, texts, lambda text: folded == literal(text))
        return indexed(may_match(scope.columns, spec, op, texts), exact)
    first = literal(texts[0])
    tests: dict[Op, Callable[[], Clause]] = {
        Op.IS: lambda: folded == first,
        Op.IS_NOT: lambda: folded != first,
        Op.CONTAINS: lambda: func.strpos(folded, first) > 0,
        Op.NOT_CONTAINS: lambda: func.strpos(folded, first) == 0,
        Op.STARTS: lambda: func.left(folded, len(texts[0])) == first,
        Op.ENDS: lambda: func.right(folded, len(texts[0])) == first,
        Op.IN: lambda: is_any_of(folded, texts, Text()),
    }
    return indexed(may_match(scope.columns, spec, op, texts), tests[op]())


def _number(scope: _Scope, spec: FieldSpec, op: Op, values: Operands) -> Clause:
    limits = [float(item) for item in values if isinstance(item, Decimal)]
    wider = may_be_number(scope.columns, spec, op, limits)
    return indexed(wider, _compared_number(scope.number(spec), op, values))


def _compared_number(value: ColumnElement[Decimal], op: Op, values: Operands) -> Clause:
    if op is Op.EMPTY:
        return value.is_(None)
    if op is Op.NOT_EMPTY:
        return value.is_not(None)
    limits = [literal(item, Numeric) for item in values]
    first = limits[0]
    if op is Op.NE:
        return or_(value.is_(None), value != first)
    tests: dict[Op, Callable[[], Clause]] = {
        Op.EQ: lambda: value == first,
        Op.GT: lambda: value > first,
        Op.GE: lambda: value >= first,
        Op.LT: lambda: value < first,
        Op.LE: lambda: value <= first,
        Op.BETWEEN: lambda: value.between(first, limits[1]),
    }
    return and_(value.is_not(None), tests[op]())


def _boolean(scope: _Scope, spec: FieldSpec, op: Op, _values: Operands) -> Clause:
    value = scope.columns.fields[spec.custom_id]
    json_type = func.coalesce(func.jsonb_typeof(value), "")
    if op is Op.UNKNOWN:
        return unindexed(json_type != "boolean")
    return unindexed(and_(json_type == "boolean", astext(value) == op.value))


def _select(scope: _Scope, spec: FieldSpec, op: Op, values: Operands) -> Clause:
    if spec.custom_id is not None:
        return unindexed(_chosen(scope.text(spec), op, values))
    return _chosen(scope.columns[spec.key], op, values)  # never null


def _chosen(value: ColumnElement[str], op: Op, values: Operands) -> Clause:
    if op is Op.EMPTY:
        return value == ""
    if op is Op.NOT_EMPTY:
        return value != ""
    is_selected = is_any_of(value, [str(item) for item in values], Text())
    return is_selected if op is Op.ANY_OF else not_(is_selected)


def _multi_select(scope: _Scope, spec: FieldSpec, op: Op, values: Operands) -> Clause:
    return unindexed(includes(scope.columns.fields[spec.custom_id], op, values))


def _ids(values: Operands) -> list[UUID]:
    return sorted({item for item in values if isinstance(item, UUID)})


def _tags(scope: _Scope, _spec: FieldSpec, op: Op, values: Operands) -> Clause:
    columns = contact_tags.c
    # Correlated explicitly, because a statement that does not select from contacts would join all of them.
    contact_tag_ids = (
        select(columns.tag_id)
        .where(columns.account_id == scope.columns.account_id, columns.contact_id == scope.columns.id)
        .correlate(scope.contacts)
    )
    tag_ids = _ids(values)
    if op is Op.EMPTY:
        return ~contact_tag_ids.exists()
    if op is Op.NOT_EMPTY:
        return contact_tag_ids.exists()
    selected = contact_tag_ids.where(is_any_of(columns.tag_id, tag_ids, Uuid()))
    if op is Op.ALL_OF and len(tag_ids) <= MOST_JOINED:
        # Each one a join, which may begin with the rarest tag.
        return and_(true(), *(contact_tag_ids.where(columns.tag_id == tag_id).exists() for tag_id in tag_ids))
    if op is Op.ALL_OF:
        return selected.with_only_columns(func.count()).scalar_subquery() == len(tag_ids)
    return selected.exists() if op is Op.ANY_OF else ~selected.exists()


def _user(scope: _Scope, spec: FieldSpec, op: Op, values: Operands) -> Clause:
    if spec.custom_id is not None:
        return unindexed(_custom_user(scope.text(spec), op, values))
    value = scope.columns[f"{spec.key}_id"]
    if op is Op.UNASSIGNED:
        return value.is_(None)
    if op is Op.ASSIGNED:
        return value.is_not(None)
    return and_(value.is_not(None), is_any_of(value, _ids(values), Uuid()))


def _custom_user(value: ColumnElement[str], op: Op, values: Operands) -> Clause:
    if op is Op.UNASSIGNED:
        return value == ""
    if op is Op.ASSIGNED:
        return value != ""
    return is_any_of(value, [str(item) for item in _ids(values)], Text())


def _date(scope: _Scope, spec: FieldSpec, op: Op, values: Operands) -> Clause:
    exact = _compared_date(scope, spec, op, values)
    if op in _WITHOUT_SPAN:
        return unindexed(exact)
    first, last = ranges.days(op, values, scope.now, scope.zone)
    return indexed(may_be_day(scope.columns, spec, first, last), exact)


def _compared_date(scope: _Scope, spec: FieldSpec, op: Op, values: Operands) -> Clause:
    value = collate(scope.text(spec), BYTES)
    if op is Op.EMPTY:
        return value == ""
    if op is Op.NOT_EMPTY:
        return value != ""
    if op in (Op.ANNIVERSARY, Op.ANNIVERSARY_IN):
        day = collate(func.substr(scope.text(spec), 6), BYTES)
        spans = ranges.anniversaries(op, values, scope.now, scope.zone)
        return and_(day != "", or_(*(and_(day >= first, day <= last) for first, last in spans)))
    first, last = ranges.days(op, values, scope.now, scope.zone)
    return and_(value != "", value >= first, value <= last)


def _datetime(scope: _Scope, spec: FieldSpec, op: Op, values: Operands) -> Clause:
    if spec.custom_id is not None:
        exact = moment_is(scope.text(spec), op, values, scope.now, scope.zone)
        if op in _WITHOUT_SPAN:
            return unindexed(exact)
        start, end = ranges.instants(op, values, scope.now, scope.zone)
        return indexed(may_be_moment(scope.columns, spec, start, end), exact)
    value = scope.columns[spec.key]
    if op is Op.EMPTY:
        return value.is_(None)
    if op is Op.NOT_EMPTY:
        return value.is_not(None)
    if op in (Op.ANNIVERSARY, Op.ANNIVERSARY_IN):
        return and_(value.is_not(None), _yearly(value, op, values, scope))
    start, end = ranges.instants(op, values, scope.now, scope.zone)
    parts: list[Clause] = [value.is_not(None)]
    if start is not None:
        parts.append(value >= start)
    if end is not None:
        parts.append(value < end)
    return and_(*parts)


def _yearly(value: ColumnElement[datetime], op: Op, values: Operands, scope: _Scope) -> Clause:
    """Within one of many spans, which are passed as two arrays to keep the statement short."""
    spans = ranges.anniversary_instants(op, values, scope.now, scope.zone)
    edges = [[span[at] for span in spans] for at in (0, 1)]
    rows = (
        func.unnest(*(literal(edge, ARRAY(DateTime(timezone=True))) for edge in edges))
        .table_valued("start", "end", name="spans", joins_implicitly=True)
        .render_derived()
    )
    return select(literal(1)).select_from(rows).where(value >= rows.c.start, value < rows.c.end).exists()


def _segments(
    scope: _Scope, spec: FieldSpec, op: Op, values: Operands, fields: Fields, inside: Inside
) -> Clause:
    within = or_(
        false(),
        *(
            _clause(segment_filter, fields, scope, nested_inside)
            for segment_filter, nested_inside in unfolded(spec, values, inside)
        ),
    )
    return within if op is Op.ANY_OF else not_(within)


def _workflows(scope: _Scope, _spec: FieldSpec, op: Op, values: Operands) -> Clause:
    columns = enrollments.c
    query = select(literal(1)).where(
        columns.account_id == scope.columns.account_id,
        columns.contact_id == scope.columns.id,
        is_any_of(columns.workflow_id, _ids(values), Uuid()),
    )
    if op in (Op.ACTIVE_IN, Op.NOT_ACTIVE_IN):
        query = query.where(columns.status == "active")
    elif op in (Op.COMPLETED, Op.NOT_COMPLETED):
        query = query.where(columns.status == "completed")
    enrolled = query.select_from(enrollments).correlate(scope.contacts).exists()
    return enrolled if op in (Op.ACTIVE_IN, Op.EVER_IN, Op.COMPLETED) else ~enrolled


def _history(scope: _Scope, _spec: FieldSpec, op: Op, values: Operands) -> Clause:
    columns, history = events.c, values[0]
    if not isinstance(history, Times | Change):
        raise TypeError(history)
    start, end = ranges.instants(Op.IN_LAST, (history.within,), scope.now, scope.zone)
    contact_events = (
        select(func.count())
        .select_from(events)
        .where(
            columns.account_id == scope.columns.account_id,
            columns.subject_id == scope.columns.id,
            columns.kind == (history.kind if isinstance(history, Times) else CONTACT_UPDATED),
            columns.occurred_at >= start,
            columns.occurred_at < end,
        )
        .correlate(scope.contacts)
    )
    if isinstance(history, Change):
        changes = columns.data["changes"]
        sides = ((0, history.old), (1, history.new))
        sides_match = [
            json_equals(changes[history.field][at], expected, history.type, scope.now, scope.zone)
            for at, expected in sides
            if expected is not None
        ]
        return (
            contact_events.with_only_columns(literal(1))
            .where(changes.has_key(history.field), *sides_match)
            .exists()
        )
    count = contact_events.scalar_subquery()
    return count >= history.count if op is Op.HAPPENED else count < history.count


_COMPILERS: dict[FieldType, Callable[[_Scope, FieldSpec, Op, Operands], Clause]] = {
    **dict.fromkeys(TEXT_TYPES, _text),
    **dict.fromkeys(NUMBER_TYPES, _number),
    FieldType.BOOLEAN: _boolean,
    FieldType.SELECT: _select,
    FieldType.MULTI_SELECT: _multi_select,
    FieldType.TAGS: _tags,
    FieldType.USER: _user,
    FieldType.DATE: _date,
    FieldType.DATETIME: _datetime,
    FieldType.WORKFLOWS: _workflows,
    FieldType.HISTORY: _history,
}
