"""Finds which on-demand events an account subscribes to."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.statements import fetch_all, fetch_scalars


class RunnableVersion(msgspec.Struct, frozen=True):
    """The key of a version in which enrollments may still advance."""

    workflow_id: UUID
    number: int


class EventNames(msgspec.Struct, frozen=True):
    """The names of events in a version, as a JSON array."""

    workflow_id: UUID
    number: int
    names: str


# A JSON array of names in a document: events of event waits and email triggers, and what conditions on
# history count. A condition on workflows needs enrollment.ended.
_EVENT_NAMES_IN = """
cast(jsonb_path_query_array({0}, '$.** ? (@.kind == "email_event" || @.kind == "wait_for").event')
  || jsonb_path_query_array({0}, '$.** ? (@.field == "history").value[0]')
  || cast(case when {0} @? '$.** ? (@.field == "workflows")' then '["enrollment.ended"]' else '[]' end
          as jsonb) as text)
"""
# Versions in which enrollments may still advance.
_LIST_RUNNABLE_VERSIONS = text("""
select v.workflow_id, v.number from workflow_versions v
  join workflows w on w.account_id = v.account_id and w.id = v.workflow_id
 where v.account_id = current_account() and w.status in ('active', 'paused')
""")
_EVENT_NAMES_OF_VERSIONS = text(f"""
select v.workflow_id, v.number, {_EVENT_NAMES_IN.format("v.document")} as names
  from workflow_versions v
  join unnest(cast(:workflows as uuid[]), cast(:numbers as int[])) x(workflow_id, number)
    on x.workflow_id = v.workflow_id and x.number = v.number
 where v.account_id = current_account()
""")  # noqa: S608 -- constants
# All segments, whether lists or workflows use them.
_EVENT_NAMES_OF_SEGMENTS = text(f"""
select {_EVENT_NAMES_IN.format("s.filter")} as names from segments s where s.account_id = current_account()
""")  # noqa: S608 -- constants


async def list_runnable_versions(session: AsyncSession) -> list[RunnableVersion]:
    """All versions in which enrollments may still advance."""
    return await fetch_all(session, RunnableVersion, _LIST_RUNNABLE_VERSIONS)


async def read_event_names_of_versions(
    session: AsyncSession, versions: Sequence[tuple[UUID, int]]
) -> list[EventNames]:
    """The names of events in these versions (workflow and number)."""
    return await fetch_all(
        session,
        EventNames,
        _EVENT_NAMES_OF_VERSIONS,
        workflows=[workflow for workflow, _ in versions],
        numbers=[number for _, number in versions],
    )


async def read_event_names_of_segments(session: AsyncSession) -> list[str]:
    """The names of events in each segment, as a JSON array."""
    return await fetch_scalars(session, str, _EVENT_NAMES_OF_SEGMENTS)
