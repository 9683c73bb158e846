"""Constrained scalars and small enums of stored documents, for the kinds, the draft and the timing rules."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

Amount = Annotated[int, Meta(ge=1, le=100_000)]
Line = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(max_length=50_000)]
# A local time of day, "09:00"; empty means no time.
TimeOfDay = Annotated[str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?\Z")]
LaneKey = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,20}\Z")]
StepKey = Annotated[str, Meta(max_length=20)]
# Monday is 0.
Weekday = Annotated[int, Meta(ge=0, le=6)]


class Unit(StrEnum):
    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"


class OnDoubt(StrEnum):
    """What happens to an effect in doubt: ask a member whether it was sent (stored as `hold`), or send it
    again with the same idempotency key. docs/glossary.md lists what puts an effect in doubt."""

    ASK_MEMBER = "hold"
    RESEND = "resend"
