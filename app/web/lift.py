"""Form text as the nested builtins that a type expects: forms know names and texts, types the rest."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol

import msgspec
from msgspec import inspect

BLANK: Any = object()
TRUE = frozenset({"on", "true", "1", "yes"})
FALSE = frozenset({"off", "false", "0", "no", ""})
TEXTUAL = (inspect.StrType, inspect.AnyType, inspect.LiteralType)
LISTS = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)
Sent = Mapping[str, list[Any]]


class Fields(Protocol):
    """A parsed form: names with one or more values, text or uploaded files."""

    def keys(self) -> Iterable[str]: ...

    def getall(self, key: str) -> list[Any]: ...


def lift(fields: Fields, kind: Any) -> Any:
    """`a.b=1` nests, repeated names make lists, `rows.0.x=1` lists of objects; an empty box is absent (or
    None where the field can be None), an unticked check box is False. Names not asked for are dropped."""
    sent = {name: fields.getall(name) for name in fields.keys()}  # noqa: SIM118 -- iterating repeats names
    lifted = _lift(inspected(kind), "", sent)
    return {} if lifted is BLANK else lifted


@lru_cache(maxsize=1024)
def inspected(kind: Any) -> inspect.Type:
    """msgspec's description of a type, without its outer metadata."""
    return bare(inspect.type_info(kind))


def bare(kind: inspect.Type) -> inspect.Type:
    """A described type without its metadata."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _lift(kind: inspect.Type, key: str, sent: Sent) -> Any:
    kind = bare(kind)
    for described, lifter in LIFTERS:
        if isinstance(kind, described):
            return lifter(kind, key, sent)
    return _text(kind, key, sent)


def _text(kind: inspect.Type, key: str, sent: Sent) -> Any:
    values = sent.get(key)
    if not values or (values[-1] == "" and not isinstance(kind, TEXTUAL)):
        return BLANK
    return _unix(values[-1])


def _bool(_: inspect.Type, key: str, sent: Sent) -> Any:
    values = sent.get(key)
    return _truth(values[-1]) if values else False


def _struct(kind: Any, key: str, sent: Sent) -> Any:
    prefix = f"{key}." if key else ""
    if key and not any(name.startswith(prefix) for name in sent):
        return BLANK
    found = {
        field.encode_name: value
        for field in kind.fields
        if (value := _lift(field.type, prefix + field.encode_name, sent)) is not BLANK
    }
    if kind.tag_field and (tag := sent.get(prefix + kind.tag_field)):
        found[kind.tag_field] = tag[-1]
    return found


def _union(kind: Any, key: str, sent: Sent) -> Any:
    options = [bare(option) for option in kind.types]
    structs = [option for option in options if isinstance(option, inspect.StructType)]
    nullable = any(isinstance(option, inspect.NoneType) for option in options)
    if structs:
        return _lift(_chosen(structs, key, sent), key, sent)
    real = [one for one in options if not isinstance(one, inspect.NoneType) and not _unset(one)]
    nested = next((one for one in real if isinstance(one, (*LISTS, inspect.DictType))), None)
    return _lift(nested, key, sent) if nested else _scalar(real, nullable, sent.get(key))


def _scalar(real: list[inspect.Type], nullable: bool, values: list[Any] | None) -> Any:
    if not values:
        return BLANK
    value = _unix(values[-1])
    if value == "" and (nullable or not any(isinstance(option, TEXTUAL) for option in real)):
        return None if nullable else BLANK
    is_bool = any(isinstance(option, inspect.BoolType) for option in real)
    return _truth(value) if is_bool and value in TRUE | FALSE else value


def _chosen(structs: list[inspect.StructType], key: str, sent: Sent) -> inspect.StructType:
    """The member of a tagged union that the form names; the first one when it names none."""
    for option in structs:
        name = f"{key}.{option.tag_field}" if key else option.tag_field
        if name and (values := sent.get(name)) and str(option.tag) == values[-1]:
            return option
    return structs[0]


def _list(kind: Any, key: str, sent: Sent) -> Any:
    item = bare(kind.item_type)
    if isinstance(item, (inspect.StructType, inspect.DictType)) or _of_structs(item):
        return _rows(item, key, sent)
    return [_unix(value) for value in sent[key] if value != ""] if key in sent else BLANK


def _rows(item: inspect.Type, key: str, sent: Sent) -> Any:
    """`lines.0.name`, `lines.1.name` … in the order of their numbers; holes close."""
    prefix = f"{key}."
    steps = {name[len(prefix) :].split(".")[0] for name in sent if name.startswith(prefix)}
    numbers = sorted(int(step) for step in steps if step.isascii() and step.isdigit() and len(step) < 6)
    rows = [_lift(item, f"{prefix}{number}", sent) for number in numbers]
    return [row for row in rows if row is not BLANK] if numbers or key in sent else BLANK


def _dict(kind: Any, key: str, sent: Sent) -> Any:
    prefix = f"{key}."
    names = [name for name in sent if name.startswith(prefix)]
    lifted = {name[len(prefix) :]: _lift(kind.value_type, name, sent) for name in names}
    return {name: value for name, value in lifted.items() if value is not BLANK} if names else BLANK


def _of_structs(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.UnionType) and any(
        isinstance(bare(option), inspect.StructType) for option in kind.types
    )


def _unset(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.CustomType) and kind.cls is msgspec.UnsetType


def _truth(value: Any) -> Any:
    text = str(value).strip().lower()
    return True if text in TRUE else False if text in FALSE else value


def _unix(value: Any) -> Any:
    """Browsers send CRLF from text areas whatever was typed."""
    return value.replace("\r\n", "\n") if isinstance(value, str) else value


LIFTERS: tuple[tuple[Any, Callable[[Any, str, Sent], Any]], ...] = (
    (inspect.StructType, _struct),
    (inspect.UnionType, _union),
    (LISTS, _list),
    (inspect.DictType, _dict),
    (inspect.BoolType, _bool),
)
