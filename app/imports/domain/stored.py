"""What an import stores as JSON: its options, and the values of each row."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from app.filters.normalize import Value
from app.json_types import Json, JsonObject

Status: TypeAlias = Literal["uploaded", "checking", "ready", "running", "done", "failed", "cancelled"]


class ImportOptions(msgspec.Struct, frozen=True):
    """The member's choices. `samples` are the first cells of each column, `tags` the names of the tags for
    all rows; `existing` says whether existing contacts are updated or skipped; `source` is that of external
    IDs, "" for none."""

    has_header: bool = True
    samples: list[list[str]] = []
    tags: list[str] = []
    existing: Literal["update", "skip"] = "update"
    source: str = ""


class ExternalIdMatch(msgspec.Struct, frozen=True):
    """The contact that an external ID matches. `differs` says that its name or email differs from the row."""

    name: str
    detail: str
    differs: bool


class RowValues(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row as it was checked: its values by field key, and the changes of the contact as field key to
    [from, to]. A row without values is stored as {}."""

    values: dict[str, Value] = msgspec.field(name="set", default_factory=dict)
    changes: dict[str, list[Value]] = {}
    by_external_id: ExternalIdMatch | None = None

    def stored(self) -> JsonObject:
        """The JSON of these values."""
        stored: JsonObject = msgspec.to_builtins(self)
        return stored


def read_options(stored: Mapping[str, Json]) -> ImportOptions:
    """The options of an import, from their JSON."""
    return msgspec.convert(stored, ImportOptions)


def read_values(stored: Mapping[str, Json]) -> RowValues:
    """The values of a row, from their JSON."""
    return msgspec.convert(stored, RowValues)
