"""The filter of the contacts that publishing enrolls at once. Pure."""

from app.engine.core.draft import Draft
from app.engine.core.triggers import Trigger
from app.engine.core.version import Version
from app.filters.ast import Filter, Group


def audience_filter(source: Draft | Version) -> Filter | None:
    """Contacts that meet the entry condition and what some trigger requires: its filter, and that the tag or
    segment it is about is present (or absent). A trigger that requires neither selects every contact that
    meets the entry condition. None selects every contact."""
    parts: list[Filter] = [] if source.entry is None else [source.entry]
    conditions = [condition for trigger in source.triggers if (condition := _condition(trigger)) is not None]
    # A trigger without a condition selects every contact.
    if conditions and len(conditions) == len(source.triggers):
        parts.append(Group("any", conditions))
    return Group("all", parts) if parts else None


def _condition(trigger: Trigger) -> Filter | None:
    parts = [part for part in (trigger.current_audience(), trigger.filter) if part is not None]
    return Group("all", parts) if parts else None
