"""The form that adds or changes conditions of the contact list.

`edited_query` reads the list from what was sent, `condition_editor` builds the form, and `apply_rows` puts
its rows into the list's filter."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

import msgspec

from app.contacts.filter_schemas import ConditionEditor, FilterForm
from app.contacts.listing import Query, read_filter
from app.errors import Invalid
from app.filters.ast import FilterError, Group
from app.filters.fields import Fields
from app.filters.parse import filter_problems, parse, to_items, too_deep
from app.filters.row_inputs import draw_filter
from app.filters.rows import RowReader, row_of, rows_of
from app.json_types import JsonObject

NEW_GROUP = "group"
NO_CONDITION = "Choose a field."
NO_LIST = "This isn't the query string of the contact list."
REPEATED = ("f", "columns")


def edited_query(state: str) -> Query:
    """The list with this query string. Raises `Invalid`."""
    names: dict[str, list[str]] = {}
    for name, value in parse_qsl(state):
        names.setdefault(name, []).append(value)
    list_parts = {
        name: names[name] if name in REPEATED else names[name][-1]
        for name in Query.__struct_fields__
        if name in names
    }
    try:
        return msgspec.convert(list_parts, Query, strict=False)
    except msgspec.ValidationError:
        raise Invalid({"state": NO_LIST}) from None


class ReadConditions(msgspec.Struct, frozen=True):
    """The conditions of a list: as items of `f` and as a filter. When the added one is wrong, it is left out:
    `typed` are its rows, and `problem` says what is wrong."""

    items: list[str]
    group: Group
    typed: JsonObject | None = None
    problem: str = ""


def read_conditions(
    items: list[str], added: list[str], match: str, fields: Fields, tags: Mapping[str, str], *, refuse: bool
) -> ReadConditions:
    """Reads items of `f` and one that is added to them. Raises `Invalid`; for the added one only with
    `refuse`."""
    try:
        return ReadConditions([*items, *added], read_filter([*items, *added], match, fields, tags))
    except Invalid as error:
        if refuse or not added:
            raise
        problem = " ".join(error.errors.values())
    return ReadConditions(items, read_filter(items, match, fields, tags), rows_of(parse(added)), problem)


def condition_editor(
    query: Query,
    fields: Fields,
    tags: Mapping[str, str],
    *,
    add: str = "",
    edit: int | None = None,
    values: JsonObject | None = None,
    makes_tags: bool,
) -> ConditionEditor:
    """The form for the condition with the number `edit`, or for a new one on the field `add` ("group" for a
    group of conditions). `values` are its rows as they were typed."""
    if edit is not None and not 0 <= edit < len(query.f):
        edit = None
    if values is None:
        values = {"rows": [_first_row(query, add if add in (*fields, NEW_GROUP) else "", edit)]}
    box = draw_filter("filter", values | {"match": query.match}, fields, tags, makes_tags=makes_tags)
    return ConditionEditor(box, edit, urlencode(query.pairs()), query.href())


def _first_row(query: Query, add: str, edit: int | None) -> JsonObject:
    if edit is None:
        return {"match": "any", "rows": [{}, {}]} if add == NEW_GROUP else {"field": add}
    try:
        [item] = parse([query.f[edit]]).items
    except (FilterError, ValueError):
        return {}
    return {} if too_deep(item) else row_of(item)


def apply_rows(sent: FilterForm, fields: Fields, tags: Mapping[str, str]) -> Query:
    """The list with the rows of the form in place of the condition that they edit. Raises `Invalid`, with a
    message for each row that is wrong."""
    query, reader = edited_query(sent.state), RowReader(fields, tags)
    try:
        group = reader.filter(sent.filter, "filter")
    except FilterError as error:
        raise Invalid(error.problems) from None
    problems = filter_problems(group, fields, tags)
    errors = reader.errors((f"filter.{path}".rstrip("."), text) for path, text in problems.items())
    if errors:
        raise Invalid(errors)
    place = len(query.f) if sent.edit is None else min(sent.edit, len(query.f))
    if group is None and place == len(query.f):
        raise Invalid({"filter.rows.0.field": NO_CONDITION})
    before, after = query.f[:place], query.f[place + 1 :]
    own = [item for item in to_items(group or Group())[1] if item not in before and item not in after]
    return msgspec.structs.replace(query, f=[*before, *own, *after])
