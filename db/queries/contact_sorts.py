"""In which orders lists of contacts are sorted, as SQL: `sort_of` finds the order by a field's key.

Contacts without a value come last, in both directions, in the order of their ids. No index has that order
when it is descending, so a page is read in *parts*: those with a value in its order, then those without. The
owner is a sort of one part for each member. `parts_of` says which of them a page reads."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec

from app.filters.fields import NUMBER_TYPES, TEXT_FIELDS, Fields, FieldSpec
from app.filters.search_text import folded

SortValue: TypeAlias = str | datetime | float
Cursor: TypeAlias = tuple[SortValue | None, UUID]
_COLUMNS = {
    **{name: f"contacts.{name}_key" for name in ("name", "email", "phone", "company", "city", "state")},
    **{name: f"contacts.{name}" for name in ("email_consent", "sms_consent")},
}
_CREATED = "contacts.created_at"
_MOMENTS = ("created_at", "updated_at")
_MEMBER = "owner"
VALUED = ("all", "valued")  # the parts whose contacts are in the order of their values


class Sort(msgspec.Struct, frozen=True):
    """An order: SQL of the value and its type. `nullable` is whether contacts may have none. With `groups`
    the contacts are in the order of these ids, of which the value is one."""

    expression: str
    kind: type[SortValue] = str
    nullable: bool = True
    groups: tuple[str, ...] = ()


BY_CREATION = Sort(_CREATED, datetime, nullable=False)


class Part(msgspec.Struct, frozen=True):
    """Contacts that come one after another. `state` says which: "all", "valued", "empty", or "group" for
    those with `value`. They follow one another by the value if there may be several, and by id, in the
    direction of `down`; `cursor` is where they begin."""

    state: str
    down: bool
    value: str | None = None
    cursor: Cursor | None = None


def sort_of(key: str, fields: Fields) -> Sort | None:
    """The order by a field's key, or by "name"; None if lists have no such order."""
    if key in _MOMENTS:
        return Sort(f"contacts.{key}", datetime, nullable=False)
    if key in _COLUMNS:
        return Sort(_COLUMNS[key], nullable=not key.endswith("consent"))
    if key in TEXT_FIELDS:
        return Sort(f"folded(contacts.{key})")
    if key == _MEMBER:
        return Sort("contacts.owner_id", groups=_by_name(fields[key].names or {}))
    spec = fields.get(key)
    return _custom(spec) if spec is not None and spec.custom_id is not None else None


def sort_keys(fields: Fields) -> Sequence[str]:
    """The keys of all orders."""
    return ["name", *(key for key in fields if sort_of(key, fields) is not None)]


def _by_name(names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda user_id: (folded(names[user_id]), user_id)))


def _custom(spec: FieldSpec) -> Sort:
    if spec.slot:
        return Sort(f"contacts.value_{spec.slot}", float)
    value = f"contacts.fields -> '{UUID(spec.custom_id)}'"
    text = f"contacts.fields ->> '{UUID(spec.custom_id)}'"
    if spec.type in NUMBER_TYPES:
        return Sort(f"case when jsonb_typeof({value}) = 'number' then ({text})::float8 end", float)
    return Sort(f"folded({text})")


def parts_of(sort: Sort, *, descending: bool, backwards: bool, cursor: Cursor | None) -> list[Part]:
    """The parts from the cursor on, in the order in which a page reads them. Raises LookupError when no part
    has the value of the cursor: the member has left, or the list was sorted differently."""
    down = descending != backwards
    if sort.groups:
        groups = sort.groups[::-1] if descending else sort.groups
        parts = [Part("group", down, value) for value in groups] + [Part("empty", down)]
    elif sort.nullable:
        parts = [Part("valued", down), Part("empty", down)]
    else:
        parts = [Part("all", down)]
    if backwards:
        parts.reverse()
    if cursor is None:
        return parts
    first = next((n for n, part in enumerate(parts) if _holds(part, cursor[0])), None)
    if first is None:
        raise LookupError(cursor[0])
    return [msgspec.structs.replace(parts[first], cursor=cursor), *parts[first + 1 :]]


def _holds(part: Part, value: SortValue | None) -> bool:
    if part.state == "group":
        return part.value == value
    return (part.state == "empty") is (value is None)


def read_order(sort: Sort, part: Part) -> str:
    """ORDER BY."""
    direction = "desc" if part.down else "asc"
    by_value = f"{sort.expression} {direction}, " if part.state in VALUED else ""
    return f"{by_value}contacts.id {direction}"


def is_in(sort: Sort, part: Part, value: str, after: tuple[str, str]) -> str:
    """The condition of the part's contacts, "" for none, beginning with AND. `value` names the group in the
    SQL, `after` the parts of the cursor."""
    conditions = {
        "all": "",
        "valued": f" and {sort.expression} is not null",
        "empty": f" and {sort.expression} is null",
        "group": f" and {sort.expression} = {value}",
    }[part.state]
    if part.cursor is None:
        return conditions
    sign = "<" if part.down else ">"
    if part.state in VALUED:
        return f"{conditions} and ({sort.expression}, contacts.id) {sign} ({', '.join(after)})"
    return f"{conditions} and contacts.id {sign} {after[1]}"


def selected(sort: Sort, part: Part) -> str:
    """The sort value as a column."""
    value = {"empty": "null", "group": f"{sort.expression}::text"}.get(part.state, sort.expression)
    return f"{value} as sort_value"
