"""Whom publishing with an audience lets in now, as one filter. Pure."""

from uuid import UUID

from app.engine.core.draft import Draft
from app.engine.core.triggers import Schedule, SegmentEntered, SegmentLeft, TagAdded, TagRemoved, Trigger
from app.engine.core.version import Version
from app.filters.ast import Filter, Group, Op, Predicate


def audience_filter(source: Draft | Version) -> Filter | None:
    """The entry condition holds, and so does what some trigger asks of the contact: its filter, and that a
    tag or a segment that it listens to is there (or gone). None is everybody."""
    parts: list[Filter] = [] if source.entry is None else [source.entry]
    asked = [_of(trigger) for trigger in source.triggers]
    some = [one for one in asked if one is not None]
    if asked and len(some) == len(asked):  # a trigger that asks nothing takes everybody
        parts.append(Group("any", some))
    return Group("all", parts) if parts else None


def _of(trigger: Trigger) -> Filter | None:
    own = _state(trigger)
    parts = [one for one in (own, trigger.filter) if one is not None]
    return Group("all", parts) if parts else None


def _state(trigger: Trigger) -> Filter | None:
    match trigger:
        case TagAdded(tag=UUID() as tag):
            return Predicate("tags", Op.ANY_OF, [str(tag)])
        case TagRemoved(tag=UUID() as tag):
            return Predicate("tags", Op.NONE_OF, [str(tag)])
        case SegmentEntered(segment=UUID() as segment) | Schedule(segment=UUID() as segment):
            return Predicate("segments", Op.ANY_OF, [str(segment)])
        case SegmentLeft(segment=UUID() as segment):
            return Predicate("segments", Op.NONE_OF, [str(segment)])
        case _:
            return None
