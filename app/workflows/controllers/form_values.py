"""The values that the forms of the sheets show: from a stored config, or as they were typed."""

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from app.engine.core.steps import KINDS, Branch, StepConfig, WaitFor, Webhook
from app.engine.core.triggers import TRIGGERS, Trigger
from app.filters.fields import OPERATORS, Fields, FieldSpec, FieldType, offered, recorded_fields
from app.filters.row_inputs import FilterBox, draw_filter
from app.filters.rows import rows_of
from app.json_types import Json, JsonObject
from app.workflows.schemas.pages import FieldChoice
from app.workflows.use_cases.input_reader import BuilderNames

Values: TypeAlias = JsonObject


def config_values(config: StepConfig | Trigger, lookup: BuilderNames) -> Values:
    """A config as its form shows it: tags by name, filters as rows."""
    values: Values = msgspec.to_builtins(config)
    if "tag" in values:
        values["tag"] = lookup.tags.get(str(values["tag"]), "")
    if isinstance(config, WaitFor) and config.about in lookup.tags:
        values["about"] = lookup.tags[config.about]
    if isinstance(config, Branch):
        values["branches"] = [
            {"key": lane.key, "name": lane.name, "filter": rows_of(lane.filter)} for lane in config.branches
        ]
    if isinstance(config, Webhook):
        values["more_headers"] = [{"name": name, "value": text} for name, text in config.headers.items()]
    if "filter" in values:
        values["filter"] = rows_of(getattr(config, "filter", None))
    return values


def filter_boxes(kind: str, values: Values, lookup: BuilderNames) -> dict[str, FilterBox]:
    """What the form of an entry condition, a trigger or a kind of step shows of its filters, by input
    name."""
    config = values.get("config")
    config = config if isinstance(config, dict) else {}
    if kind == "entry":
        places = {"filter": values.get("filter")}
    elif kind == "branch":
        lanes = config.get("branches")
        lanes = lanes if isinstance(lanes, list) and lanes else [{}]
        places = {
            f"config.branches.{number}.filter": lane.get("filter") if isinstance(lane, dict) else None
            for number, lane in enumerate(lanes)
        }
    elif kind in TRIGGERS or "filter" in KINDS[kind].config.__struct_fields__:
        places = {"config.filter": config.get("filter")}
    else:
        places = {}
    return {
        name: draw_filter(name, stored, lookup.fields, lookup.tags, makes_tags=True)
        for name, stored in places.items()
    }


def field_choices(fields: Fields, values: Json) -> list[FieldChoice]:
    """The fields and their operators: those to choose from, and retired ones that the values name."""
    return [
        FieldChoice(
            spec.key,
            spec.label,
            spec.type.value,
            [(operator.op.value, operator.label) for operator in OPERATORS[spec.type]],
            _suggested(spec, fields),
            spec.writable,
        )
        for spec in offered(fields, *_texts_in(values))
    ]


def _texts_in(values: Json) -> Iterator[str]:
    """All texts in the values of a form."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, list | dict):
        for inner in values.values() if isinstance(values, dict) else values:
            yield from _texts_in(inner)


def _suggested(spec: FieldSpec, fields: Fields) -> list[str]:
    """Suggestions for the first value: options, names, and for history the event kinds and the fields."""
    if spec.type is FieldType.HISTORY:
        return [*spec.options, *(fields[key].slug for key in recorded_fields(fields))]
    return list(spec.options or (spec.names or {}).values())


def all_operators() -> list[tuple[str, list[tuple[str, str]]]]:
    """Every operator once, by type of field."""
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
