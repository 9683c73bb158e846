"""Bodies into structs: JSON strictly, forms by lifting text into the same struct, every error at once."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol

import msgspec
from msgspec import inspect

from app.errors import Invalid

BLANK: Any = object()
TRUE = frozenset({"on", "true", "1", "yes"})
FALSE = frozenset({"off", "false", "0", "no", ""})


class Fields(Protocol):
    """A parsed form: names with one or more values, text or uploaded files."""

    def keys(self) -> Iterable[str]: ...

    def getall(self, key: str, default: Any = ...) -> list[Any]: ...


class Form(msgspec.Struct):
    """What a form template shows: what was typed, what is wrong with it, and one sentence on top."""

    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    message: str = ""

    def value(self, name: str, default: Any = "") -> Any:
        """What was typed into a field, or `default` when the form was not sent yet."""
        return self.values[name] if self.values and name in self.values else ("" if default is None else default)

    def checked(self, name: str, default: bool = False) -> bool:
        """Whether a check box is ticked; one that is missing from a form that was sent is not."""
        return self.values.get(name, "") in TRUE if self.values else default

    def error(self, name: str) -> str:
        """The sentence for one field, "" when it is right."""
        return self.errors.get(name, "")


def typed(fields: Fields) -> dict[str, Any]:
    """The texts of a form as they were typed, to be shown again; a name sent twice gives a list."""
    values: dict[str, Any] = {}
    for name in fields.keys():  # noqa: SIM118 -- a form multi-dict, whose iteration repeats names
        texts = [value for value in fields.getall(name, []) if isinstance(value, str)]
        if texts:
            values[name] = texts[0] if len(texts) == 1 else texts
    return values


def read_json(body: bytes, kind: Any) -> Any:
    """A JSON body as `kind`, no coercion. Raises `Invalid` naming every bad field, `ValueError` for bad JSON."""
    try:
        return msgspec.json.decode(body, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise Invalid(problems(msgspec.json.decode(body), kind, strict=True, whole=str(error))) from error


def read_form(fields: Fields, kind: Any) -> Any:
    """A form as `kind`. Raises `Invalid` naming every bad field."""
    raw = lift(fields, kind)
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(problems(raw, kind, strict=False, whole=str(error))) from error


# --- lifting -----------------------------------------------------------------------------------------


def lift(fields: Fields, kind: Any) -> Any:
    """Form text as the nested builtins that `kind` expects: `a.b=1` nests, repeated names make lists,
    an empty box is absent (or None where the field can be None), an unticked check box is False."""
    grouped = {name: fields.getall(name, []) for name in fields.keys()}  # noqa: SIM118 -- as above
    lifted = _lift(inspected(kind), "", grouped)
    return {} if lifted is BLANK else lifted


@lru_cache(maxsize=1024)
def inspected(kind: Any) -> inspect.Type:
    """msgspec's description of a type, without its outer metadata."""
    return bare(inspect.type_info(kind))


def bare(kind: inspect.Type) -> inspect.Type:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _lift(kind: inspect.Type, key: str, form: Mapping[str, list[Any]]) -> Any:
    kind = bare(kind)
    if isinstance(kind, inspect.StructType):
        return _lift_struct(kind, key, form)
    if isinstance(kind, inspect.UnionType):
        return _lift_union(kind, key, form)
    if isinstance(kind, (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)):
        return _lift_list(kind, key, form)
    if isinstance(kind, inspect.DictType):
        return _lift_dict(kind, key, form)
    values = form.get(key)
    if isinstance(kind, inspect.BoolType):
        return _truth(values[-1]) if values else False
    if not values:
        return BLANK
    value = _unix(values[-1])
    if value == "" and not isinstance(kind, (inspect.StrType, inspect.AnyType, inspect.LiteralType)):
        return BLANK
    return value


def _lift_struct(kind: inspect.StructType, key: str, form: Mapping[str, list[Any]]) -> Any:
    prefix = f"{key}." if key else ""
    found = {
        field.encode_name: value
        for field in kind.fields
        if (value := _lift(field.type, prefix + field.encode_name, form)) is not BLANK
    }
    if kind.tag_field and (tag := form.get(prefix + kind.tag_field)):
        found[kind.tag_field] = tag[-1]
    sent = not key or any(name.startswith(prefix) for name in form)
    return found if sent else BLANK


def _lift_union(kind: inspect.UnionType, key: str, form: Mapping[str, list[Any]]) -> Any:
    options = [bare(option) for option in kind.types]
    structs = [option for option in options if isinstance(option, inspect.StructType)]
    if structs:
        return _lift(_chosen(structs, key, form), key, form)
    real = [option for option in options if not isinstance(option, (inspect.NoneType,)) and not _unset(option)]
    values = form.get(key)
    nullable = len(options) > len([option for option in options if not isinstance(option, inspect.NoneType)])
    if any(isinstance(option, (inspect.ListType, inspect.DictType)) for option in real):
        return _lift(real[0], key, form)
    if not values:
        return BLANK
    value = _unix(values[-1])
    if value == "" and nullable:
        return None
    if value == "" and not any(isinstance(option, inspect.StrType) for option in real):
        return BLANK
    if any(isinstance(option, inspect.BoolType) for option in real) and value in TRUE | FALSE:
        return _truth(value)
    return value


def _chosen(structs: list[inspect.StructType], key: str, form: Mapping[str, list[Any]]) -> inspect.StructType:
    """The member of a tagged union that the form names; the first one when it names none."""
    for option in structs:
        name = f"{key}.{option.tag_field}" if key else option.tag_field
        if name and (values := form.get(name)) and str(option.tag) == values[-1]:
            return option
    return structs[0]


def _lift_list(kind: Any, key: str, form: Mapping[str, list[Any]]) -> Any:
    item = bare(kind.item_type)
    if isinstance(item, (inspect.StructType, inspect.DictType)) or _of_structs(item):
        return _lift_rows(item, key, form)
    if key not in form:
        return BLANK
    return [_unix(value) for value in form[key] if value != ""]


def _lift_rows(item: inspect.Type, key: str, form: Mapping[str, list[Any]]) -> Any:
    """`lines.0.name`, `lines.1.name` … in the order of their numbers; holes close."""
    numbers = {
        int(part) for name in form if name.startswith(f"{key}.") and (part := name[len(key) + 1 :].split(".")[0]).isdigit()
    }
    rows = [_lift(item, f"{key}.{number}", form) for number in sorted(numbers)]
    return [row for row in rows if row is not BLANK] if numbers or key in form else BLANK


def _lift_dict(kind: inspect.DictType, key: str, form: Mapping[str, list[Any]]) -> Any:
    prefix = f"{key}."
    found = {
        name[len(prefix) :]: value
        for name in form
        if name.startswith(prefix) and (value := _lift(kind.value_type, name, form)) is not BLANK
    }
    return found if found or any(name.startswith(prefix) for name in form) else BLANK


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


# --- errors ------------------------------------------------------------------------------------------


def problems(raw: Any, kind: Any, *, strict: bool, whole: str = "") -> dict[str, str]:
    """Every field of `raw` that does not fit `kind`, as field name to sentence; "" is the whole body."""
    errors: dict[str, str] = {}
    _collect(raw, kind, "", strict, errors)
    if not errors:
        path, message = _located(whole)
        errors[path] = sentence(message)
    return errors


def _collect(raw: Any, kind: Any, path: str, strict: bool, errors: dict[str, str]) -> None:
    struct = _struct_for(kind, raw)
    if struct is None:
        _collect_value(raw, kind, path, strict, errors)
        return
    if not isinstance(raw, Mapping):
        errors[path] = "Send an object with named fields."
        return
    prefix = f"{path}." if path else ""
    known = set()
    for field in msgspec.structs.fields(struct):
        known.add(field.encode_name)
        name = prefix + field.encode_name
        if field.encode_name in raw:
            _collect(raw[field.encode_name], field.type, name, strict, errors)
        elif field.required:
            errors[name] = "Fill this in."
    if struct.__struct_config__.forbid_unknown_fields:
        tag = struct.__struct_config__.tag_field
        for name in raw.keys() - known - {tag}:
            errors[prefix + str(name)] = "There is no such field; leave it out."


def _collect_value(raw: Any, kind: Any, path: str, strict: bool, errors: dict[str, str]) -> None:
    try:
        msgspec.convert(raw, kind, strict=strict)
    except msgspec.ValidationError as error:
        inner, message = _located(str(error))
        errors[".".join(part for part in (path, inner) if part)] = _own(kind) or sentence(message, kind, raw)


def _struct_for(kind: Any, raw: Any) -> type[msgspec.Struct] | None:
    """The struct behind a type: itself, the one beside None, or the tagged one that `raw` names."""
    described = inspected(kind)
    options = described.types if isinstance(described, inspect.UnionType) else (described,)
    structs = [option for option in map(bare, options) if isinstance(option, inspect.StructType)]
    if not structs or (raw is None and len(structs) < len(options)):
        return None
    if len(structs) == 1:
        return structs[0].cls
    if not isinstance(raw, Mapping):
        return None
    return next((option.cls for option in structs if raw.get(option.tag_field) == option.tag), None)


def _located(message: str) -> tuple[str, str]:
    """msgspec's "… - at `$.a[0].b`" as ("a.0.b", "…")."""
    text, _, path = message.partition(" - at `")
    steps = path.rstrip("`").lstrip("$")
    return re.sub(r"\[(\d+|\.\.\.)\]", r".\1", steps).strip("."), text


def _own(kind: Any) -> str:
    """A type may carry its own sentence: `Annotated[str, Meta(pattern=…, extra={"error": "…"})]`."""
    described = inspect.type_info(kind)
    extra = described.extra if isinstance(described, inspect.Metadata) else None
    return str(extra["error"]) if extra and "error" in extra else ""


RULES: tuple[tuple[str, str], ...] = (
    (r"Expected `str` of length >= 1$", "Fill this in."),
    (r"Expected `str` of length >= (\d+)", "Use at least {0} characters."),
    (r"Expected `str` of length <= (\d+)", "Use at most {0} characters."),
    (r"Expected `str` matching regex .*", "This is not in the expected form."),
    (r"Expected `array` of length >= 1$", "Choose at least one."),
    (r"Expected `array` of length >= (\d+)", "Give at least {0}."),
    (r"Expected `array` of length <= (\d+)", "Give at most {0}."),
    (r"Expected `(?:int|float)` >= (\S+)", "Use a number that is at least {0}."),
    (r"Expected `(?:int|float)` <= (\S+)", "Use a number that is at most {0}."),
    (r"Expected `(?:int|float)` > (\S+)", "Use a number above {0}."),
    (r"Expected `(?:int|float)` < (\S+)", "Use a number below {0}."),
    (r"Expected `int.*`, got .*", "Enter a whole number."),
    (r"Expected `(?:float|decimal).*`, got .*", "Enter a number."),
    (r"Invalid decimal string", "Enter a number."),
    (r"Expected `bool.*`, got .*", "Choose yes or no (true or false)."),
    (r"Expected `array.*`, got .*", "Send a list."),
    (r"Expected `object.*`, got .*", "Send an object with named fields."),
    (r"(?:Invalid RFC3339 encoded datetime|Expected `datetime.*)", "Enter a date and time, such as 2026-11-24T09:30:00Z."),
    (r"(?:Invalid RFC3339 encoded date|Expected `date.*)", "Enter a date, such as 2026-11-24."),
    (r"(?:Invalid RFC3339 encoded time|Expected `time.*)", "Enter a time, such as 09:30:00."),
    (r"(?:Invalid UUID|Expected `uuid.*)", "This is not an id."),
    (r"Object missing required field `(.+)`", "The field {0} is missing."),
    (r"Object contains unknown field `(.+)`", "There is no field {0}; leave it out."),
    (r"Expected `str.*`, got `null`", "Fill this in."),
    (r"Expected `str.*`, got .*", "Send text."),
)


def sentence(message: str, kind: Any = None, raw: Any = None) -> str:
    """A msgspec message in words that say what to do."""
    if message.startswith("Invalid enum value") or (kind is not None and choices(kind) and "got" in message):
        options = choices(kind) if kind is not None else []
        return f"Choose one of: {', '.join(options)}." if options else "Choose one of the listed values."
    for pattern, text in RULES:
        if match := re.match(pattern, message):
            return text.format(*match.groups())
    return message if message.endswith(".") else f"{message}."


def choices(kind: Any) -> list[str]:
    """The values that a type of fixed choices (an enum or a Literal) allows, else an empty list."""
    described = inspected(kind) if not isinstance(kind, inspect.Type) else bare(kind)
    if isinstance(described, inspect.EnumType):
        return [str(member.value) for member in described.cls]
    if isinstance(described, inspect.LiteralType):
        return [str(value) for value in described.values]
    if isinstance(described, inspect.UnionType):
        return [choice for option in described.types for choice in choices(option)]
    return []
