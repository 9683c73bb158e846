"""Read, write, validate and describe filters.

URLs and forms send `f=field:op:value`, repeated, with `match=all|any`: `parse` reads them and `to_items`
writes them. `filter_problems` validates a filter before it is saved, `normal` puts it into the stored form,
and `describe` turns it into a sentence."""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar
from urllib.parse import unquote
from uuid import UUID

import msgspec

from app.filters.analysis import MOST_UNFOLDED, TOO_LARGE, Filters, size_of
from app.filters.ast import ARITY, Arity, Filter, FilterError, Group, Op, Predicate, Value, predicates
from app.filters.event_kinds import EVENT_KINDS
from app.filters.field_values import option_of
from app.filters.fields import CHOICE_TYPES, Fields, FieldSpec, FieldType, nearest, operator
from app.filters.values import Change, Operands, fold, read

OperandT = TypeVar("OperandT")
LISTS = (Arity.MANY, Arity.TWO, Arity.TIMES, Arity.CHANGE)
DEEPEST = 5
MOST_PREDICATES = 100
# Field types whose conditions hold ids, and the noun that messages use for the referenced item.
REFERENCE_TYPES = {
    FieldType.TAGS: "A tag",
    FieldType.USER: "A member",
    FieldType.SEGMENTS: "A segment",
    FieldType.WORKFLOWS: "A workflow",
}


def parse(items: Iterable[str], match: str = "all") -> Group:
    """The filter of a URL or a form. Each item is `field:op` or `field:op:value`; lists are separated by
    commas, with `%2C` for a comma and `%25` for a percent sign inside an item; an item that starts with `{`
    is a nested group as JSON. Blank items are ignored. Raises FilterError, paths "f.<index>" and "match"."""
    problems: dict[str, str] = {}
    conditions: list[Filter] = []
    for index, item in enumerate(items):
        try:
            if item.strip():
                conditions.append(_item(item))
        except ValueError as error:
            problems[f"f.{index}"] = str(error)
    if match not in ("all", "any"):
        problems["match"] = "“match” must be “all” or “any”."
    if problems:
        raise FilterError(problems)
    return Group("any" if match == "any" else "all", conditions)


def _item(item: str) -> Filter:
    if item.startswith("{"):
        try:
            return msgspec.json.decode(item.encode("utf-8", "replace"), type=Group | Predicate)
        except (msgspec.DecodeError, RecursionError):
            raise ValueError("This filter isn't a valid JSON condition group.") from None
    field, _, rest = item.partition(":")
    name, _, value = rest.partition(":")
    operators = [op.value for op in Op]
    if name not in operators:
        close = nearest(name, operators)
        hint = f" Did you mean “{close}”?" if close else " Use the form field:operator:value."
        raise ValueError(f"There is no operator “{name[:40]}”.{hint}")
    return Predicate(field.strip(), Op(name), _value(Op(name), value))


def _value(op: Op, text: str) -> Value:
    if ARITY[op] in LISTS:
        # The old or new value of a change may be empty.
        blank = ARITY[op] is Arity.CHANGE
        return [unquote(part) for part in text.split(",") if blank or part.strip()]
    return text if ARITY[op] is not Arity.NONE and text != "" else None


def to_items(expression: Filter | None) -> tuple[Literal["all", "any"], list[str]]:
    """`match` and the items of `f` that `parse` turns back into this filter."""
    if expression is None:
        return "all", []
    group = expression if isinstance(expression, Group) else Group("all", [expression])
    return group.match, [_item_text(item) for item in group.items]


def _item_text(item: Filter) -> str:
    if isinstance(item, Group):
        return msgspec.json.encode(item).decode()
    arity = ARITY[item.op]
    if arity is Arity.NONE:
        return f"{item.field}:{item.op.value}"
    return f"{item.field}:{item.op.value}:{','.join(_value_texts(item.value, arity))}"


def _value_texts(value: Value, arity: Arity) -> list[str]:
    parts = [_shown(part) for part in (value if isinstance(value, list) else [value])]
    if arity in LISTS:
        return [escape_list_part(part) for part in parts]
    return parts


def escape_list_part(part: str) -> str:
    """Escapes one item of a comma-separated list."""
    return part.replace("%", "%25").replace(",", "%2C")


def unescape_list_part(part: str) -> str:
    """The reverse of `escape_list_part`; other percent signs stay."""
    return part.replace("%2C", ",").replace("%2c", ",").replace("%25", "%")


def stored_form(expression: Filter, fields: Fields) -> Filter:
    """The filter in its stored form, with ids in canonical form."""
    if isinstance(expression, Group):
        return Group(expression.match, [stored_form(item, fields) for item in expression.items])
    value, spec = expression.value, fields.get(expression.field)
    if ARITY[expression.op] is Arity.CHANGE and isinstance(value, list) and value:
        spec = fields.get(str(value[0]))
    if spec is None or spec.type not in REFERENCE_TYPES:
        return expression
    normalized: Value = [_normal_id(item) for item in value] if isinstance(value, list) else _normal_id(value)
    return Predicate(expression.field, expression.op, normalized)


def _normal_id(value: OperandT) -> OperandT | str:
    try:
        return str(UUID(value)) if isinstance(value, str) else value
    except ValueError:
        return value


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def filter_problems(
    expression: Filter | None, fields: Fields, tags: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The problems of a filter: path ("items.0.value") to message; empty when it compiles. Deleted tags are
    reported when `tags` (id to name) is given; deleted members, segments and workflows when the fields have
    their names."""
    problems: dict[str, str] = {}
    if too_deep(expression):  # before any recursive function
        return {"": f"Groups can be nested at most {DEEPEST} levels deep."}
    if expression is not None:
        _check(expression, fields, tags, "", 1, problems)
        if len(predicates(expression)) > MOST_PREDICATES:
            problems[""] = f"A filter can have at most {MOST_PREDICATES} conditions."
        elif not problems:
            problems.update(_too_much(expression, fields))
    return problems


def too_deep(expression: Filter | None) -> bool:
    """Whether groups are nested too deep for recursive functions."""
    level, depth = [expression], 0
    while level and depth <= DEEPEST + 1:
        level = [item for group in level if isinstance(group, Group) for item in group.items]
        depth += 1
    return bool(level)


def _too_much(expression: Filter, fields: Fields) -> dict[str, str]:
    spec = fields.get(FieldType.SEGMENTS.value)
    filters: Filters = spec.filters if spec is not None else {}
    try:
        whole = size_of(expression, filters)
    except FilterError as error:
        return error.problems
    return {"": TOO_LARGE} if whole.conditions > MOST_UNFOLDED else {}


def _check(
    expression: Filter,
    fields: Fields,
    tags: Mapping[str, str] | None,
    path: str,
    depth: int,
    problems: dict[str, str],
) -> None:
    if isinstance(expression, Group):
        if depth > DEEPEST:
            problems[path.rstrip(".")] = f"Groups can be nested at most {DEEPEST} levels deep."
            return
        for index, item in enumerate(expression.items):
            _check(item, fields, tags, f"{path}items.{index}.", depth + 1, problems)
        return
    try:
        spec, values = read(expression, fields)
    except FilterError as error:
        problems.update({path + name: text for name, text in error.problems.items()})
        return
    if values and isinstance(values[0], Change):
        spec, values = fields[values[0].field], _change_operands(values[0], fields[values[0].field])
    names = tags if spec.type is FieldType.TAGS else spec.names
    if names is not None and any(str(value) not in names for value in values if isinstance(value, UUID)):
        problems[f"{path}value"] = (
            f"{REFERENCE_TYPES[spec.type]} of this condition no longer exists. Choose another."
        )
    if spec.type in CHOICE_TYPES:
        try:
            for value in values:
                option_of(str(value), spec)
        except ValueError as error:
            problems[f"{path}value"] = str(error)


def _change_operands(change: Change, spec: FieldSpec) -> Operands:
    """The members or options in a condition on a change; options are compared without case."""
    operands = [str(operand) for operand in (change.old, change.new) if operand]
    if change.type is FieldType.USER:
        return tuple(UUID(operand) for operand in operands)
    options = {fold(option): option for option in spec.options}
    return tuple(options.get(operand, operand) for operand in operands) if change.type in CHOICE_TYPES else ()


def describe(expression: Filter | None, fields: Fields, tags: Mapping[str, str] | None = None) -> str:
    """The filter as a sentence without a period: "State is CA and Tags include any of vip"."""
    if isinstance(expression, Predicate):
        return _sentence(expression, fields, tags or {})
    if expression is None or not expression.items:
        return "No contacts" if expression is not None and expression.match == "any" else "All contacts"
    joint = " and " if expression.match == "all" else " or "
    parts = [describe(item, fields, tags) for item in expression.items]
    nested = [
        f"({part})" if isinstance(item, Group) else part
        for item, part in zip(expression.items, parts, strict=True)
    ]
    return parts[0] if len(parts) == 1 else joint.join(nested)


def _sentence(predicate: Predicate, fields: Fields, tags: Mapping[str, str]) -> str:
    return " ".join(parts_of(predicate, fields, tags)).rstrip()


def parts_of(predicate: Predicate, fields: Fields, tags: Mapping[str, str]) -> tuple[str, str, str]:
    """A condition as text: its field, its operator, its values."""
    spec = fields.get(predicate.field)
    if spec is None:
        return "(a field that no longer exists)", predicate.op.value.replace("_", " "), ""
    if ARITY[predicate.op] is Arity.CHANGE:
        return _change(predicate, fields)
    operator_spec = operator(spec, predicate.op)
    label = (
        operator_spec.label.replace(" (or is empty)", "")
        if operator_spec
        else predicate.op.value.replace("_", " ")
    )
    return spec.label, label, value_text(predicate, spec, tags)


def _change(predicate: Predicate, fields: Fields) -> tuple[str, str, str]:
    """A condition on a change as text: "City", "changed", "from Paris to Rome in the last 30 days"."""
    values = predicate.value if isinstance(predicate.value, list) else [predicate.value]
    key, *texts, within = [*(_shown(value) for value in values), "…", "…"][: max(2, len(values))]
    spec = fields.get(key)
    names = (spec.names if spec is not None else None) or {}
    shown = [names.get(side.lower(), side) if side.strip() else "empty" for side in texts]
    sides = [f"from {shown[0]}", f"to {shown[1]}"] if len(shown) == 2 else [f"to {name}" for name in shown]
    label = spec.label if spec is not None else "(a field that no longer exists)"
    return label, "changed", " ".join([*sides, "in the last", within])


def value_text(predicate: Predicate, spec: FieldSpec, tags: Mapping[str, str]) -> str:
    """The values of a condition as text."""
    if ARITY[predicate.op] is Arity.NONE:
        return ""
    values = predicate.value if isinstance(predicate.value, list) else [predicate.value]
    if ARITY[predicate.op] is Arity.TIMES:
        kind, often, within = [*(_shown(value) for value in values), "…", "…", "…"][:3]
        return f"{often} times in the last {within}: {EVENT_KINDS.get(kind, kind)}"
    names = (tags if spec.type is FieldType.TAGS else spec.names) or {}
    if spec.type in REFERENCE_TYPES:
        gone = f"({REFERENCE_TYPES[spec.type].lower()} that no longer exists)"
        return ", ".join(names.get(str(value).lower(), gone) for value in values)
    joint = " and " if predicate.op is Op.BETWEEN else ", "
    return joint.join(_shown(value) or "…" for value in values)
