"""The values that the forms of the sheets show: from a stored config, or as they were typed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from app.engine.core.steps import Branch, StepConfig, WaitFor, Webhook
from app.engine.core.triggers import Trigger
from app.filters.ast import ARITY, Arity, Filter, Group, Predicate
from app.filters.fields import (
    OPERATORS,
    Fields,
    FieldSpec,
    FieldType,
    field_key,
    ids_by_name,
    recorded_fields,
)
from app.filters.parse import LISTS, REFERENCE_TYPES, describe, escape_list_part
from app.json_types import Json, JsonObject
from app.web.form_decoder import decode_form
from app.web.request import Request
from app.workflows.schemas.pages import FieldChoice
from app.workflows.use_cases.input_reader import BuilderNames, is_id, things

Values: TypeAlias = JsonObject
Scalar: TypeAlias = bool | int | float | str | None


def filter_values(expression: Filter | None, lookup: BuilderNames) -> Values:
    """A filter as rows; groups inside it are kept as they are and shown as a sentence."""
    if expression is None:
        return {"type": "rows", "match": "all", "rows": []}
    group = expression if isinstance(expression, Group) else Group("all", [expression])
    return {"type": "rows", "match": group.match, "rows": [_row(item, lookup) for item in group.items]}


def _row(item: Filter, lookup: BuilderNames) -> Values:
    if isinstance(item, Group):
        return {
            "nested": msgspec.json.encode(item).decode(),
            "sentence": describe(item, lookup.fields, lookup.tags),
        }
    return {"field": item.field, "op": item.op.value, "value": _text(item, lookup)}


def _text(item: Predicate, lookup: BuilderNames) -> str:
    values: Sequence[Scalar] = item.value if isinstance(item.value, list) else [item.value]
    spec = lookup.fields.get(item.field)
    if spec is not None and spec.type in REFERENCE_TYPES:
        values = _names(values, things(spec, lookup.tags))
    if ARITY[item.op] is Arity.NONE:
        return ""
    if ARITY[item.op] is Arity.CHANGE and values and (changing := lookup.fields.get(str(values[0]))):
        # A name if it belongs to one field only; else the key, which is unique.
        key, *operands = values
        shown = changing.slug if field_key(changing.slug, lookup.fields) == key else key
        values = [shown, *_names(operands, changing.names or {})]
    texts = ["" if value is None else str(value) for value in values]
    return (
        ", ".join(escape_list_part(text) for text in texts) if ARITY[item.op] in LISTS else ", ".join(texts)
    )


def _names(ids: Sequence[Scalar], names: Mapping[str, str]) -> Sequence[Scalar]:
    """By name if the name is read back as the same thing; else by id."""
    texts = [_name(value, names) for value in ids]
    # A name may look like a list of several others.
    return ids if len(ids) > 1 and ids_by_name(", ".join(map(str, texts)), names) else texts


def _name(item_id: Scalar, names: Mapping[str, str]) -> Scalar:
    key = str(item_id).lower()
    name = names.get(key, "").strip()
    plain = name and "," not in name and not is_id(name)
    return name if plain and ids_by_name(name, names) == [key] else item_id


def config_values(config: StepConfig | Trigger, lookup: BuilderNames) -> Values:
    """A config as its form shows it: tags by name, filters as rows."""
    values: Values = msgspec.to_builtins(config)
    if "tag" in values:
        values["tag"] = lookup.tags.get(str(values["tag"]), "")
    if isinstance(config, WaitFor) and config.about in lookup.tags:
        values["about"] = lookup.tags[config.about]
    if isinstance(config, Branch):
        values["branches"] = [
            {"key": lane.key, "name": lane.name, "filter": filter_values(lane.filter, lookup)}
            for lane in config.branches
        ]
    if isinstance(config, Webhook):
        values["more_headers"] = [{"name": name, "value": text} for name, text in config.headers.items()]
    if "filter" in values:
        values["filter"] = filter_values(getattr(config, "filter", None), lookup)
    return values


class _Typed:
    """The texts of a form that was sent, as `decode_form` reads them."""

    def __init__(self, values: dict[str, str | list[str]]) -> None:
        self.values = values

    def keys(self) -> Iterable[str]:
        return self.values.keys()

    def getall(self, key: str) -> list[str]:
        value = self.values[key]
        return value if isinstance(value, list) else [value]


def refused_values(request: Request, form: type[msgspec.Struct]) -> Values | None:
    """The values of a refused form; None when the form is shown for the first time."""
    again = request.scope["state"].get("form")
    return decode_form(_Typed(again.values), form) if again is not None and again.values else None


def one_row(request: Request, form: type[msgspec.Struct], more: str, less: str) -> Values | None:
    """The typed values with one more row or one less; None when the request did not ask for that."""
    values = request.typed() if more or less else {}
    if not values:
        return None
    lifted: Values = decode_form(_Typed(values), form)
    if more:
        _grow(lifted, more.split("."))
    if less:
        _shrink(lifted, less.split("."))
    return lifted


def _grow(values: Json, path: list[str]) -> None:
    """Adds an empty row to the list at this path; does nothing where the values have no such place."""
    at = values
    for name in path[:-1]:
        if isinstance(at, list) and name.isdigit() and int(name) < len(at):
            at = at[int(name)]
        elif isinstance(at, dict):
            at = at.setdefault(name, {})
        else:
            return
    rows = at.setdefault(path[-1], []) if isinstance(at, dict) else None
    if isinstance(rows, list):
        rows.append({})


def _shrink(values: Json, path: list[str]) -> None:
    """Removes the row at this path, if there is one."""
    at = values
    for name in path[:-1]:
        if isinstance(at, list) and name.isdigit() and int(name) < len(at):
            at = at[int(name)]
        else:
            at = at.get(name) if isinstance(at, dict) else None
    if isinstance(at, list) and path[-1].isdigit() and int(path[-1]) < len(at):
        del at[int(path[-1])]


def field_choices(fields: Fields) -> list[FieldChoice]:
    """The fields and their operators."""
    return [
        FieldChoice(
            spec.key,
            spec.label,
            spec.type.value,
            [(operator.op.value, operator.label) for operator in OPERATORS[spec.type]],
            _suggested(spec, fields),
            spec.writable,
        )
        for spec in fields.values()
    ]


def _suggested(spec: FieldSpec, fields: Fields) -> list[str]:
    """Suggestions for the first value: options, names, and for history the event kinds and the fields."""
    if spec.type is FieldType.HISTORY:
        return [*spec.options, *(fields[key].slug for key in recorded_fields(fields))]
    return list(spec.options or (spec.names or {}).values())


def all_operators() -> list[tuple[str, list[tuple[str, str]]]]:
    """Every operator once, by type of field. The list is the same for every row, so that a morph of the page
    never changes the selection."""
    groups: list[tuple[str, list[tuple[str, str]]]] = []
    used: set[str] = set()
    for kind, known_ones in OPERATORS.items():
        fresh = [
            (operator.op.value, operator.label) for operator in known_ones if operator.op.value not in used
        ]
        used |= {value for value, _ in fresh}
        if fresh:
            groups.append((kind.value.capitalize(), fresh))
    return groups


# One row more or less: the sheet is drawn anew, because a morph would keep the values of the row before.
FRESH = {"HX-Retarget": "#sheet", "HX-Reselect": "#sheet", "HX-Reswap": "outerHTML"}
