"""Trigger: a date of the contact reached, or some days before or after it."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from app.engine.core.checks import Problems, check_date_field
from app.engine.core.events import DATE_REACHED
from app.engine.core.name_lookup import Names, field_label
from app.engine.core.scalars import TimeOfDay
from app.engine.core.triggers.base import TIME, Reference, TimedTrigger
from app.filters.fields import Fields


class DateReached(TimedTrigger, frozen=True, tag="date_reached"):
    """`offset` days after the date in `field` (before it when negative), at the local time `at`. `yearly`
    compares day and month only; 29 February counts as the 28th in years without one."""

    label = "Date reached"
    hint = "A birthday or renewal, or days before or after it"
    icon = "clock"
    group = TIME
    event_kind = DATE_REACHED

    field: Annotated[str, Meta(max_length=100)] = ""
    offset: Annotated[int, Meta(ge=-366, le=366)] = 0
    at: TimeOfDay = "09:00"
    yearly: bool = False

    def validate_config(self, fields: Fields, names: Names) -> Problems:
        yield from check_date_field(self.field, fields)

    def subject(self, fields: Fields, names: Names) -> str:
        days = abs(self.offset)
        unit = "day" if days == 1 else "days"
        distance = f"{days} {unit} {'after' if self.offset > 0 else 'before'} " if days else ""
        every = ", every year" if self.yearly else ""
        return f"{distance}{field_label(self.field, fields)} at {self.at or '00:00'}{every}"

    def origin(self) -> str:
        return "missed days are skipped" if self.missed == "skip" else "each missed day is made up"

    def references(self) -> Iterator[Reference]:
        yield "field", self.field
