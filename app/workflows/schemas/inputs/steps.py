"""Configs of steps as requests send them, derived from the stored configs.

Every field may be missing: a new step then takes the default of its kind, an existing step keeps its value. A
field has the stored type, except that tags may be named, filters may be the rows of a form, and windows and
lanes may be sent in part. Only kinds whose input differs in another way are written out here."""

from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.engine.core.scalars import Amount, Line, OnDoubt, Text, TimeOfDay, Unit, Weekday
from app.engine.core.steps import KINDS, Window
from app.engine.core.steps.base import Config, Users
from app.filters.ast import Filter
from app.filters.rows import FilterInput
from app.patch import Patch

NewLaneKey = Annotated[str, Meta(pattern=r"^[a-z0-9_]{0,20}\Z")]


class StepInput(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind"):
    """The sent part of a config; `kind` is the kind of the step."""


class WindowInput(msgspec.Struct, forbid_unknown_fields=True):
    """A window, or with `limit` "no" none. A missing field keeps its stored value."""

    limit: Literal["yes", "no"] = "yes"
    days: Patch[Annotated[list[Weekday], Meta(max_length=7)]] = UNSET
    start: Patch[TimeOfDay] = UNSET
    end: Patch[TimeOfDay] = UNSET
    zone: Patch[Annotated[str, Meta(max_length=60)]] = UNSET


class HeaderInput(msgspec.Struct, forbid_unknown_fields=True):
    """A header without a name is left out."""

    name: Line = ""
    value: Line = ""


class NamedLaneInput(msgspec.Struct, forbid_unknown_fields=True):
    """What every lane has. Without a key it is new and gets one; with a key it keeps its values for missing
    fields."""

    key: NewLaneKey = ""
    name: Patch[Line] = UNSET


class LaneInput(NamedLaneInput):
    """A lane without a key is new and gets one; a lane with a key keeps its values for missing fields."""

    filter: Patch[FilterInput | None] = UNSET


class BranchInput(StepInput, tag="branch"):
    branches: Patch[Annotated[list[LaneInput], Meta(max_length=20)]] = UNSET
    else_name: Patch[Line] = UNSET


class SplitLaneInput(NamedLaneInput):
    weight: Patch[Annotated[int, Meta(ge=0, le=1000)]] = UNSET


class SplitInput(StepInput, tag="split"):
    lanes: Patch[Annotated[list[SplitLaneInput], Meta(max_length=20)]] = UNSET


class OptionInput(NamedLaneInput):
    pass


class ApprovalInput(StepInput, tag="approval"):
    question: Patch[Text] = UNSET
    options: Patch[Annotated[list[OptionInput], Meta(max_length=10)]] = UNSET
    users: Patch[Users] = UNSET
    amount: Patch[Amount] = UNSET
    unit: Patch[Unit] = UNSET


class WaitForInput(StepInput, tag="wait_for"):
    """`about` may be the name of a tag where the event is about one."""

    mode: Patch[Literal["event", "condition"]] = UNSET
    event: Patch[Line] = UNSET
    about: Patch[Line] = UNSET
    filter: Patch[FilterInput | None] = UNSET
    amount: Patch[Amount] = UNSET
    unit: Patch[Unit] = UNSET


class WebhookInput(StepInput, tag="webhook"):
    """`headers` by name; `more_headers` is the same as rows, for forms."""

    url: Patch[Annotated[str, Meta(max_length=2000)]] = UNSET
    method: Patch[Literal["POST", "PUT", "PATCH", "GET", "DELETE"]] = UNSET
    headers: Patch[dict[str, Line]] = UNSET
    more_headers: Patch[Annotated[list[HeaderInput], Meta(max_length=50)]] = UNSET
    body: Patch[Text] = UNSET
    on_doubt: Patch[OnDoubt] = UNSET
    save_as: Patch[Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_]{0,39})?\Z")]] = UNSET
    window: Patch[WindowInput | None] = UNSET


WRITTEN_OUT: dict[str, type[StepInput]] = {
    "branch": BranchInput,
    "split": SplitInput,
    "approval": ApprovalInput,
    "wait_for": WaitForInput,
    "webhook": WebhookInput,
}


def _input_type(name: str, stored: type | UnionType) -> type | UnionType:
    """The type of a field as requests send it."""
    if name == "tag":
        return Line | None  # an id or a name; a new name creates the tag
    if stored == Filter | None:
        return FilterInput | None
    return WindowInput | None if stored == Window | None else stored


def _derive(config: type[Config]) -> type[StepInput]:
    """The input of a kind whose fields are sent with their stored types."""
    hints = get_type_hints(config, include_extras=True)
    fields: list[tuple[str, Any, UnsetType]] = [  # Any: a type, or a union of types
        (name, Union[_input_type(name, hints[name]), UnsetType], UNSET)  # noqa: UP007 -- types at run time
        for name in config.__struct_fields__
    ]
    derived = msgspec.defstruct(
        f"{config.__name__}Input",
        fields,
        bases=(StepInput,),
        module=__name__,
        namespace={"__doc__": config.__doc__},
        tag=str(config.__struct_config__.tag),
    )
    return cast("type[StepInput]", derived)


INPUTS: dict[str, type[StepInput]] = {
    key: WRITTEN_OUT.get(key) or _derive(kind.config) for key, kind in KINDS.items()
}
if TYPE_CHECKING:
    ConfigInput = StepInput
else:
    ConfigInput = Union[tuple(INPUTS.values())]  # noqa: UP007 -- made of a list
