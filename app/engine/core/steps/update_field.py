"""Set, clear, add to or copy a field of the contact."""

from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from app.engine.core.checks import Problems, check_reference, check_templates
from app.engine.core.merge_tags import Output
from app.engine.core.name_lookup import Names, field_label
from app.engine.core.scalars import Line, Text
from app.engine.core.steps.base import (
    Config,
    References,
    Sentence,
    StepKind,
    Templates,
    fail,
    fails_on_long_text,
    set_field,
)
from app.filters.field_values import moment_of, plain_text, value_of, value_text
from app.filters.fields import NUMBER_TYPES, Fields, FieldSpec, FieldType, FieldValue, unknown_field
from app.filters.normalize import normalize_value

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class UpdateField(Config, frozen=True, tag="update_field"):
    """`value` is a template; what it renders to must fit the field's type. Empty text clears. `add` adds a
    number to a number field (an empty one counts as 0); `copy` takes the value of the field `source`."""

    field: Line = ""
    operation: Literal["set", "clear", "add", "copy"] = "set"
    value: Text = ""
    source: Line = ""


def templates(config: UpdateField) -> Templates:
    return {"value": (config.value, Output.TEXT)} if config.operation in ("set", "add") else {}


@fails_on_long_text
def execute(run: "Run", node: "Node") -> int:
    config: UpdateField = node.config
    spec = run.program.fields.get(config.field)
    if spec is None or not spec.writable:
        return fail(run, node, "The step has no field that a step can change.")
    old = run.facts.values.get(spec.key)
    try:
        new = _new_value(run, node, spec, old)
        _require_member(run, spec, new)
    except ValueError as error:
        return fail(run, node, str(error))
    return set_field(run, node, spec.key, old, new)


def _new_value(run: "Run", node: "Node", spec: FieldSpec, old: object) -> FieldValue:
    config: UpdateField = node.config
    facts = run.facts
    if config.operation == "set":
        return normalize_value(spec, node.templates["value"].render(facts), facts.region, facts.zone)
    if config.operation == "clear":
        return None
    if config.operation == "copy":
        text = _as_text(run, spec, run.program.fields.get(config.source), facts.values.get(config.source))
        return normalize_value(spec, text, facts.region, facts.zone)
    amount = value_of(spec, node.templates["value"].render(facts))
    if spec.type not in NUMBER_TYPES or amount is None:
        raise ValueError(f"There is no number to add to {spec.label}.")
    before = old if isinstance(old, int | float) else 0
    # Exact: 0.1 and 0.2 are 0.3.
    return value_of(spec, str(Decimal(repr(before)) + Decimal(repr(amount))))


def _require_member(run: "Run", spec: FieldSpec, new: object) -> None:
    """Raises ValueError for an owner who is not a member of the account."""
    if new is None:
        return
    members = run.around.members
    if spec.type is FieldType.USER and members and new not in [str(member) for member in members]:
        raise ValueError(
            "The chosen owner isn't a member of this account, so the contact can't be assigned to them."
        )


def _as_text(run: "Run", spec: FieldSpec, source: FieldSpec | None, value: object) -> str:
    """A value of the field `source` as text that the field `spec` reads."""
    moment = moment_of(value) if source is not None and source.type is FieldType.DATETIME else None
    if moment is not None and spec.type in (FieldType.DATE, FieldType.DATETIME):
        is_day = spec.type is FieldType.DATE
        return (moment.astimezone(run.facts.zone).date() if is_day else moment).isoformat()
    if isinstance(value, list) and spec.type is FieldType.MULTI_SELECT:
        return "\n".join(map(str, value))  # an option may contain a comma
    if source is None or spec.type in (FieldType.USER, *NUMBER_TYPES):
        return plain_text(value)
    return value_text(source, value, run.facts.zone, run.facts.users)


def describe(config: UpdateField, fields: Fields, _names: Names) -> Sentence:
    label = field_label(config.field, fields)
    match config.operation:
        case "clear":
            return Sentence(f"Clear {label}", "Contact")
        case "add":
            return Sentence(f"Add to {label}", config.value or "No number yet")
        case "copy":
            return Sentence(f"Copy to {label}", f"from {field_label(config.source, fields)}")
    return Sentence(f"Set {label}", config.value or "No value yet")


def validate(config: UpdateField, fields: Fields, names: Names) -> Problems:
    if not config.field:
        yield "field", "Choose a field."
        return
    spec = fields.get(config.field)
    if spec is None:
        yield "field", unknown_field(config.field, fields)
    elif not spec.writable:
        yield "field", f"A step can't change {spec.label}. Choose another field."
    elif config.operation == "copy":
        yield from _check_source(config, fields)
    elif config.operation == "add" and spec.type not in NUMBER_TYPES:
        yield "operation", f"{spec.label} isn't a number, so nothing can be added to it."
    elif config.operation != "clear":
        yield from _check_value(config, spec, fields, names)


def _check_source(config: UpdateField, fields: Fields) -> Problems:
    spec = fields.get(config.source)
    if not config.source:
        yield "source", "Choose the field to copy from."
    elif spec is None:
        yield "source", unknown_field(config.source, fields)
    elif not spec.is_printable:
        yield "source", f"{spec.label} can't be copied. Choose another field."
    elif config.source == config.field:
        yield "source", "Choose a field other than the one being changed."


def _check_value(config: UpdateField, spec: FieldSpec, fields: Fields, names: Names) -> Problems:
    if not config.value.strip():
        adding = "Enter the number to add."
        yield "value", adding if config.operation == "add" else "Enter a value, or choose to clear the field."
    elif "{{" in config.value:
        yield from check_templates(templates(config), fields, names)
    else:
        try:
            value = normalize_value(spec, config.value, "US")  # a phone number fits in any region
        except ValueError as error:
            yield "value", str(error)
            return
        if spec.type is FieldType.USER:
            yield from check_reference(value, names.users, "value", "member")


def references(config: UpdateField) -> References:
    yield "field", config.field
    if config.operation == "copy":
        yield "field", config.source
    if config.operation == "set" and (config.field == "owner" or config.field.startswith("custom.")):
        yield "user", config.value.strip()  # only what is a member's id counts


KIND = StepKind(
    UpdateField,
    label="Update field",
    group="Contact",
    icon="edit",
    tone="quiet",
    hint="Set, clear, add to or copy a field",
    execute=execute,
    describe=describe,
    validate=validate,
    references=references,
    templates=templates,
    changes_contact=True,
    skips_deleted_contact=True,
    needs_members=lambda config: config.field == "owner",
)
