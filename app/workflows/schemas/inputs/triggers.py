"""Triggers as requests send them: the fields of each kind, a tag by id or name, a filter typed or as form
rows. Every field may be missing: a new trigger takes the kind's default, an edited one keeps its value."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Union, cast

import msgspec
from msgspec import UNSET, UnsetType

from app.engine.core.steps import Line
from app.engine.core.triggers import KINDS, TriggerConfig
from app.engine.core.triggers.base import Sources
from app.filters.rows import FilterInput
from app.patch import Patch

# Fields whose input type differs from the stored type.
_INPUT_TYPES = {"tag": Line | None}


class TriggerInputBase(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    filter: Patch[FilterInput | None] = UNSET
    sources: Patch[Sources] = UNSET


def _input_of(kind: type[TriggerConfig]) -> type[TriggerInputBase]:
    """The body of one kind, such as `TagAddedInput`."""
    own = [
        field for field in msgspec.structs.fields(kind) if field.name not in TriggerConfig.__struct_fields__
    ]
    fields: list[tuple[str, Any, UnsetType]] = [  # Any: a type, or a union of types
        (field.name, Union[_INPUT_TYPES.get(field.name, field.type), UnsetType], UNSET)  # noqa: UP007 -- types at run time
        for field in own
    ]
    derived = msgspec.defstruct(
        f"{kind.__name__}Input",
        fields,
        bases=(TriggerInputBase,),
        module=__name__,
        namespace={"__doc__": kind.__doc__},
        tag=kind.__struct_config__.tag,
        kw_only=True,
    )
    return cast("type[TriggerInputBase]", derived)


if TYPE_CHECKING:
    TriggerInput = TriggerInputBase
else:
    TriggerInput = reduce(or_, [_input_of(kind) for kind in KINDS])
