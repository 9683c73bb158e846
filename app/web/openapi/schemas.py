"""JSON schemas of the structs that the API reads and returns.

They are msgspec's own, so a schema says exactly what is decoded. `component_schemas` adapts them to
generators: patterns of ECMAScript, what is always in an answer is required, and defaults are words, because
openapi-typescript requires a property that has a `default`, also in a body."""

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Union, get_args, get_origin

import msgspec
from litestar.datastructures import UploadFile
from msgspec import inspect

from app.json_types import Json, JsonObject

REFERENCE = "#/components/schemas/{name}"
FILE: JsonObject = {"type": "string", "format": "binary"}
END_OF_TEXT = r"\Z"  # Python's; in ECMAScript it is `$`


def component_schemas(read: Iterable[object], returned: Iterable[object]) -> JsonObject:
    """The schemas of all structs in the bodies (`read`) and the answers (`returned`), by name."""
    bodies, answers = _components(read), _components(returned)
    structs = {struct.cls.__name__: struct for struct in _structs(returned)}
    for name in answers.keys() - bodies.keys() & structs.keys():
        answers[name] = _as_written(answers[name], structs[name])
    merged = {**answers, **bodies}
    return {name: _with_defaults_as_words(merged[name]) for name in sorted(merged)}


def alternatives(kind: object) -> tuple[object, ...]:
    """The types of a union, one by one: msgspec has no schema for a union of structs without tags."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def schema_of(kind: object) -> Json:
    """The schema of a type; of a struct, a reference to its component."""
    if len(kinds := alternatives(kind)) > 1:
        return {"anyOf": [schema_of(each) for each in kinds]}
    (schema,), _ = msgspec.json.schema_components([kind], schema_hook=_of_other_types, ref_template=REFERENCE)
    return _for_generators(schema)


def _components(kinds: Iterable[object]) -> JsonObject:
    _, components = msgspec.json.schema_components(
        list(kinds), schema_hook=_of_other_types, ref_template=REFERENCE
    )
    return {name: _for_generators(schema) for name, schema in components.items()}


def _of_other_types(kind: type) -> JsonObject:
    """The schema of a type that msgspec doesn't know: an uploaded file, or anything."""
    if kind is UploadFile:
        return FILE
    if kind is object:
        return {"description": "Any JSON value."}  # msgspec refuses an empty one
    raise NotImplementedError


def _for_generators(schema: Json) -> Json:
    """The schema with one-line descriptions, ECMAScript's patterns, and a type beside each enumeration."""
    if isinstance(schema, list):
        return [_for_generators(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    choices = schema.get("anyOf")
    if isinstance(choices, list) and FILE in choices:
        return FILE  # of a form, where nothing is null
    adapted = {
        key: value if key in ("default", "enum", "examples") else _for_generators(value)
        for key, value in schema.items()
    }
    _adapt_words(adapted)
    if isinstance(fields := adapted.get("properties"), dict) and FILE in fields.values():
        adapted["required"] = [name for name, field in fields.items() if field == FILE]
    if isinstance(kinds := adapted.pop("prefixItems", None), list):  # generators differ in tuples
        distinct = [kind for number, kind in enumerate(kinds) if kind not in kinds[:number]]
        adapted["items"] = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
    if adapted.get("type") == "object" and not {"properties", "additionalProperties"} & adapted.keys():
        adapted["additionalProperties"] = True  # openapi-typescript takes a missing one for `false`
    if isinstance(values := adapted.get("enum"), list) and all(isinstance(value, str) for value in values):
        adapted = {"type": "string", **adapted}
        if len(values) == 1:
            del adapted["enum"]
            adapted["const"] = values[0]
    return adapted


def _adapt_words(schema: JsonObject) -> None:
    if isinstance(text := schema.get("description"), str):
        schema["description"] = " ".join(text.split())
    if isinstance(pattern := schema.get("pattern"), str):
        schema["pattern"] = pattern.replace(END_OF_TEXT, "$")


def _as_written(schema: Json, struct: inspect.StructType) -> Json:
    """The schema of a struct that is only returned. A field with a default is there too, unless the struct
    leaves out defaults or the default is UNSET."""
    if not isinstance(schema, dict) or not isinstance(fields := schema.get("properties"), dict):
        return schema
    left_out = {
        field.encode_name
        for field in struct.fields
        if not field.required and (struct.cls.__struct_config__.omit_defaults or _may_be_unset(field))
    }
    types = {field.encode_name: field.type for field in struct.fields}
    written: JsonObject = {
        name: _without_default(_with_times(field, types[name]) if name in types else field)
        for name, field in fields.items()
    }
    required: list[Json] = [name for name in fields if name not in left_out]
    return {**schema, "properties": written, "required": required}


def _with_defaults_as_words(schema: Json) -> Json:
    if not isinstance(schema, dict) or not isinstance(fields := schema.get("properties"), dict):
        return schema
    described = {name: _default_as_words(field) for name, field in fields.items()}
    return {**schema, "properties": described}


def _default_as_words(field: Json) -> Json:
    rest = _without_default(field)
    if not isinstance(field, dict) or not isinstance(rest, dict) or not field.get("default"):
        return rest
    words = f"Default: {msgspec.json.encode(field['default']).decode()}."
    return {**rest, "description": f"{rest.get('description', '')} {words}".strip()}


def _without_default(schema: Json) -> Json:
    if not isinstance(schema, dict):
        return schema
    return {key: value for key, value in schema.items() if key != "default"}


def _with_times(schema: Json, kind: inspect.Type) -> Json:
    """The schema of a returned value, with the format of each time: times in answers have a time zone."""
    if not isinstance(schema, dict):
        return schema
    if isinstance(kind, inspect.DateTimeType):
        return {**schema, "format": "date-time"}
    if isinstance(kind, inspect.ListType):
        return {**schema, "items": _with_times(schema.get("items"), kind.item_type)}
    if isinstance(kind, inspect.UnionType) and isinstance(choices := schema.get("anyOf"), list):
        pairs = zip(choices, kind.types, strict=True) if len(choices) == len(kind.types) else ()
        return {**schema, "anyOf": [_with_times(choice, inner) for choice, inner in pairs] or choices}
    return schema


def _may_be_unset(field: inspect.Field) -> bool:
    """msgspec describes UNSET as no default, in a field that may be absent."""
    return field.default is field.default_factory is msgspec.NODEFAULT


def _structs(kinds: Iterable[object]) -> Iterator[inspect.StructType]:
    """All structs in these types, at any depth."""
    pending: list[object] = list(inspect.multi_type_info(list(kinds)))
    visited: set[int] = set()
    while pending:
        kind = pending.pop()
        if id(kind) in visited:
            continue
        visited.add(id(kind))
        if isinstance(kind, inspect.StructType):
            yield kind
        if isinstance(kind, inspect.Type | inspect.Field):
            pending += [getattr(kind, name) for name in kind.__struct_fields__]
        elif isinstance(kind, tuple):
            pending += kind
