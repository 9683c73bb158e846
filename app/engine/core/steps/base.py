"""What the configs of all step kinds share."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Amount = Annotated[int, Meta(ge=1, le=100_000)]
Line = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(max_length=50_000)]
# A local time of day, "09:00"; empty where there is none.
TimeOfDay = Annotated[str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?\Z")]
LaneKey = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,20}\Z")]
# Monday is 0.
Weekday = Annotated[int, Meta(ge=0, le=6)]


class Unit(StrEnum):
    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"


class OnDoubt(StrEnum):
    """What a crash in the middle of a call does: hold it for a person, or send again with the same key."""

    HOLD = "hold"
    RESEND = "resend"


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When something may be sent: on these days, from `start` until before `end`, local times of `zone`. A
    window whose end is not after its start goes on until the next morning; no days means every day. `zone`
    is "account", "contact" (the account's where a contact has none) or the name of one."""

    days: Annotated[list[Weekday], Meta(max_length=7)] = []
    start: TimeOfDay = "09:00"
    end: TimeOfDay = "17:00"
    zone: Annotated[str, Meta(max_length=60)] = "account"


class Config(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    omit_defaults=False,
):
    """Every config is one struct of the union `StepConfig`, told apart by `kind`."""


Past = Literal["continue", "skip_to", "exit"]
