"""Filters as rows of a form: `RowReader` reads rows into a filter, `rows_of` writes a filter as rows.

A row is one condition, or a group of rows. Each part of a condition has an input of its own. Scripts may send
`value` instead: one text, with commas between several values, as in the URL of the contact list."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from app.filters.ast import ARITY, Arity, Filter, FilterError, Group, Op, Predicate, Value
from app.filters.fields import Fields, FieldSpec, FieldType, field_key, ids_by_name, nearest
from app.filters.parse import DEEPEST, LISTS, REFERENCE_TYPES, stored_form, unescape_list_part
from app.json_types import Json, JsonObject

MOST_ROWS = 100
Line = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(max_length=50_000)]
Tags: TypeAlias = Mapping[str, str]
Values: TypeAlias = list[bool | int | float | str]


class RowInput(msgspec.Struct, forbid_unknown_fields=True):
    """One condition as a form shows it; a row without a field is left out. With `rows` it is a group of them.

    `values` are the values to compare with, `lines` the same as one text with a value in each line, and
    `time` belongs to a date in `values`. A range has `low` and `high`, a period `amount` and `unit`, a
    condition on history an `event` and how many `times`, a change its field (`of`), `old` and `new` value.
    `search` is what was typed to find a value. `was` is the field for which the form showed the inputs.

    Scripts may send `value` instead: several values are separated by commas, with `%2C` for a comma and `%25`
    for a percent sign inside one. Things are named by id, or by a name that is unique. `nested` is a group as
    JSON."""

    field: Line = ""
    op: Annotated[str, Meta(max_length=40)] = ""
    value: Annotated[str, Meta(max_length=10_000)] = ""
    nested: Text = ""
    was: Line = ""
    values: Annotated[list[Line], Meta(max_length=500)] = []
    lines: Text = ""
    time: Line = ""
    low: Line = ""
    low_time: Line = ""
    high: Line = ""
    high_time: Line = ""
    event: Line = ""
    times: Line = ""
    of: Line = ""
    old: Line = ""
    new: Line = ""
    amount: Line = ""
    unit: Line = ""
    search: Line = ""
    match: Literal["", "all", "any"] = ""
    rows: Annotated[list["RowInput"], Meta(max_length=MOST_ROWS)] = []

    @property
    def is_group(self) -> bool:
        return bool(self.rows or self.match)


class RowsInput(msgspec.Struct, forbid_unknown_fields=True, tag="rows"):
    """The rows of a form."""

    match: Literal["all", "any"] = "all"
    rows: Annotated[list[RowInput], Meta(max_length=MOST_ROWS)] = []


FilterInput = RowsInput | Group | Predicate


class RowButtons(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Buttons that change what the form shows; nothing is saved. `more` and `group` name a list that gets one
    more row or a group of rows, `less` a row to remove, `show` a row that is drawn again after another field
    or operator was chosen, `make` a row whose `search` becomes a tag."""

    more: Line = ""
    group: Line = ""
    less: Line = ""
    show: Line = ""
    make: Line = ""


def names_of(spec: FieldSpec, tags: Tags) -> Mapping[str, str]:
    """The names, by id, of the things that conditions on this field name."""
    return tags if spec.type is FieldType.TAGS else spec.names or {}


class RowReader:
    """Reads filters as forms and scripts send them. `problems` are messages by input name; `renamed` maps the
    stored path of a condition ("filter.items.0") to the input that holds it ("filter.rows.2")."""

    def __init__(self, fields: Fields, tags: Tags) -> None:
        self.fields, self.tags = fields, tags
        self.problems: dict[str, str] = {}
        self.renamed: dict[str, str] = {}

    def filter(self, expression: FilterInput | None, path: str) -> Filter | None:
        """The typed filter; None when a form has no rows left. Raises FilterError for one that is nested too
        deep."""
        if isinstance(expression, RowsInput):
            items = self._items(expression.rows, path, path)
            return Group(expression.match, items) if items else None
        if expression is None:
            return None
        self._shallow(expression, path)
        return self._named(expression, path)

    def _items(self, rows: Sequence[RowInput], typed: str, stored: str) -> list[Filter]:
        """The conditions of the rows beneath the input `typed`, which are stored beneath `stored`."""
        items: list[Filter] = []
        for number, row in enumerate(rows):
            at, place = f"{typed}.rows.{number}", f"{stored}.items.{len(items)}"
            self.renamed[place] = at
            if row.is_group:
                inside = self._items(row.rows, at, place)
                items += [Group("any" if row.match == "any" else "all", inside)] if inside else []
            elif row.field or row.nested:
                items.append(self._row(row, at))
        return items

    @staticmethod
    def _shallow(expression: Filter, path: str) -> None:
        """Raises FilterError for a filter too deep for recursive functions."""
        level, depth = [expression], 0
        while level:
            level = [item for group in level if isinstance(group, Group) for item in group.items]
            depth += 1
            if depth > DEEPEST + 1:
                raise FilterError({path: f"Groups can be nested at most {DEEPEST} levels deep."})

    def _row(self, row: RowInput, path: str) -> Filter:
        if row.nested:
            try:
                nested: Filter = msgspec.json.decode(row.nested.encode(), type=Group | Predicate)
                self._shallow(nested, path)
                return self._named(nested, path)
            except (msgspec.DecodeError, RecursionError) as error:
                self.problems[path] = f"This isn't a valid group of conditions: {error}"
                return Group()
        spec = self.fields.get(row.field)
        if spec is not None and row.was not in ("", row.field):
            self.problems[f"{path}.op"] = f"You chose another field. Complete the condition on {spec.label}."
            return Predicate(row.field, Op.NOT_EMPTY)
        op = next((operator for operator in Op if operator.value == row.op), None)
        if op is None:
            self.problems[f"{path}.op"] = "Choose an operator."
            return Predicate(row.field, Op.NOT_EMPTY)
        value = self._text_value(op, row.value, spec) if row.value else value_of_row(row, op)
        return self._named(Predicate(row.field, op, value), path)

    def _text_value(self, op: Op, text: str, spec: FieldSpec | None) -> Value:
        whole = text.strip()
        if spec is not None and spec.type in REFERENCE_TYPES and ARITY[op] is Arity.MANY and "," in whole:
            # A name may contain a comma itself.
            return [whole] if ids_by_name(whole, names_of(spec, self.tags)) else _parts(op, text)
        return _parts(op, text)

    def _named(self, expression: Filter, path: str) -> Filter:
        """The filter with the names of tags, members, segments and workflows replaced by their ids, as it is
        stored."""
        return stored_form(self._by_id(expression, path), self.fields)

    def _by_id(self, expression: Filter, path: str) -> Filter:
        if isinstance(expression, Group):
            return Group(
                expression.match,
                [self._by_id(item, f"{path}.items.{index}") for index, item in enumerate(expression.items)],
            )
        spec = self.fields.get(expression.field)
        if ARITY[expression.op] is Arity.CHANGE and isinstance(expression.value, list) and expression.value:
            return Predicate(expression.field, expression.op, self._change(expression.value, path))
        if spec is None or spec.type not in REFERENCE_TYPES or expression.value in (None, ""):
            return expression
        if not isinstance(expression.value, list):
            return Predicate(
                expression.field, expression.op, self._thing_id(spec, str(expression.value), path)
            )
        ids: Values = [self._thing_id(spec, str(item), path) for item in expression.value]
        return Predicate(expression.field, expression.op, ids)

    def _change(self, value: Values, path: str) -> Values:
        """The condition with the field's key instead of its name, and the ids of members instead of their
        names."""
        key = field_key(str(value[0]), self.fields)
        spec = self.fields.get(key)
        operands: Values = value[1:-1]
        if spec is not None and spec.type is FieldType.USER:
            operands = [
                self._thing_id(spec, str(item), path) if str(item).strip() else "" for item in operands
            ]
        return [key, *operands, *value[1:][-1:]]

    def _thing_id(self, spec: FieldSpec, text: str, path: str) -> str:
        names = names_of(spec, self.tags)
        if is_id(text):
            return text
        ids, what = ids_by_name(text, names), REFERENCE_TYPES[spec.type].removeprefix("A ")
        if len(ids) == 1:
            return ids[0]
        if ids:
            message = f"More than one {what} is called “{text[:60]}”. Use the ID instead: {' or '.join(ids)}."
        else:
            close = nearest(text, names.values())
            hint = f" Did you mean “{close}”?" if close else " Create it first, or choose another."
            message = f"There is no {what} “{text[:60]}”.{hint}"
        self.problems.setdefault(f"{path}.value", message)
        return text

    def errors(self, problems: Iterable[tuple[str, str]], prefix: str = "") -> dict[str, str]:
        """All messages under the names of the inputs, those of this reader first. `problems` are messages by
        stored path; `prefix` is what all names begin with."""
        messages = [*self.problems.items(), *((self._input(path), text) for path, text in problems)]
        errors: dict[str, str] = {}
        for name, text in messages:
            errors.setdefault(".".join(part for part in (prefix, name) if part), text)
        return errors

    def _input(self, path: str) -> str:
        for stored in sorted(self.renamed, key=len, reverse=True):  # a group before what is around it
            if path == stored or path.startswith(f"{stored}."):
                return self.renamed[stored] + path[len(stored) :]
        return path


def is_id(text: str) -> bool:
    """Whether a text is read as an id, never as a name."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _parts(op: Op, text: str) -> Value:
    """The value of a row that was sent as one text: a list where the operator takes several, nothing where it
    takes none."""
    arity = ARITY[op]
    if arity is Arity.NONE:
        return None
    if op is Op.CHANGED_TO and text.count(",") > 2:
        # The new value may contain commas itself.
        field, _, rest = text.partition(",")
        return [field.strip(), *(unescape_list_part(part.strip()) for part in rest.rsplit(",", 1))]
    if arity is Arity.CHANGE:
        return [unescape_list_part(part.strip()) for part in text.split(",")]
    if arity in LISTS:
        return [unescape_list_part(part.strip()) for part in text.split(",") if part.strip()]
    return text.strip() or None


def value_of_row(row: RowInput, op: Op) -> Value:
    """The value of a row from its inputs. What is missing is left to the checks of the filter."""
    arity = ARITY[op]
    span = f"{row.amount.strip()} {row.unit or 'days'}" if row.amount.strip() else ""
    if arity is Arity.SPAN:
        return span or None
    if arity is Arity.TWO:
        return [moment(row.low, row.low_time), moment(row.high, row.high_time)]
    if arity is Arity.TIMES:
        return [row.event, row.times.strip(), span]
    if arity is Arity.CHANGE:
        sides = [row.old.strip(), row.new.strip()]
        return [row.of, *sides[{Op.CHANGED: 2, Op.CHANGED_TO: 1}.get(op, 0) :], span]
    values: Values = [*dict.fromkeys([*row.values, *filter(None, map(str.strip, row.lines.splitlines()))])]
    if not values and row.search.strip():
        values = [row.search.strip()]  # a name that was typed in full
    if arity is Arity.MANY or len(values) > 1:
        return values
    return moment(str(values[0]), row.time) or None if arity is Arity.ONE and values else None


def moment(day: str, time: str) -> str:
    """A date with the time of day that was typed beside it, if any."""
    return f"{day.strip()}T{time.strip()}" if day.strip() and time.strip() else day.strip()


def rows_of(expression: Filter | None) -> JsonObject:
    """A filter as the rows of a form."""
    if expression is None:
        return {"type": "rows", "match": "all", "rows": []}
    group = expression if isinstance(expression, Group) else Group("all", [expression])
    return {"type": "rows", "match": group.match, "rows": [row_of(item) for item in group.items]}


def row_of(item: Filter) -> JsonObject:
    """A condition or a group as a row."""
    if isinstance(item, Group):
        return {"match": item.match, "rows": [row_of(inner) for inner in item.items]}
    row: JsonObject = {"field": item.field, "was": item.field, "op": item.op.value}
    values = [_shown(value) for value in (item.value if isinstance(item.value, list) else [item.value])]
    arity = ARITY[item.op]
    if arity is Arity.TWO:
        row |= dict(zip(("low", "high"), values, strict=False))
    elif arity in (Arity.SPAN, Arity.TIMES, Arity.CHANGE):
        names = _NAMES.get(item.op, ("event", "times") if arity is Arity.TIMES else ())
        row |= dict(zip(names, values, strict=False)) | _span(values[-1] if values else "")
    elif arity is not Arity.NONE:
        row["values"] = [value for value in values if value]
    return row


_NAMES: dict[Op, tuple[str, ...]] = {
    Op.CHANGED: ("of",),
    Op.CHANGED_TO: ("of", "new"),
    Op.CHANGED_FROM_TO: ("of", "old", "new"),
}


def _span(text: str) -> JsonObject:
    amount, _, unit = text.strip().partition(" ")
    return {"amount": amount, "unit": f"{unit.strip().lower().removesuffix('s')}s" if unit.strip() else ""}


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def row_at(values: Json, path: str) -> JsonObject | None:
    """The row at this path of a form's values ("config.filter.rows.2"); None when there is none."""
    at: Json = values
    for name in path.split("."):
        if isinstance(at, list):
            at = at[int(name)] if name.isdecimal() and int(name) < len(at) else None
        else:
            at = at.get(name) if isinstance(at, dict) else None
    return at if isinstance(at, dict) else None
