"""High-volume events, emitted only when something in the account subscribes to them: an email's delivery or
bounce, and the end of an enrollment."""

from collections.abc import Iterable
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.events import EMAIL_BOUNCED, EMAIL_DELIVERED, ENROLLMENT_ENDED
from db.queries.event_subscriptions import (
    list_runnable_versions,
    read_event_names_of_segments,
    read_event_names_of_versions,
)

ON_DEMAND_KINDS = frozenset({EMAIL_DELIVERED, EMAIL_BOUNCED, ENROLLMENT_ENDED})
# What email triggers call them.
_EMAIL_EVENT_KINDS = {"delivered": EMAIL_DELIVERED, "bounced": EMAIL_BOUNCED}
_CACHE_LIMIT = 50_000
_by_version: dict[tuple[UUID, int], frozenset[str]] = {}  # a version never changes


async def subscribed_kinds(session: AsyncSession) -> frozenset[str]:
    """The on-demand kinds that the account subscribes to: by an email trigger, a wait or a condition of a
    version that may still run, or by a condition of a segment. A trigger on the end of enrollments names one
    workflow and is found through the trigger index instead."""
    running = [(row.workflow_id, row.number) for row in await list_runnable_versions(session)]
    new = [version for version in running if version not in _by_version]
    if new:
        if len(_by_version) > _CACHE_LIMIT:
            _by_version.clear()
            new = running
        for row in await read_event_names_of_versions(session, new):
            _by_version[row.workflow_id, row.number] = _on_demand_kinds(row.names)
    kinds = [_by_version.get(version, frozenset()) for version in running]
    kinds += [_on_demand_kinds(names) for names in await read_event_names_of_segments(session)]
    return frozenset[str]().union(*kinds)


def _on_demand_kinds(names: str) -> frozenset[str]:
    """The on-demand kinds in a JSON array of names. A condition on a change names a field, which is none."""
    event_names: Iterable[object] = msgspec.json.decode(names)
    kinds = (_EMAIL_EVENT_KINDS.get(name, name) for name in event_names if isinstance(name, str))
    return ON_DEMAND_KINDS.intersection(kinds)
