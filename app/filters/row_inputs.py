"""What the rows of a filter show in a form: for the chosen field only its operators, for the operator the
inputs that it needs. `draw_filter` is the entry point, templates/shared/filter_box.html has the markup."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from app.filters.ast import ARITY, Arity, Op
from app.filters.event_kinds import EVENT_KINDS
from app.filters.fields import OPERATORS, UNITS, Fields, FieldSpec, FieldType, offered, recorded_fields
from app.filters.parse import DEEPEST, REFERENCE_TYPES
from app.filters.rows import Tags, moment, names_of
from app.filters.values import WHOLE_DAYS, fold
from app.json_types import Json, JsonObject

MOST_LISTED = 30  # choices that are all shown; more are searched
MOST_FOUND = 20
USUAL_AMOUNT = "30"  # days, for a new condition on a period
GONE_FIELD = "(a field that no longer exists)"
Choice: TypeAlias = tuple[str, str]  # value and label
InputKind: TypeAlias = Literal["text", "number", "date", "time", "lines", "select", "checks", "radios"]
_KIND_OF_TYPE: dict[str, InputKind] = {
    "number": "number",
    "money": "number",
    "date": "date",
    "datetime": "date",
}


class ValueInput(msgspec.Struct):
    """One input of a row: its `name` beneath the row's, the words in front of it (`before`), what it holds
    (`values`), and what can be chosen (`options`)."""

    name: str
    kind: InputKind
    label: str
    values: list[str] = []
    options: list[Choice] = []
    before: str = ""
    hint: str = ""

    @property
    def value(self) -> str:
        return self.values[0] if self.values else ""


class FilterRow(msgspec.Struct):
    """One condition, or with `match` a group of them. `at` is its input name, `number` says where it stands,
    as in 2.1. With `searched` its choices can be searched: `search` is what was typed, `unlisted` the number
    of choices that are not shown, and `makes` the name of a tag that can be created."""

    at: str
    number: str
    field: str = ""
    label: str = ""
    offered: bool = True
    op: str = ""
    operators: list[Choice] = []
    inputs: list[ValueInput] = []
    searched: bool = False
    search: str = ""
    unlisted: int = 0
    makes: str = ""
    match: str = ""
    rows: list["FilterRow"] = []
    deepest: bool = False


class FilterBox(msgspec.Struct):
    """A filter in a form: its input name, its rows, and the fields to choose from, in groups."""

    name: str
    match: str
    rows: list[FilterRow]
    fields: list[tuple[str, list[Choice]]]


def draw_filter(
    name: str, values: Json, fields: Fields, tags: Tags, *, makes_tags: bool = False
) -> FilterBox:
    """The filter with the input name `name`. `values` are rows as `rows_of` writes them, or as they were
    typed; without rows it shows an empty one. `makes_tags` offers to create a tag that is missing."""
    drawer = _Drawer(fields, tags, makes_tags)
    stored = values if isinstance(values, dict) else {}
    rows = drawer.rows(_objects(stored.get("rows")) or [{}], f"{name}.rows", "", 1)
    return FilterBox(name, _match(stored), rows, field_groups(fields))


def field_groups(fields: Fields) -> list[tuple[str, list[Choice]]]:
    """The fields that conditions can be made on, in groups."""
    groups: dict[str, list[Choice]] = {"Contact": [], "Custom fields": [], "Activity": []}
    for spec in offered(fields):
        group = "Activity" if not spec.has_value else "Custom fields" if spec.custom_id else "Contact"
        groups[group].append((spec.key, spec.label))
    return [(label, choices) for label, choices in groups.items() if choices]


def _match(values: JsonObject) -> str:
    return "any" if values.get("match") == "any" else "all"


def _objects(value: Json) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(row: JsonObject, name: str) -> str:
    value = row.get(name)
    return "" if value is None or isinstance(value, list | dict) else str(value)


def _texts(row: JsonObject, name: str) -> list[str]:
    value = row.get(name)
    items = value if isinstance(value, list) else [value]
    return [str(item) for item in items if item not in (None, "")]


class _Drawer:
    """Draws the rows of one filter."""

    def __init__(self, fields: Fields, tags: Tags, makes_tags: bool) -> None:
        self.fields, self.tags, self.makes_tags = fields, tags, makes_tags

    def rows(self, rows: Sequence[JsonObject], at: str, number: str, depth: int) -> list[FilterRow]:
        return [
            self._row(row, f"{at}.{index}", f"{number}{index + 1}", depth) for index, row in enumerate(rows)
        ]

    def _row(self, row: JsonObject, at: str, number: str, depth: int) -> FilterRow:
        inside = _objects(row.get("rows"))
        if inside or row.get("match"):
            drawn = self.rows(inside or [{}], f"{at}.rows", f"{number}.", depth + 1)
            return FilterRow(at, number, match=_match(row), rows=drawn, deepest=depth + 1 >= DEEPEST)
        key = _text(row, "field")
        spec, chosen = self.fields.get(key), _text(row, "op")
        if spec is None:
            operators = [(chosen, chosen.replace("_", " "))] if chosen else []
            return FilterRow(at, number, key, GONE_FIELD, not key, chosen, operators)
        if _text(row, "was") not in ("", key):
            row, chosen = {"field": key}, ""  # the values were those of another field
        label = f"{spec.label} (retired)" if spec.retired else spec.label
        return self._condition(row, FilterRow(at, number, key, label, not spec.retired), spec, chosen)

    def _condition(self, row: JsonObject, drawn: FilterRow, spec: FieldSpec, chosen: str) -> FilterRow:
        by_name = {operator.op.value: operator for operator in OPERATORS[spec.type]}
        drawn.operators = [(value, operator.label) for value, operator in by_name.items()]
        if chosen and chosen not in by_name:
            drawn.operators.append((chosen, f"{chosen.replace('_', ' ')} (choose another)"))
            drawn.op = chosen
            return drawn
        operator = by_name.get(chosen) or OPERATORS[spec.type][0]
        drawn.op = operator.op.value
        drawn.inputs = self._inputs(row, spec, operator.op)
        names = self._names(spec)
        if names is not None and operator.arity in (Arity.ONE, Arity.MANY):
            drawn.inputs = [self._picker(row, drawn, spec, operator.arity, names)]
        return drawn

    def _names(self, spec: FieldSpec) -> Mapping[str, str] | None:
        """The values to choose from, with their labels; None when any may be typed."""
        if spec.type in REFERENCE_TYPES:
            return names_of(spec, self.tags)
        if not spec.options or spec.type is FieldType.HISTORY:
            return None
        return {
            option: option if spec.custom_id else option.replace("_", " ").capitalize()
            for option in spec.options
        }

    def _inputs(self, row: JsonObject, spec: FieldSpec, op: Op) -> list[ValueInput]:
        arity = ARITY[op]
        if arity is Arity.SPAN:
            return _period(row, WHOLE_DAYS if op is Op.ANNIVERSARY_IN else UNITS.get(spec.type, ()))
        if arity is Arity.TIMES:
            return _times(row, spec)
        if arity is Arity.CHANGE:
            return self._change(row, op)
        if arity is Arity.TWO:
            low = _scalar(row, spec, op, "low", "From", [_text(row, "low")])
            return [*low, *_scalar(row, spec, op, "high", "To", [_text(row, "high")], "and")]
        values = [*_texts(row, "values"), *filter(None, map(str.strip, _text(row, "lines").splitlines()))]
        if arity is Arity.MANY:
            return _lines(values)
        return _scalar(row, spec, op, "values", "Value", values[:1]) if arity is Arity.ONE else []

    def _picker(
        self, row: JsonObject, drawn: FilterRow, spec: FieldSpec, arity: Arity, names: Mapping[str, str]
    ) -> ValueInput:
        """The choices of a row. A short list shows all of them; of a long one those that are chosen and those
        that the search finds."""
        chosen, many = _texts(row, "values"), arity is Arity.MANY
        labels = {
            value: names.get(value) or names.get(value.lower()) or _gone(value, spec) for value in chosen
        }
        short = len(names) <= MOST_LISTED
        if short and not many:
            options = [*names.items(), *((value, labels[value]) for value in chosen if value not in names)]
            return ValueInput("values", "select", "Value", chosen, [("", "Choose…"), *options])
        drawn.searched, drawn.search = not short or spec.type is FieldType.TAGS, _text(row, "search").strip()
        folded = fold(drawn.search)
        matching = sorted(
            (
                (value, label)
                for value, label in names.items()
                if folded in fold(label) and value not in labels
            ),
            key=lambda choice: fold(choice[1]),
        )
        shown = matching if short else matching[:MOST_FOUND]
        drawn.unlisted = len(matching) - len(shown)
        exists = any(fold(label) == folded for label in names.values())
        if self.makes_tags and spec.type is FieldType.TAGS and drawn.search and not exists:
            drawn.makes = " ".join(drawn.search.split())
        hint = "" if names or drawn.makes else "There is nothing to choose from yet."
        kind: InputKind = "checks" if many else "radios"
        return ValueInput(
            "values", kind, "Values" if many else "Value", chosen, [*labels.items(), *shown], hint=hint
        )

    def _change(self, row: JsonObject, op: Op) -> list[ValueInput]:
        """The field that changed, its old and new value as far as the operator takes them, and the period."""
        choices = list(recorded_fields(self.fields, _text(row, "of")).items())
        key = _text(row, "of") or choices[0][0]
        if key not in dict(choices):
            choices.append((key, GONE_FIELD))
        inputs = [ValueInput("of", "select", "Field that changed", [key], choices)]
        sides: dict[Op, tuple[Choice, ...]] = {
            Op.CHANGED_TO: (("new", "to"),),
            Op.CHANGED_FROM_TO: (("old", "from"), ("new", "to")),
        }
        for name, word in sides.get(op, ()):
            inputs.append(self._side(row, self.fields.get(key), name, word))
        return [*inputs, *_period(row, UNITS[FieldType.HISTORY], "in the last")]

    def _side(self, row: JsonObject, spec: FieldSpec | None, name: str, word: str) -> ValueInput:
        label, value = "Old value" if name == "old" else "New value", _text(row, name)
        options: list[Choice] = []
        if spec is not None and spec.type is FieldType.BOOLEAN:
            options = [("yes", "yes"), ("no", "no")]
            value = {"true": "yes", "false": "no"}.get(value, value)
        elif spec is not None and (names := self._names(spec)) is not None and len(names) <= MOST_LISTED:
            options = list(names.items())
            value = next((option for option in names if fold(option) == fold(value)), value)
        if options:
            is_offered = value == "" or value in dict(options)
            extra = [] if is_offered or spec is None else [(value, _gone(value, spec))]
            return ValueInput(name, "select", label, [value], [("", "empty"), *options, *extra], word)
        kind = _KIND_OF_TYPE.get(spec.type.value, "text") if spec is not None else "text"
        if kind == "date" and len(value) > len("2026-03-31"):
            kind = "text"  # a date input can't show the time
        return ValueInput(name, kind, label, [value], before=word, hint="blank = empty")


def _gone(value: str, spec: FieldSpec) -> str:
    if spec.type in REFERENCE_TYPES:
        return f"({REFERENCE_TYPES[spec.type].lower()} that no longer exists)"
    return f"{value} (no longer an option)"


def _scalar(
    row: JsonObject, spec: FieldSpec, op: Op, name: str, label: str, values: list[str], before: str = ""
) -> list[ValueInput]:
    """One value that is typed; a moment as a date with an optional time beside it."""
    kind = _KIND_OF_TYPE.get(spec.type.value, "text")
    if spec.type is not FieldType.DATETIME:
        return [ValueInput(name, kind, label, values, before=before, hint=spec.currency)]
    clock = "time" if name == "values" else f"{name}_time"
    day, _, time = moment("".join(values), _text(row, clock)).replace(" ", "T").partition("T")
    if time and (op is Op.ON or len(time) != len("09:30")):
        # Seconds or an offset from UTC: only text keeps them.
        return [ValueInput(name, "text", label, [f"{day}T{time}"], before=before)]
    date = ValueInput(name, "date", label, [day], before=before)
    return [date] if op is Op.ON else [date, ValueInput(clock, "time", f"{label}: time, optional", [time])]


def _lines(values: Iterable[str]) -> list[ValueInput]:
    """Several texts, one in each line. One that has line breaks itself can only be removed."""
    texts = list(dict.fromkeys(values))
    broken = [value for value in texts if "\n" in value]
    removable = [ValueInput("values", "checks", "Values", broken, [(value, value) for value in broken])]
    plain = "\n".join(value for value in texts if "\n" not in value)
    lines = ValueInput("lines", "lines", "Values, one in each line", [plain], hint="One value in each line")
    return [*(removable if broken else []), lines]


def _period(row: JsonObject, units: Sequence[str], before: str = "") -> list[ValueInput]:
    unit = _text(row, "unit") or "days"
    amount = _text(row, "amount") if "amount" in row else USUAL_AMOUNT
    choices = [(name, name) for name in dict.fromkeys([*units, unit])]
    return [
        ValueInput("amount", "number", "Length of the period", [amount], before=before),
        ValueInput("unit", "select", "Unit of time", [unit], choices),
    ]


def _times(row: JsonObject, spec: FieldSpec) -> list[ValueInput]:
    events = [(kind, EVENT_KINDS.get(kind, kind)) for kind in spec.options]
    event = _text(row, "event")
    if event and event not in spec.options:
        events.append((event, event))
    often = ValueInput("times", "number", "Number of times", [_text(row, "times") or "1"])
    [amount, unit] = _period(row, UNITS[FieldType.HISTORY], "times in the last")
    return [often, amount, unit, ValueInput("event", "select", "Event", [event], events, "of")]
