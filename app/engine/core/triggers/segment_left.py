"""Trigger: segment left."""

from app.engine.core.events import SEGMENT_LEFT
from app.engine.core.triggers.base import CONTACT, SegmentTrigger
from app.filters.ast import Filter, Op, Predicate


class SegmentLeft(SegmentTrigger, frozen=True, tag="segment_left"):
    """A contact stopped matching a saved filter."""

    label = "Segment left"
    hint = "A contact stopped matching a saved filter"
    icon = "users"
    group = CONTACT
    event_kind = SEGMENT_LEFT

    def current_audience(self) -> Filter | None:
        return None if self.segment is None else Predicate("segments", Op.NONE_OF, [str(self.segment)])
