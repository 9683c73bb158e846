"""Trigger: a schedule."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from app.engine.core.checks import Problems, check_reference
from app.engine.core.events import SCHEDULE_FIRED
from app.engine.core.name_lookup import Names, lookup_name
from app.engine.core.timing.cron import Cron
from app.engine.core.triggers.base import TIME, Reference, TimedTrigger
from app.filters.ast import Filter, Op, Predicate
from app.filters.fields import Fields

# Any moment works: a cron expression without occurrences has none after this moment either.
_ANY_MOMENT = datetime.fromisoformat("2026-01-01")


class Schedule(TimedTrigger, frozen=True, tag="schedule"):
    """`cron` (five fields, in the account's time zone) starts the workflow for each contact of `segment`
    (None: all contacts) for whom `filter` holds."""

    label = "Schedule"
    hint = "At fixed times, for each contact of a segment"
    icon = "clock"
    group = TIME
    event_kind = SCHEDULE_FIRED

    cron: Annotated[str, Meta(max_length=100)] = "0 9 * * 1"
    segment: UUID | None = None

    def validate_config(self, fields: Fields, names: Names) -> Problems:
        try:
            if Cron(self.cron).next_local(_ANY_MOMENT) is None:
                yield "cron", "This date never occurs. Choose another one."
        except ValueError as error:
            yield "cron", str(error)
        if self.segment is not None:
            yield from check_reference(self.segment, names.segments, "segment", "segment")

    def subject(self, fields: Fields, names: Names) -> str:
        contacts = lookup_name(self.segment, names.segments) if self.segment else "all contacts"
        return f"{self.cron} · {contacts}"

    def references(self) -> Iterator[Reference]:
        yield "segment", self.segment

    def current_audience(self) -> Filter | None:
        return None if self.segment is None else Predicate("segments", Op.ANY_OF, [str(self.segment)])
