"""Trigger: segment entered."""

from app.engine.core.events import SEGMENT_ENTERED
from app.engine.core.triggers.base import CONTACT, SegmentTrigger
from app.filters.ast import Filter, Op, Predicate


class SegmentEntered(SegmentTrigger, frozen=True, tag="segment_entered"):
    """A contact started to match a saved filter."""

    label = "Segment entered"
    hint = "A contact started to match a saved filter"
    icon = "users"
    group = CONTACT
    event_kind = SEGMENT_ENTERED

    def current_audience(self) -> Filter | None:
        return None if self.segment is None else Predicate("segments", Op.ANY_OF, [str(self.segment)])
