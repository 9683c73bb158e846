"""The type of any JSON value, for what has no narrower one.

msgspec and OpenAPI cannot read a recursive type: fields of structs that are decoded, or are a response, name
`Any` instead and say why."""

from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

__all__ = ["Json", "JsonObject"]
