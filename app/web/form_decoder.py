"""Decodes a form into the nested dicts and lists that a type expects.

The entry points are `decode_form` and `decode_form_strictly`. The names of a form are first split into a
tree. Decoding walks the tree and the type together, so the time is linear in the length of the form. The
hidden field `inputs` lists the check boxes and lists of the form: one of these that was not sent is off or
empty. Without `inputs` it is absent."""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from functools import lru_cache
from types import UnionType
from typing import Final, NamedTuple, Protocol, TypeAlias, cast

import msgspec
from litestar.datastructures import UploadFile
from litestar.exceptions import HTTPException
from msgspec import inspect

from app.json_types import JsonObject
from app.web.body_limits import DEPTH, DOCUMENT, check_json

FieldValue: TypeAlias = str | UploadFile
DecodedValue: TypeAlias = (
    "bool | int | float | str | UploadFile | list[DecodedValue] | dict[str, DecodedValue] | None"
)
Decoded: TypeAlias = "DecodedValue | Blank"
TypeHint: TypeAlias = type | UnionType  # the type of a field or a body, as msgspec takes it


class Blank(Enum):
    """The decoded value of a field that the form leaves out."""

    BLANK = 0


BLANK: Final = Blank.BLANK
TRUE = frozenset({"on", "true", "1", "yes"})
FALSE = frozenset({"off", "false", "0", "no", ""})
TEXTUAL = (inspect.StrType, inspect.AnyType, inspect.LiteralType)
LISTS = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)
ROW_DIGITS = 5
LISTED = "inputs"
MOST_LISTED = 1000  # names in `inputs`; the rest counts as one unknown name
NOT_JSON = "Send JSON here, or each field under its own name ({}.…)."


class FormFields(Protocol):
    """A parsed form: names with one or more values, text or uploaded files."""

    def keys(self) -> Iterable[str]: ...

    def getall(self, key: str) -> Sequence[FieldValue]: ...


class TextFields(Protocol):
    """A parsed form without files."""

    def keys(self) -> Iterable[str]: ...

    def getall(self, key: str) -> Sequence[str]: ...


class NameNode:
    """A node of the tree of dotted names: the values sent under exactly this name, and the names beneath
    it."""

    __slots__ = ("beneath", "json", "listed", "name", "read", "start", "values", "wrong")

    def __init__(self, start: int = 0, *, json: bool = False) -> None:
        self.beneath: dict[str, NameNode] = {}
        self.values: Sequence[FieldValue] | None = None  # None if nothing was sent under this name
        self.name = ""
        self.start = start  # where the part beneath this node begins in a dotted name
        self.read = False  # whether the type has a place for the values
        self.listed = False  # whether `inputs` lists it
        self.json = json  # whether an object or a list may be sent here as JSON
        self.wrong = ""  # why the JSON sent here is refused

    def take(self) -> Sequence[FieldValue]:
        """The values sent under this name; marks them as read."""
        self.read = True
        return self.values or []

    def leaf(self, name: str) -> "NameNode":
        """The node of a dotted name beneath this one; creates it if needed."""
        node = self
        for step in name.split("."):
            below = node.beneath.get(step)
            if below is None:
                below = node.beneath[step] = NameNode(node.start + len(step) + 1, json=self.json)
            node = below
        node.name = name
        return node

    def leaves(self) -> Iterator["NameNode"]:
        """Every node beneath this one that was sent or that `inputs` lists, in the order of the form."""
        pending = list(reversed(self.beneath.values()))
        while pending:
            node = pending.pop()
            if node.values is not None or node.listed:
                yield node
            pending.extend(reversed(node.beneath.values()))

    def part(self, shape: type[object]) -> Decoded:
        """The dict or list sent as JSON under exactly this name. BLANK, with a message in `wrong`, for
        anything else."""
        value = self.take()[-1]
        try:
            text = value.encode() if isinstance(value, str) else value.file.read()
            check_json(text, DOCUMENT)
            decoded: DecodedValue = msgspec.json.decode(text)
        except (HTTPException, msgspec.DecodeError, UnicodeError):
            decoded = None
        if isinstance(decoded, shape) and not self.beneath:
            return decoded
        self.wrong = NOT_JSON.format(self.name)
        return BLANK


class DecodedForm(NamedTuple):
    """A decoded form: its value in builtins, the names that the type doesn't have (`unread`), and messages
    about values that cannot be decoded, by name (`wrong`)."""

    value: dict[str, DecodedValue]
    unread: list[str]
    wrong: dict[str, str]


def decode_form(fields: TextFields, kind: TypeHint) -> JsonObject:
    """Decodes a form to show it again; unread names and JSON within the form are dropped. `a.b=1` nests,
    repeated names make lists, `rows.0.x=1` lists of objects. An empty input is absent, None if the field can
    be None, or "" in an edit, where absent would mean unchanged. Where any type may come, a name that is
    repeated or that `inputs` lists makes a list."""
    return cast("JsonObject", _object(inspected(kind), tree(fields)))  # texts decode to no files


def decode_form_strictly(fields: FormFields, kind: TypeHint) -> DecodedForm:
    """Decodes a form that will be used, like `decode_form`. Objects and lists may also come as JSON under
    their own name (as text, or as a part of type application/json)."""
    root = tree(fields, json=True)
    decoded = _object(inspected(kind), root)
    leaves = list(root.leaves())
    return DecodedForm(
        decoded,
        [leaf.name for leaf in leaves if not leaf.read],
        {leaf.name: leaf.wrong for leaf in leaves if leaf.wrong},
    )


def tree(fields: FormFields, *, json: bool = False) -> NameNode:
    """The names of a form, split at their dots, as a tree; those that `inputs` lists are marked."""
    root = NameNode(json=json)
    for name in dict.fromkeys(fields.keys()):  # a multi-dict repeats its names
        root.leaf(name).values = fields.getall(name)
    inputs = root.beneath.get(LISTED)
    names = " ".join(map(str, (inputs and inputs.values) or [])).split(None, MOST_LISTED)
    for name in names:
        if name.count(".") < DEPTH:
            root.leaf(name).listed = True
    return root


@lru_cache(maxsize=1024)
def inspected(kind: TypeHint) -> inspect.Type:
    """msgspec's description of a type, without its outer metadata."""
    return bare(inspect.type_info(kind))


def bare(kind: inspect.Type) -> inspect.Type:
    """A described type without its metadata."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _object(kind: inspect.Type, root: NameNode) -> dict[str, DecodedValue]:
    """A whole form: its names make an object."""
    decoded = _decode(kind, root)
    return decoded if isinstance(decoded, dict) else {}


def _decode(kind: inspect.Type, node: NameNode | None) -> Decoded:
    kind = bare(kind)
    if isinstance(kind, inspect.StructType):
        return _struct(kind, node)
    if isinstance(kind, inspect.UnionType):
        return _union(kind, node)
    if isinstance(kind, LISTS):
        return _list(kind, node)
    if isinstance(kind, inspect.DictType):
        return _dict(kind, node)
    return _bool(node) if isinstance(kind, inspect.BoolType) else _text(kind, node)


def _text(kind: inspect.Type, node: NameNode | None) -> Decoded:
    values = node.take() if node else []
    if isinstance(kind, inspect.AnyType) and node and (node.listed or len(values) > 1):
        return [_with_lf(value) for value in values if value != ""]  # its check boxes, maybe none
    if not values or (values[-1] == "" and not isinstance(kind, TEXTUAL)):
        return BLANK
    return _with_lf(values[-1])


def _bool(node: NameNode | None) -> bool | FieldValue | Blank:
    values = node.take() if node else []
    return _truth(values[-1]) if values else False if node and node.listed else BLANK


def _struct(kind: inspect.StructType, node: NameNode | None) -> Decoded:
    if node is None or (node.start and not node.beneath and not node.values):
        return BLANK
    if node.json and node.values:
        return node.part(dict)
    beneath = node.beneath
    decoded: dict[str, DecodedValue] = {
        field.encode_name: value
        for field in kind.fields
        if (value := _field(field, beneath.get(field.encode_name))) is not BLANK
    }
    if kind.tag_field and (tag := beneath.get(kind.tag_field)) and tag.values:
        decoded[kind.tag_field] = tag.take()[-1]
    return decoded


def _field(field: inspect.Field, node: NameNode | None) -> Decoded:
    value = _decode(field.type, node)
    edits = not field.required and field.default is field.default_factory is msgspec.NODEFAULT
    if value is BLANK and edits and node and node.values == [""] and not node.wrong:
        return ""  # the type then reports the error: absent would mean unchanged
    return value


def _union(kind: inspect.UnionType, node: NameNode | None) -> Decoded:
    options = [bare(option) for option in kind.types]
    structs = [option for option in options if isinstance(option, inspect.StructType)]
    nullable = any(isinstance(option, inspect.NoneType) for option in options)
    if structs and nullable and node and node.values == [""] and not node.beneath:
        node.take()
        return None
    if structs:
        chosen = _selected_struct(structs, node)
        if chosen is None and node:
            return _unknown_tag(str(structs[0].tag_field), node)
        return _decode(chosen or structs[0], node)
    real = [option for option in options if not isinstance(option, inspect.NoneType)]
    nested = next((option for option in real if isinstance(option, (*LISTS, inspect.DictType))), None)
    return _decode(nested, node) if nested else _scalar(real, nullable, node)


def _scalar(
    real: list[inspect.Type], nullable: bool, node: NameNode | None
) -> bool | FieldValue | Blank | None:
    values = node.take() if node else []
    is_bool = any(isinstance(option, inspect.BoolType) for option in real)
    if not values:
        return False if is_bool and node and node.listed else BLANK
    value = _with_lf(values[-1])
    if value == "" and nullable:
        return None
    if is_bool and value in TRUE | FALSE:
        return _truth(value)
    return BLANK if value == "" and not any(isinstance(option, TEXTUAL) for option in real) else value


def _selected_struct(structs: list[inspect.StructType], node: NameNode | None) -> inspect.StructType | None:
    """The struct of a tagged union that the form selects: the first one if the form sends no tag, None for an
    unknown tag."""
    name = structs[0].tag_field
    tag = node.beneath.get(name) if node and name else None
    if not tag or not tag.values:
        return structs[0]
    return next((option for option in structs if str(option.tag) == tag.values[-1]), None)


def _unknown_tag(name: str, node: NameNode) -> dict[str, DecodedValue]:
    """The value of a union with an unknown tag: only the tag, because its other fields are unknown."""
    for leaf in node.leaves():
        leaf.take()
    return {name: node.beneath[name].take()[-1]}


def _list(kind: inspect.CollectionType, node: NameNode | None) -> Decoded:
    if node is None:
        return BLANK
    item = bare(kind.item_type)
    if isinstance(item, (inspect.StructType, inspect.DictType)) or _of_structs(item):
        return _rows(item, node)
    values = node.take()
    if node.json and values and not isinstance(values[-1], str):
        return node.part(list)
    return [_with_lf(value) for value in values if value != ""] if values or node.listed else BLANK


def _rows(item: inspect.Type, node: NameNode) -> Decoded:
    """A list of objects from `lines.0.name`, `lines.1.name` … in the order of their numbers, without gaps."""
    steps = [step for step in node.beneath if _is_row(step)]
    if node.json and any(node.take()):
        return node.part(list)
    if not steps and node.values is None and not node.listed:
        return BLANK
    rows = [_decode(item, node.beneath[step]) for step in sorted(steps, key=int)]
    return [row for row in rows if row is not BLANK]


def _is_row(step: str) -> bool:
    """Whether a part of a name is the number of a row, without leading zeros."""
    plain = step.isascii() and step.isdigit() and len(step) <= ROW_DIGITS
    return plain and step == str(int(step))


def _dict(kind: inspect.DictType, node: NameNode | None) -> Decoded:
    leaves = list(node.leaves()) if node else []
    if node and node.json and any(node.take()):
        return node.part(dict)
    if node is None or not (leaves or node.listed):
        return BLANK
    decoded = {leaf.name[node.start :]: _decode(kind.value_type, leaf) for leaf in leaves}
    return {name: value for name, value in decoded.items() if value is not BLANK}


def _of_structs(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.UnionType) and any(
        isinstance(bare(option), inspect.StructType) for option in kind.types
    )


def _truth(value: FieldValue) -> bool | FieldValue:
    text = str(value).strip().lower()
    return True if text in TRUE else False if text in FALSE else value


def _with_lf(value: FieldValue) -> FieldValue:
    """The value with line breaks as LF; browsers send CRLF from text areas."""
    return value.replace("\r\n", "\n") if isinstance(value, str) else value
