"""The contact list as its URL describes it: search, conditions, sort order, columns.

The `read_…` functions validate the parts of the URL, `condition` turns them into SQL, and the rest builds
what the page shows: condition chips, column headers, the form that adds a condition."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Literal, TypeAlias
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec

from app.contacts.domain import ContactChoice, name_of
from app.contacts.schemas import Chip, ContactView, ListColumn, NewCondition, SelectOption, members_of
from app.errors import Invalid
from app.filters.ast import ARITY, Arity, Filter, FilterError, Group, Op, Predicate, Value
from app.filters.contact_columns import ContactColumns
from app.filters.event_kinds import EVENT_KINDS
from app.filters.fields import (
    CHOICE_TYPES,
    OPERATORS,
    UNITS,
    Fields,
    FieldSpec,
    FieldType,
    ids_by_name,
    nearest,
    recorded_fields,
    unknown_field,
)
from app.filters.parse import REFERENCE_TYPES, describe, filter_problems, parse, parts_of, to_items
from app.work import Work
from db.filters import where
from db.models import Contact
from db.queries.contact_conditions import Clause, live_or_deleted, matches_search
from db.queries.contact_pages import fetch_contact_page
from db.queries.contact_sorts import BY_CREATION, Sort, sort_keys, sort_of

PATH = "/contacts"
DEFAULT_SORT = "-created_at"
DEFAULT_COLUMNS = ("email", "company", "phone", "city", "state", "tags", "updated_at")
LONGEST_SEARCH = 200
SHORT_CHIP = 3  # values of a condition that a chip shows
MOST_CHOICES = 20
# What `fields` may name: the parts of a contact, and what the caller may do from here.
PARTS = (*ContactView.__struct_fields__, "actions")
FIX_SEGMENT = "Open the segment and edit its filter."

QueryValue: TypeAlias = str | bool | int | list[str]


class Query(msgspec.Struct):
    """The query string of the list. `f` holds one condition per item; `segment` is the id of the segment
    whose filter the member is editing."""

    q: str = ""
    f: list[str] = []
    match: Literal["all", "any"] = "all"
    sort: str = DEFAULT_SORT
    columns: list[str] = []
    deleted: bool = False
    limit: int = 0
    fields: str = ""
    segment: str = ""
    count: str = ""

    def pairs(self) -> list[tuple[str, str]]:
        """Names and values of the query string, without defaults and without the cursor."""
        defaults = (
            ("q", self.q, ""),
            ("match", self.match, "all"),
            ("sort", self.sort, DEFAULT_SORT),
            ("columns", ",".join(self.columns), ""),
            ("deleted", "true" if self.deleted else "", ""),
            ("limit", str(self.limit or ""), ""),
            ("fields", self.fields, ""),
            ("segment", self.segment, ""),
            ("count", self.count, ""),
        )
        parts = [(name, value) for name, value, default in defaults if value != default]
        return parts + [("f", item) for item in self.f]

    def href(self, **changes: QueryValue) -> str:
        """The URL with some parts changed; `after` and `before` are added if passed."""
        own = {name: value for name, value in changes.items() if name in self.__struct_fields__}
        page = [(name, str(value)) for name, value in changes.items() if name not in own and value]
        pairs = (msgspec.structs.replace(self, **own) if own else self).pairs() + page
        return _address(PATH, pairs)

    def count_href(self, count: str = "") -> str:
        """The URL that counts the contacts of this list."""
        names = ("q", "f", "match", "deleted")
        pairs = [pair for pair in self.pairs() if pair[0] in names] + [("count", count)] * bool(count)
        return _address(f"{PATH}/count", pairs)


def _address(path: str, pairs: Sequence[tuple[str, str]]) -> str:
    return f"{path}?{'&'.join(_encoded(name, value) for name, value in pairs)}" if pairs else path


def _encoded(name: str, value: str) -> str:
    return urlencode([(name, value)]) if len(value) > LONGEST_SEARCH else _encoded_short(name, value)


@lru_cache(maxsize=2048)  # a page has many links, and most have the same parts
def _encoded_short(name: str, value: str) -> str:
    return urlencode([(name, value)])


def read_filter(items: Sequence[str], match: str, fields: Fields, tags: Mapping[str, str]) -> Group:
    """The conditions in a query string. Raises `Invalid` with a message for each invalid one
    ("f.<index>")."""
    try:
        group = parse(items, match)
    except FilterError as error:
        raise Invalid(error.problems) from None
    problems = filter_problems(group, fields, tags)
    if problems:
        raise Invalid({_form_path(path): text for path, text in problems.items()})
    return group


def _form_path(path: str) -> str:
    parts = path.split(".")
    return f"f.{parts[1]}" if parts[0] == "items" and len(parts) > 1 else "f"


def condition(
    group: Filter, q: str, fields: Fields, zone: ZoneInfo, now: datetime, *, deleted: bool = False
) -> Clause:
    """The SQL condition of the matching contacts. Raises `Invalid` when the filter names a segment that can't
    be evaluated."""
    try:
        clause = live_or_deleted(deleted) & where(group, Contact.__table__, fields, zone, now)
    except FilterError as error:
        raise Invalid(
            {"f": f"A segment in this filter has an invalid condition: {error} {FIX_SEGMENT}"}
        ) from None
    return clause & matches_search(q) if q.strip() else clause


def clean_search(q: str) -> str:
    """The search text without extra spaces. Raises `Invalid`."""
    if len(q) > LONGEST_SEARCH or "\0" in q:
        raise Invalid({"q": f"Search for at most {LONGEST_SEARCH} printable characters."})
    return " ".join(q.split())


async def find_choices(work: Work, q: str) -> list[ContactChoice]:
    """The contacts to choose from in a form of another screen: those that a search of the list finds, newest
    first, at most `MOST_CHOICES`; without text none. Raises `Invalid`."""
    q = clean_search(q)
    if not q:
        return []
    zone = ZoneInfo((await work.accounts.own()).time_zone)
    clause = condition(Group(), q, await work.fields.catalog(), zone, work.now)
    rows, _ = await fetch_contact_page(work.session, clause, BY_CREATION, descending=True, limit=MOST_CHOICES)
    return [choice_of(row) for row in rows]


def choice_of(contact: ContactColumns) -> ContactChoice:
    """A contact as forms offer it."""
    detail = " · ".join(text for text in (contact.email, contact.phone, contact.company) if text)
    return ContactChoice(contact.id, name_of(contact), detail)


def read_sort(sort: str, fields: Fields) -> tuple[Sort, bool]:
    """The order and whether it is descending. Raises `Invalid`."""
    order = sort_of(sort.removeprefix("-"), fields)
    if order is None:
        keys = ", ".join(sort_keys(fields))
        raise Invalid({"sort": f"Sort by one of {keys}, with “-” in front for descending order."})
    return order, sort.startswith("-")


def read_columns(columns: Iterable[str], fields: Fields) -> list[str]:
    """The columns to show, in order, from repeated or comma-separated names. Unknown names are left out,
    since a field may have been deleted after the URL was bookmarked."""
    names = [name.strip() for item in columns for name in item.split(",")]
    return list(dict.fromkeys(name for name in names if name in fields and fields[name].has_value))


def read_parts(names: Iterable[str]) -> list[str]:
    """The parts of a contact that a script asks for, from repeated or comma-separated names. Raises `Invalid`
    for an unknown one, with the nearest name."""
    parts = list(dict.fromkeys(name.strip() for item in names for name in item.split(",") if name.strip()))
    for name in parts:
        if name not in PARTS:
            close = nearest(name, PARTS)
            hint = f" Did you mean “{close}”?" if close else f" Choose from {', '.join(PARTS)}."
            raise Invalid({"fields": f"A contact has no “{name[:60]}”.{hint}"})
    return parts


def added_condition(field: str, op: str, values: Sequence[str], unit: str, fields: Fields) -> list[str]:
    """The condition from `field`, `op`, `value` and `unit`, as items of `f`; empty when no field was chosen.
    Raises `Invalid` for an unknown field, and for an operator that it doesn't have."""
    if not field:
        return []
    spec = fields.get(field)
    if spec is None:
        raise Invalid({"field": unknown_field(field, fields)})
    names = [offered.op.value for offered in OPERATORS[spec.type]]
    if op not in names:
        raise Invalid({"op": f"Choose one of the operators of {spec.label}: {', '.join(names)}."})
    filled = [value for value in values if value.strip()]
    arity = ARITY[Op(op)].value
    value: Value = None
    if arity == "span":
        value = " ".join([*filled[:1], unit or UNITS[spec.type][-1]])
    elif arity == "times":
        value = [*filled[:2], *(f"{amount} {unit or 'days'}" for amount in filled[2:3])]
    elif arity == "change":
        value = [*_change_operand(Op(op), values, unit, fields)]
    elif arity in ("many", "two"):
        value = [part for text in filled for part in _split_values(text, spec)]
    elif arity == "one":
        value = filled[0] if filled else ""
    return to_items(Predicate(field, Op(op), value))[1]


def _change_operand(op: Op, values: Sequence[str], unit: str, fields: Fields) -> list[str]:
    """The operand of a condition on a change. The form always sends the field, the old value, the new value
    and the period; "" is empty. It sends members by name."""
    key, *answers, within = [*values, "", "", "", ""][:4]
    spec = fields.get(key)
    names = (spec.names if spec else None) or {}
    matches = [ids_by_name(answer, names) for answer in answers]
    operands = [ids[0] if len(ids) == 1 else answer for answer, ids in zip(answers, matches, strict=True)]
    return [key, *operands[{Op.CHANGED: 2, Op.CHANGED_TO: 1}.get(op, 0) :], f"{within} {unit or 'days'}"]


def _split_values(text: str, spec: FieldSpec) -> list[str]:
    if spec.type in CHOICE_TYPES or spec.type in REFERENCE_TYPES:
        return [text]
    return [part.strip() for part in text.split(",")]


def chips_of(query: Query, group: Group, fields: Fields, tags: Mapping[str, str]) -> list[Chip]:
    """Each condition as text, with the URL of the list without it."""
    return [_chip(query, index, item, fields, tags) for index, item in enumerate(group.items)]


def _chip(query: Query, index: int, item: Filter, fields: Fields, tags: Mapping[str, str]) -> Chip:
    rest = [text for number, text in enumerate(query.f) if number != index]
    hrefs, sentence = (query.href(f=rest), query.href(edit=str(index))), describe(item, fields, tags)
    if isinstance(item, Group) or item.field not in fields:
        return Chip("Group", "", sentence, *hrefs, sentence)
    field, operator, value = parts_of(item, fields, tags)
    short, values = value, item.value
    if ARITY[item.op] is Arity.MANY and isinstance(values, list) and len(values) > SHORT_CHIP:
        first = Predicate(item.field, item.op, values[:SHORT_CHIP])
        short = f"{parts_of(first, fields, tags)[2]} +{len(values) - SHORT_CHIP}"
    return Chip(field, operator, value, *hrefs, short)


def columns_of(query: Query, fields: Fields) -> list[ListColumn]:
    """The shown columns, the name first."""
    key, descending = query.sort.removeprefix("-"), query.sort.startswith("-")
    columns = [ListColumn("name", "Name", "text")]
    for name in query.columns or DEFAULT_COLUMNS:
        spec = fields[name]
        column = ListColumn(name, spec.label, spec.type.value)
        if spec.custom_id is not None:
            column.currency, column.members = spec.currency, members_of(spec)
        columns.append(column)
    for column in columns:
        name = column.key
        if sort_of(name, fields) is not None:
            column.sorted = ("descending" if descending else "ascending") if name == key else ""
            column.href = query.href(sort=f"-{name}" if column.sorted == "ascending" else name)
    return columns


def new_condition_form(field: str, fields: Fields, tags: Mapping[str, str]) -> NewCondition | None:
    """The inputs of the form that adds a condition on this field; None for an unknown field."""
    spec = fields.get(field)
    if spec is None:
        return None
    values = [SelectOption(option, EVENT_KINDS.get(option, option)) for option in spec.options]
    if spec.type in REFERENCE_TYPES:
        names = tags if spec.type is FieldType.TAGS else spec.names or {}
        values = [SelectOption(item_id, name) for item_id, name in names.items()]
    operators: dict[bool, list[SelectOption]] = {True: [], False: []}
    for operator in OPERATORS[spec.type]:
        operators[operator.arity is Arity.CHANGE].append(SelectOption(operator.op.value, operator.label))
    changing = recorded_fields(fields) if operators[True] else {}
    return NewCondition(
        field,
        spec.label,
        spec.type.value,
        operators[False],
        values,
        list(UNITS.get(spec.type, ())),
        operators[True],
        [SelectOption(key, label) for key, label in changing.items()],
    )
