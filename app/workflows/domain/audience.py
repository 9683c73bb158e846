"""Which contacts publishing enrolls now, as one filter. Pure."""

from app.engine.core.draft import Draft
from app.engine.core.triggers import Trigger
from app.engine.core.version import Version
from app.filters.ast import Filter, Group


def audience_filter(source: Draft | Version) -> Filter | None:
    """The entry condition holds, and so does what some trigger requires of the contact: its filter, and that
    the tag or segment it listens to is there (or gone). None selects every contact."""
    parts: list[Filter] = [] if source.entry is None else [source.entry]
    conditions = [condition for trigger in source.triggers if (condition := _condition(trigger)) is not None]
    # A trigger without a condition selects every contact.
    if conditions and len(conditions) == len(source.triggers):
        parts.append(Group("any", conditions))
    return Group("all", parts) if parts else None


def _condition(trigger: Trigger) -> Filter | None:
    parts = [part for part in (trigger.current_audience(), trigger.filter) if part is not None]
    return Group("all", parts) if parts else None
