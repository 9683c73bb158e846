"""Trigger: tag removed."""

from app.engine.core.events import TAG_REMOVED
from app.engine.core.triggers.base import CONTACT, TagTrigger
from app.filters.ast import Filter, Op, Predicate


class TagRemoved(TagTrigger, frozen=True, tag="tag_removed"):
    """A tag was removed from a contact."""

    label = "Tag removed"
    hint = "A tag was removed from a contact"
    icon = "tag"
    group = CONTACT
    event_kind = TAG_REMOVED

    def current_audience(self) -> Filter | None:
        return None if self.tag is None else Predicate("tags", Op.NONE_OF, [str(self.tag)])
