"""What the workflow screens read: the list of workflows, the versions of one, the counts on its canvas."""

from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Boolean, Executable, case, func, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Enrollment, Workflow
from db.queries.counters import is_known, read_counts, summed
from db.queries.paging import fetch_page_of
from db.queries.statements import fetch_all, fetch_scalar, fetch_scalars, stoppable

MOST_LISTED = 500
Row = TypeVar("Row", bound=msgspec.Struct)


class ListedWorkflow(msgspec.Struct, frozen=True):
    """A workflow of the list; `live` is the number of its active enrollments."""

    id: UUID
    name: str
    status: str
    live_version: int | None
    live: int
    updated_at: datetime


class NamedWorkflow(msgspec.Struct, frozen=True):
    """A workflow to choose."""

    id: UUID
    name: str


class ListedVersion(msgspec.Struct, frozen=True):
    """A published version without its document."""

    number: int
    content_hash: str
    published_by: str
    published_at: datetime


class EnrollmentsAtPlace(msgspec.Struct, frozen=True):
    """How many enrollments with this status are at this step of this version."""

    status: str
    version: int
    step_key: str | None
    enrollments: int


class VisitCount(msgspec.Struct, frozen=True):
    """How many visits of this step ended with this outcome; `branch` is the lane they took, if any."""

    step_key: str
    outcome: str
    branch: str | None
    enrollments: int


# Live workflows whose version has the trigger “Enrolled manually”.
_LIST_WORKFLOWS_TO_ENTER = text("""
select w.id, w.name from workflows w
  join workflow_versions v
    on v.account_id = w.account_id and v.workflow_id = w.id and v.number = w.live_version
 where w.account_id = current_account() and w.status = 'active'
   and v.document @> cast('{"triggers": [{"kind": "manual"}]}' as jsonb)
 order by lower(w.name), w.id limit 500
""")
_SCANNED = (
    select(func.count())
    .where(
        Enrollment.account_id == Workflow.account_id,
        Enrollment.workflow_id == Workflow.id,
        Enrollment.status == "active",
    )
    .correlate(Workflow)
    .scalar_subquery()
)
_COUNTED = literal_column(summed("enrollments", "subject_id = workflows.id and state = 'active'"), BigInteger)
_LIVE = case((literal_column(is_known("enrollments"), Boolean), _COUNTED), else_=_SCANNED)
_WORKFLOWS = select(
    Workflow.id,
    Workflow.name,
    Workflow.status,
    Workflow.live_version,
    _LIVE.label("live"),
    Workflow.updated_at,
)
_LIST_NAMES = text("""
select id, name from workflows where account_id = current_account() order by name, id limit :most
""")
_LIST_VERSIONS = text("""
select number, content_hash, published_by, published_at from workflow_versions
 where account_id = current_account() and workflow_id = :workflow order by number desc
""")
_LAST_VERSION = text("""
select max(number) from workflow_versions where account_id = current_account() and workflow_id = :workflow
""")
# An index-only scan, for a family that is not counted yet.
_COUNT_BY_PLACE = text("""
select status, version, step_key, count(*) as enrollments from enrollments
 where account_id = current_account() and workflow_id = :workflow group by 1, 2, 3
""")
# A visit after which the step was visited again (a sending window, a missed slot) does not count.
_COUNT_VISITS = text("""
select x.step_key, x.outcome, x.detail->>'branch' as branch, count(*) as enrollments
  from enrollment_executions x join enrollments e on e.account_id = x.account_id and e.id = x.enrollment_id
 where x.account_id = current_account() and e.workflow_id = :workflow and x.finished_at is not null
   and (x.outcome <> 'passed' or x.detail->'again' is null)
 group by 1, 2, 3
""")
_LIST_STOPPED_STEPS = text("""
select distinct step_key from circuit_breakers
 where account_id = current_account() and workflow_id = :workflow and state <> 'closed'
""")


async def fetch_workflow_page(
    session: AsyncSession, *, after: UUID | None, before: UUID | None, limit: int
) -> tuple[list[ListedWorkflow], bool]:
    """At most `limit` workflows, newest first, older than `after` or newer than `before`, and whether there
    are more in that direction."""
    query = _WORKFLOWS.where(Workflow.account_id == session.info["account_id"])
    return await fetch_page_of(
        session, ListedWorkflow, query, Workflow.id, after=after, before=before, limit=limit
    )


async def list_workflows_to_enter(session: AsyncSession) -> list[NamedWorkflow]:
    """The workflows that accept contacts by hand, by name; at most 500."""
    return await fetch_all(session, NamedWorkflow, _LIST_WORKFLOWS_TO_ENTER)


async def list_workflow_names(session: AsyncSession) -> list[NamedWorkflow]:
    """The workflows of the account, by name."""
    return await fetch_all(session, NamedWorkflow, _LIST_NAMES, most=MOST_LISTED)


async def list_versions(session: AsyncSession, workflow_id: UUID) -> list[ListedVersion]:
    """The versions of a workflow, newest first."""
    return await fetch_all(session, ListedVersion, _LIST_VERSIONS, workflow=workflow_id)


async def read_last_version(session: AsyncSession, workflow_id: UUID) -> int:
    """The highest number of a version of a workflow; 0 when none was published."""
    return await fetch_scalar(session, int, _LAST_VERSION, workflow=workflow_id) or 0


async def count_by_place(session: AsyncSession, workflow_id: UUID) -> list[EnrollmentsAtPlace]:
    """The enrollments of a workflow by status, version and step. Raises `StatementStopped`."""
    places = await read_counts(session, "enrollments", workflow_id)
    if places is not None:
        return [
            EnrollmentsAtPlace(place.state, place.version, place.step_key or None, place.n)
            for place in places
        ]
    return await _scan(session, EnrollmentsAtPlace, _COUNT_BY_PLACE, workflow_id)


async def count_visits(session: AsyncSession, workflow_id: UUID) -> list[VisitCount]:
    """The finished visits of a workflow's steps, over all versions. Raises `StatementStopped`."""
    visits = await read_counts(session, "visits", workflow_id)
    if visits is not None:
        return [VisitCount(visit.step_key, visit.state, visit.lane or None, visit.n) for visit in visits]
    return await _scan(session, VisitCount, _COUNT_VISITS, workflow_id)


async def _scan(
    session: AsyncSession, kind: type[Row], statement: Executable, workflow_id: UUID
) -> list[Row]:
    """The rows of a count without counters. When it takes too long, the transaction goes on without it."""
    async with stoppable(session):
        return await fetch_all(session, kind, statement, workflow=workflow_id)


async def list_stopped_steps(session: AsyncSession, workflow_id: UUID) -> list[str]:
    """The keys of the steps that a circuit breaker stops now."""
    return await fetch_scalars(session, str, _LIST_STOPPED_STEPS, workflow=workflow_id)
