"""Trigger: tag added."""

from app.engine.core.events import TAG_ADDED
from app.engine.core.triggers.base import CONTACT, TagTrigger
from app.filters.ast import Filter, Op, Predicate


class TagAdded(TagTrigger, frozen=True, tag="tag_added"):
    """A tag was added to a contact."""

    label = "Tag added"
    hint = "A tag was added to a contact"
    icon = "tag"
    group = CONTACT
    event_kind = TAG_ADDED

    def current_audience(self) -> Filter | None:
        return None if self.tag is None else Predicate("tags", Op.ANY_OF, [str(self.tag)])
