"""Decodes a form into the nested dicts and lists that a type expects.

The entry points are `decode_form` and `decode_form_strictly`. The names of a form are first split into a
tree. Decoding walks the tree and the type together, so the time is linear in the length of the form. The
hidden field `inputs` lists the check boxes and lists of the form: one of these that was not sent is off or
empty. Without `inputs` it is absent."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec
from litestar.exceptions import HTTPException
from msgspec import inspect

from app.web.body_limits import DEPTH, DOCUMENT, check_json

BLANK: Any = object()
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

    def getall(self, key: str) -> list[Any]: ...


class NameNode:
    """A node of the tree of dotted names: the values sent under exactly this name, and the names beneath
    it."""

    __slots__ = ("beneath", "json", "listed", "name", "read", "start", "values", "wrong")

    def __init__(self, start: int = 0, *, json: bool = False) -> None:
        self.beneath: dict[str, NameNode] = {}
        self.values: list[Any] | None = None  # None if nothing was sent under this name
        self.name = ""
        self.start = start  # where the part beneath this node begins in a dotted name
        self.read = False  # whether the type has a place for the values
        self.listed = False  # whether `inputs` lists it
        self.json = json  # whether an object or a list may be sent here as JSON
        self.wrong = ""  # why the JSON sent here is refused

    def take(self) -> list[Any]:
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

    def part(self, shape: type) -> Any:
        """The dict or list sent as JSON under exactly this name. BLANK, with a message in `wrong`, for
        anything else."""
        value = self.take()[-1]
        try:
            text = value.encode() if isinstance(value, str) else value.file.read()
            check_json(text, DOCUMENT)
            decoded = msgspec.json.decode(text)
        except (HTTPException, msgspec.DecodeError, UnicodeError):
            decoded = None
        if isinstance(decoded, shape) and not self.beneath:
            return decoded
        self.wrong = NOT_JSON.format(self.name)
        return BLANK


class DecodedForm(NamedTuple):
    """A decoded form: its value in builtins, the names that the type doesn't have (`unread`), and messages
    about values that cannot be decoded, by name (`wrong`)."""

    value: Any
    unread: list[str]
    wrong: dict[str, str]


def decode_form(fields: FormFields, kind: Any) -> Any:
    """Decodes a form to show it again; unread names and JSON within the form are dropped. `a.b=1` nests,
    repeated names make lists, `rows.0.x=1` lists of objects. An empty input is absent, None if the field can
    be None, or "" in an edit, where absent would mean unchanged."""
    decoded = _decode(inspected(kind), tree(fields))
    return {} if decoded is BLANK else decoded


def decode_form_strictly(fields: FormFields, kind: Any) -> DecodedForm:
    """Decodes a form that will be used, like `decode_form`. Objects and lists may also come as JSON under
    their own name (as text, or as a part of type application/json)."""
    root = tree(fields, json=True)
    decoded = _decode(inspected(kind), root)
    leaves = list(root.leaves())
    return DecodedForm(
        {} if decoded is BLANK else decoded,
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
def inspected(kind: Any) -> inspect.Type:
    """msgspec's description of a type, without its outer metadata."""
    return bare(inspect.type_info(kind))


def bare(kind: inspect.Type) -> inspect.Type:
    """A described type without its metadata."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _decode(kind: inspect.Type, node: NameNode | None) -> Any:
    kind = bare(kind)
    for described, decoder in DECODERS:
        if isinstance(kind, described):
            return decoder(kind, node)
    return _text(kind, node)


def _text(kind: inspect.Type, node: NameNode | None) -> Any:
    values = node.take() if node else []
    if not values or (values[-1] == "" and not isinstance(kind, TEXTUAL)):
        return BLANK
    return _with_lf(values[-1])


def _bool(_: inspect.Type, node: NameNode | None) -> Any:
    values = node.take() if node else []
    return _truth(values[-1]) if values else False if node and node.listed else BLANK


def _struct(kind: Any, node: NameNode | None) -> Any:
    if node is None or (node.start and not node.beneath and not node.values):
        return BLANK
    if node.json and node.values:
        return node.part(dict)
    beneath = node.beneath
    decoded = {
        field.encode_name: value
        for field in kind.fields
        if (value := _field(field, beneath.get(field.encode_name))) is not BLANK
    }
    if kind.tag_field and (tag := beneath.get(kind.tag_field)) and tag.values:
        decoded[kind.tag_field] = tag.take()[-1]
    return decoded


def _field(field: inspect.Field, node: NameNode | None) -> Any:
    value = _decode(field.type, node)
    edits = not field.required and field.default is field.default_factory is msgspec.NODEFAULT
    if value is BLANK and edits and node and node.values == [""] and not node.wrong:
        return ""  # the type then reports the error: absent would mean unchanged
    return value


def _union(kind: Any, node: NameNode | None) -> Any:
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


def _scalar(real: list[inspect.Type], nullable: bool, node: NameNode | None) -> Any:
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


def _unknown_tag(name: str, node: NameNode) -> Any:
    """The value of a union with an unknown tag: only the tag, because its other fields are unknown."""
    for leaf in node.leaves():
        leaf.take()
    return {name: node.beneath[name].take()[-1]}


def _list(kind: Any, node: NameNode | None) -> Any:
    if node is None:
        return BLANK
    item = bare(kind.item_type)
    if isinstance(item, (inspect.StructType, inspect.DictType)) or _of_structs(item):
        return _rows(item, node)
    values = node.take()
    if node.json and values and not isinstance(values[-1], str):
        return node.part(list)
    return [_with_lf(value) for value in values if value != ""] if values or node.listed else BLANK


def _rows(item: inspect.Type, node: NameNode) -> Any:
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


def _dict(kind: Any, node: NameNode | None) -> Any:
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


def _truth(value: Any) -> Any:
    text = str(value).strip().lower()
    return True if text in TRUE else False if text in FALSE else value


def _with_lf(value: Any) -> Any:
    """The value with line breaks as LF; browsers send CRLF from text areas."""
    return value.replace("\r\n", "\n") if isinstance(value, str) else value


DECODERS: tuple[tuple[Any, Callable[[Any, NameNode | None], Any]], ...] = (
    (inspect.StructType, _struct),
    (inspect.UnionType, _union),
    (LISTS, _list),
    (inspect.DictType, _dict),
    (inspect.BoolType, _bool),
)
