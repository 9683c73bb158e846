"""A filter as a form or a script sends it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.engine.core.steps import Line, Text
from app.filters.ast import Group, Predicate


class RowInput(msgspec.Struct, forbid_unknown_fields=True):
    """One condition as a form shows it; several values are separated by commas, with `%2C` for a comma and
    `%25` for a percent sign inside one. Things are named by id, or by a name that is unique. `nested` is a
    group that a row cannot show, as JSON. A row without a field is left out."""

    field: Line = ""
    op: Annotated[str, Meta(max_length=40)] = ""
    value: Annotated[str, Meta(max_length=10_000)] = ""
    nested: Text = ""


class RowsInput(msgspec.Struct, forbid_unknown_fields=True, tag="rows"):
    match: Literal["all", "any"] = "all"
    rows: Annotated[list[RowInput], Meta(max_length=100)] = []


FilterInput = RowsInput | Group | Predicate
