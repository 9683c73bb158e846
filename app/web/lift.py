"""Form text as the nested builtins that a type expects: forms know names and texts, types the rest.

The names of a form become a tree once; lifting walks tree and type together, so that the work grows with the
length of the form and not with its square."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import inspect

BLANK: Any = object()
TRUE = frozenset({"on", "true", "1", "yes"})
FALSE = frozenset({"off", "false", "0", "no", ""})
TEXTUAL = (inspect.StrType, inspect.AnyType, inspect.LiteralType)
LISTS = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)
ROW_DIGITS = 5


class Fields(Protocol):
    """A parsed form: names with one or more values, text or uploaded files."""

    def keys(self) -> Iterable[str]: ...

    def getall(self, key: str) -> list[Any]: ...


class Node:
    """A place in the tree of dotted names: what was sent under exactly this name, and the names beneath."""

    __slots__ = ("beneath", "name", "read", "start", "values")

    def __init__(self, start: int = 0) -> None:
        self.beneath: dict[str, Node] = {}
        self.values: list[Any] | None = None  # None where nothing was sent under it
        self.name = ""
        self.start = start  # where in a whole name the part beneath this node begins
        self.read = False  # whether the type has a place for the values

    def take(self) -> list[Any]:
        """The values sent under this name, which count as read from now on."""
        self.read = True
        return self.values or []

    def leaves(self) -> Iterator["Node"]:
        """Every node beneath this one under whose name something was sent, in the order of the form."""
        pending = list(reversed(self.beneath.values()))
        while pending:
            node = pending.pop()
            if node.values is not None:
                yield node
            pending.extend(reversed(node.beneath.values()))


class Lifted(NamedTuple):
    """A form in the builtins of a type, and the names that the type has no place for, in their order."""

    value: Any
    unread: list[str]


def lift(fields: Fields, kind: Any) -> Any:
    """`a.b=1` nests, repeated names make lists, `rows.0.x=1` lists of objects; an empty box is absent (or
    None where the field can be None), an unticked check box is False. Unread names are dropped."""
    return lift_all(fields, kind).value


def lift_all(fields: Fields, kind: Any) -> Lifted:
    """What `lift` gives, with the names that it did not read."""
    root = tree(fields)
    lifted = _lift(inspected(kind), root)
    unread = [leaf.name for leaf in root.leaves() if not leaf.read]
    return Lifted({} if lifted is BLANK else lifted, unread)


def tree(fields: Fields) -> Node:
    """The names of a form, split at their dots, as a tree."""
    root = Node()
    for name in dict.fromkeys(fields.keys()):  # a multi-dict repeats its names
        node = root
        for step in name.split("."):
            below = node.beneath.get(step)
            if below is None:
                below = node.beneath[step] = Node(node.start + len(step) + 1)
            node = below
        node.name, node.values = name, fields.getall(name)
    return root


@lru_cache(maxsize=1024)
def inspected(kind: Any) -> inspect.Type:
    """msgspec's description of a type, without its outer metadata."""
    return bare(inspect.type_info(kind))


def bare(kind: inspect.Type) -> inspect.Type:
    """A described type without its metadata."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _lift(kind: inspect.Type, node: Node | None) -> Any:
    kind = bare(kind)
    for described, lifter in LIFTERS:
        if isinstance(kind, described):
            return lifter(kind, node)
    return _text(kind, node)


def _text(kind: inspect.Type, node: Node | None) -> Any:
    values = node.take() if node else []
    if not values or (values[-1] == "" and not isinstance(kind, TEXTUAL)):
        return BLANK
    return _unix(values[-1])


def _bool(_: inspect.Type, node: Node | None) -> Any:
    values = node.take() if node else []
    return _truth(values[-1]) if values else False


def _struct(kind: Any, node: Node | None) -> Any:
    if node is None or (node.start and not node.beneath):
        return BLANK
    beneath = node.beneath
    lifted = {
        field.encode_name: value
        for field in kind.fields
        if (value := _lift(field.type, beneath.get(field.encode_name))) is not BLANK
    }
    if kind.tag_field and (tag := beneath.get(kind.tag_field)) and tag.values:
        lifted[kind.tag_field] = tag.take()[-1]
    return lifted


def _union(kind: Any, node: Node | None) -> Any:
    options = [bare(option) for option in kind.types]
    structs = [option for option in options if isinstance(option, inspect.StructType)]
    nullable = any(isinstance(option, inspect.NoneType) for option in options)
    if structs:
        return _lift(_chosen(structs, node), node)
    real = [option for option in options if not isinstance(option, inspect.NoneType) and not _unset(option)]
    nested = next((option for option in real if isinstance(option, (*LISTS, inspect.DictType))), None)
    return _lift(nested, node) if nested else _scalar(real, nullable, node.take() if node else [])


def _scalar(real: list[inspect.Type], nullable: bool, values: list[Any]) -> Any:
    if not values:
        return BLANK
    value = _unix(values[-1])
    if value == "" and (nullable or not any(isinstance(option, TEXTUAL) for option in real)):
        return None if nullable else BLANK
    is_bool = any(isinstance(option, inspect.BoolType) for option in real)
    return _truth(value) if is_bool and value in TRUE | FALSE else value


def _chosen(structs: list[inspect.StructType], node: Node | None) -> inspect.StructType:
    """The member of a tagged union that the form names; the first one when it names none."""
    for option in structs if node else []:
        tag = node.beneath.get(option.tag_field or "") if node else None
        if tag and tag.values and str(option.tag) == tag.values[-1]:
            return option
    return structs[0]


def _list(kind: Any, node: Node | None) -> Any:
    if node is None:
        return BLANK
    item = bare(kind.item_type)
    if isinstance(item, (inspect.StructType, inspect.DictType)) or _of_structs(item):
        return _rows(item, node)
    return BLANK if node.values is None else [_unix(value) for value in node.take() if value != ""]


def _rows(item: inspect.Type, node: Node) -> Any:
    """`lines.0.name`, `lines.1.name` … in the order of their numbers; holes close."""
    steps = [step for step in node.beneath if _is_row(step)]
    node.take()
    if not steps and node.values is None:
        return BLANK
    rows = [_lift(item, node.beneath[step]) for step in sorted(steps, key=int)]
    return [row for row in rows if row is not BLANK]


def _is_row(step: str) -> bool:
    """Whether a part of a name numbers a row, as one number is written in only one way."""
    plain = step.isascii() and step.isdigit() and len(step) <= ROW_DIGITS
    return plain and step == str(int(step))


def _dict(kind: Any, node: Node | None) -> Any:
    leaves = list(node.leaves()) if node else []
    if node is None or not leaves:
        return BLANK
    lifted = {leaf.name[node.start :]: _lift(kind.value_type, leaf) for leaf in leaves}
    return {name: value for name, value in lifted.items() if value is not BLANK}


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


LIFTERS: tuple[tuple[Any, Callable[[Any, Node | None], Any]], ...] = (
    (inspect.StructType, _struct),
    (inspect.UnionType, _union),
    (LISTS, _list),
    (inspect.DictType, _dict),
    (inspect.BoolType, _bool),
)
