"""Messages for invalid bodies: one for each invalid field, which says what to do. `field_errors` is the entry
point."""

import re
from collections.abc import Mapping
from itertools import islice

import msgspec
from msgspec import inspect

from app.web.form_decoder import DecodedValue, TypeHint, bare, inspected

MOST_ERRORS = 20  # in one response
NO_FIELD = "There is no such field. Remove it."
RULES: tuple[tuple[str, str], ...] = (
    (r"Expected `str` of length >= 1$", "Fill this in."),
    (r"Expected `str` of length >= (\d+)", "Use at least {0} characters."),
    (r"Expected `str` of length <= (\d+)", "Use at most {0} characters."),
    (r"Expected `str` matching regex .*", "This isn't in the expected format."),
    (r"Expected `array` of length >= 1$", "Choose at least one."),
    (r"Expected `array` of length >= (\d+)", "Enter at least {0}."),
    (r"Expected `array` of length <= (\d+)", "Enter at most {0}."),
    (r"Expected `(?:int|float)` >= (\S+)", "Use a number that is at least {0}."),
    (r"Expected `(?:int|float)` <= (\S+)", "Use a number that is at most {0}."),
    (r"Expected `(?:int|float)` > (\S+)", "Use a number above {0}."),
    (r"Expected `(?:int|float)` < (\S+)", "Use a number below {0}."),
    (r"Integer value out of range", "This number is too large."),
    (r"Expected `int.*`, got .*", "Enter a whole number."),
    (r"Expected `(?:float|decimal).*`, got .*", "Enter a number."),
    (r"Invalid decimal string", "Enter a number."),
    (r"Expected `bool.*`, got .*", "Choose yes or no (true or false)."),
    (r"Expected `array.*`, got .*", "Send a list."),
    (r"Expected `object.*`, got .*", "Send an object with named fields."),
    (r"(?:Invalid RFC3339 encoded |Expected `)datetime.*", "Enter a date and time: 2026-11-24T09:30:00Z."),
    (r"(?:Invalid RFC3339 encoded |Expected `)date.*", "Enter a date: 2026-11-24."),
    (r"(?:Invalid RFC3339 encoded |Expected `)time.*", "Enter a time: 09:30:00."),
    (r"(?:Invalid UUID|Expected `uuid.*)", "This isn't a valid id."),
    (r"Object missing required field `(.+)`", "The field {0} is missing."),
    (r"Object contains unknown field `(.+)`", "There is no field {0}. Remove it."),
    (r"Invalid value ['\"](.{1,60}).*['\"]", "“{0}” isn't one of the choices. Choose one of those listed."),
    (r"Expected `str.*`, got `null`", "Fill this in."),
    (r"Expected `str.*`, got .*", "Send text."),
)


def field_errors(raw: DecodedValue, kind: TypeHint, *, strict: bool, whole: str = "") -> dict[str, str]:
    """The invalid fields of `raw` as a `kind`: field name to message; "" is the whole body. It stops soon
    after `MOST_ERRORS` fields. `whole` is msgspec's own message, for errors of the struct as a whole."""
    errors: dict[str, str] = {}
    _collect(raw, kind, "", strict, errors)
    if not errors:
        path, message = _split_location(whole)
        errors[path] = sentence(message)
    return errors


def sentence(message: str, kind: TypeHint | None = None) -> str:
    """A msgspec message as a sentence for the sender; for a type with fixed choices it lists them."""
    options = allowed_values(kind) if kind is not None else []
    if message.startswith("Invalid enum value") or (options and "got" in message):
        return f"Choose one of: {', '.join(options)}." if options else "Choose one of the listed values."
    for pattern, text in RULES:
        if match := re.match(pattern, message):
            return text.format(*match.groups())
    return message if message.endswith((".", "?", "!")) else f"{message}."


def allowed_values(kind: TypeHint | inspect.Type) -> list[str]:
    """The allowed values of an enum or a Literal; empty for other types."""
    described = bare(kind) if isinstance(kind, inspect.Type) else inspected(kind)
    if isinstance(described, inspect.EnumType):
        return [str(member.value) for member in described.cls]
    if isinstance(described, inspect.LiteralType):
        return [str(value) for value in described.values]
    if isinstance(described, inspect.UnionType):
        return [choice for option in described.types for choice in allowed_values(option)]
    return []


def _collect(raw: DecodedValue, kind: TypeHint, path: str, strict: bool, errors: dict[str, str]) -> None:
    struct, row = _struct_for(kind, raw), _item_struct(kind)
    if row is not None and isinstance(raw, list) and raw:
        for number, item in enumerate(raw):
            if len(errors) > MOST_ERRORS:
                return
            _collect(item, row, f"{path}.{number}" if path else str(number), strict, errors)
    elif struct is None:
        _collect_value(raw, kind, path, strict, errors)
    elif not isinstance(raw, Mapping):
        errors[path] = "Send an object with named fields."
    else:
        _collect_fields(raw, struct, f"{path}." if path else "", strict, errors)


def _collect_fields(
    raw: Mapping[str, DecodedValue],
    struct: type[msgspec.Struct],
    prefix: str,
    strict: bool,
    errors: dict[str, str],
) -> None:
    fields = msgspec.structs.fields(struct)
    for field in fields:
        name = prefix + field.encode_name
        if field.encode_name in raw:
            _collect(raw[field.encode_name], field.type, name, strict, errors)
        elif field.required:
            errors[name] = "Fill this in."
    config = struct.__struct_config__
    if config.forbid_unknown_fields:
        places = {field.encode_name for field in fields} | {config.tag_field}
        unknown = (name for name in raw if name not in places)
        for name in islice(unknown, MOST_ERRORS + 1):
            errors[prefix + str(name)] = NO_FIELD


def _collect_value(
    raw: DecodedValue, kind: TypeHint, path: str, strict: bool, errors: dict[str, str]
) -> None:
    try:
        msgspec.convert(raw, kind, strict=strict)
    except msgspec.ValidationError as error:
        inner, message = _split_location(str(error))
        name = ".".join(part for part in (path, inner) if part)
        errors[name] = _own_message(kind) or sentence(message, kind)


def _struct_for(kind: TypeHint, raw: DecodedValue) -> type[msgspec.Struct] | None:
    """The struct of a type: the type itself, the one in an optional, or the one of a tagged union that `raw`
    selects."""
    described = inspected(kind)
    options = described.types if isinstance(described, inspect.UnionType) else (described,)
    structs = [option for option in map(bare, options) if isinstance(option, inspect.StructType)]
    if not structs or (raw is None and len(structs) < len(options)):
        return None
    if len(structs) == 1:
        return structs[0].cls
    if not isinstance(raw, Mapping):
        return None
    return next((option.cls for option in structs if raw.get(str(option.tag_field)) == option.tag), None)


def _item_struct(kind: TypeHint) -> type[msgspec.Struct] | None:
    """The struct of the items of a list, or of an optional list; None for any other type."""
    described = inspected(kind)
    options = described.types if isinstance(described, inspect.UnionType) else (described,)
    lists = [option for option in map(bare, options) if isinstance(option, inspect.ListType)]
    item = bare(lists[0].item_type) if lists else None
    return item.cls if isinstance(item, inspect.StructType) else None


def _split_location(message: str) -> tuple[str, str]:
    """msgspec's "… - at `$.a[0].b`" as ("a.0.b", "…")."""
    text, _, path = message.partition(" - at `")
    steps = path.rstrip("`").lstrip("$")
    return re.sub(r"\[(\d+|\.\.\.)\]", r".\1", steps).strip("."), text


def _own_message(kind: TypeHint) -> str:
    """The message that a type brings along: `Annotated[str, Meta(pattern=…, extra={"error": "…"})]`; "" for
    none."""
    described = inspect.type_info(kind)
    if isinstance(described, inspect.UnionType):
        described = next(
            (option for option in described.types if isinstance(option, inspect.Metadata)), described
        )
    extra = described.extra if isinstance(described, inspect.Metadata) else None
    return str(extra["error"]) if extra and "error" in extra else ""
