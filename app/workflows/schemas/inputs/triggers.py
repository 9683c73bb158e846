"""Triggers as requests send them: the fields of each kind, a tag by id or name, a filter typed or as form
rows. Every field may be missing: a new trigger takes the kind's default, an edited one keeps its value."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import UNSET

from app.engine.core.steps import Line
from app.engine.core.triggers import KINDS, TriggerConfig
from app.engine.core.triggers.base import Sources
from app.patch import Patch
from app.workflows.schemas.inputs.filters import FilterInput

# Fields whose input type differs from the stored type.
_INPUT_TYPES: dict[str, Any] = {"tag": Line | None}


class TriggerInputBase(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    filter: Patch[FilterInput | None] = UNSET
    sources: Patch[Sources] = UNSET


def _input_of(kind: type[TriggerConfig]) -> type[TriggerInputBase]:
    """The body of one kind, such as `TagAddedInput`."""
    own = [
        field for field in msgspec.structs.fields(kind) if field.name not in TriggerConfig.__struct_fields__
    ]
    patch: Any = Patch  # a type created at run time is not one for the type checker
    types = [patch[_INPUT_TYPES.get(field.name, field.type)] for field in own]
    struct = msgspec.defstruct(
        f"{kind.__name__}Input",
        [(field.name, type_, UNSET) for field, type_ in zip(own, types, strict=True)],
        bases=(TriggerInputBase,),
        module=__name__,
        namespace={"__doc__": kind.__doc__},
        tag=kind.__struct_config__.tag,
        kw_only=True,
    )
    return cast("type[TriggerInputBase]", struct)


if TYPE_CHECKING:
    TriggerInput = TriggerInputBase
else:
    TriggerInput = reduce(or_, [_input_of(kind) for kind in KINDS])
