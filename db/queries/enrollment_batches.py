"""Claims due enrollments, reads the outcomes they wait for, and parks the ones that fail. What a batch of
decisions changes is written by `enrollment_changes`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.queries.counters import COUNT_WRITTEN_VISITS, append_counts, place_changes
from db.queries.due_work import due_workflows
from db.queries.statements import execute, fetch_all, fetch_scalar


class EnrolledContact(msgspec.Struct, frozen=True):
    """A contact in a workflow, and the event by which it entered."""

    id: UUID
    workflow_id: UUID
    contact_id: UUID
    root_event_id: UUID
    depth: int


class ClaimedEnrollment(EnrolledContact, frozen=True):
    """An enrollment that is locked until the transaction ends."""

    version: int
    step_key: str | None
    seq: int
    fence: int
    wait_reason: str | None
    wait_until: datetime | None
    goal_key: str | None
    entered_at: datetime
    data: dict[str, JsonObject]
    wake_event_id: UUID | None
    contact_deleted: bool
    workflow_name: str
    workflow_status: str


class EffectOutcome(msgspec.Struct, frozen=True):
    """The state of the effect for which an enrollment waits."""

    enrollment_id: UUID
    status: Literal["pending", "claimed", "sent", "cancelled", "failed_permanent", "unknown", "retry"]
    started_at: datetime | None
    due_at: datetime
    error: str | None
    error_class: str | None
    result: JsonObject | None


_CLAIMED_COLUMNS = """
select e.id, e.workflow_id, e.contact_id, e.root_event_id, e.depth, e.version, e.step_key, e.seq, e.fence,
       e.wait_reason, e.wait_until, e.goal_key, e.entered_at, e.data, e.wake_event_id, e.contact_deleted,
       w.name as workflow_name, w.status as workflow_status"""
# In a held workflow no enrollment advances; in an archived one enrollments must still end.
_MAY_ADVANCE = "(not w.held or w.status = 'archived')"
# `offset 0` keeps this a lookup by key: as a join it could get a plan made when the table was empty.
_CLAIMABLE_ENROLLMENT = """e.status = 'active' and e.due_at <= cast(:now as timestamptz)
   and e.paused_at is null
   and not exists (select from enrollment_migrations r join jobs j on j.account_id = r.account_id
      and j.id = r.job_id
                    where r.account_id = e.account_id and r.enrollment_id = e.id
                      and j.status in ('queued', 'running') offset 0)"""
# Not ordered by id too: all enrollments due at the same time would be sorted for each batch. Enrollments that
# a dead worker's mark names are left out: they run alone.
_CLAIM_DUE_ENROLLMENTS = text(f"""
with w as materialized ({due_workflows("enrollments e", _CLAIMABLE_ENROLLMENT, _MAY_ADVANCE)})
{_CLAIMED_COLUMNS}
  from w
 cross join lateral (
       select e.* from enrollments e
        where e.account_id = current_account() and e.workflow_id = w.id and {_CLAIMABLE_ENROLLMENT}
          and e.id not in (select unnest(b.ids) from inflight_batches b
                            where b.account_id = current_account() and b.kind = 'advance')
        order by e.due_at limit :most for update of e skip locked) e
 limit :most
""").columns(data=JSONB)  # noqa: S608 -- constants
_CLAIM_ENROLLMENTS_BY_ID = text(f"""
{_CLAIMED_COLUMNS}
  from enrollments e
  join workflows w on w.account_id = e.account_id and w.id = e.workflow_id
 where e.account_id = current_account() and e.id = any(cast(:ids as uuid[])) and {_MAY_ADVANCE}
   and {_CLAIMABLE_ENROLLMENT}
   and not exists (select from engine_state i where i.held_at is not null)
 order by e.due_at limit :most for update of e skip locked
""").columns(data=JSONB)
_LOCK_ACTIVE_ENROLLMENTS = text(f"""
{_CLAIMED_COLUMNS}
  from enrollments e join workflows w on w.account_id = e.account_id and w.id = e.workflow_id
 where e.account_id = current_account() and e.id = any(cast(:ids as uuid[])) and e.status = 'active'
 order by e.id for update of e
""").columns(data=JSONB)

_READ_EFFECT_OUTCOMES = text("""
select f.enrollment_id, f.status, f.started_at, f.due_at, f.error, f.error_class, f.result from effects f
  join unnest(cast(:ids as uuid[]), cast(:seqs as int[])) w(id, seq)
    on w.id = f.enrollment_id and w.seq = f.seq
 where f.account_id = current_account()
""").columns(result=JSONB)
# With the fence: a member may have paused or moved the enrollment since it was claimed.
_PARK_POISON_ENROLLMENT = text("""
update enrollments set status = 'failed', exit_reason = 'failed_permanent', error = :error, due_at = null,
       step_key = coalesce(step_key, :step), seq = seq + :visits,
       wait_until = null, wait_reason = null, ended_at = cast(:now as timestamptz),
       updated_at = cast(:now as timestamptz), fence = fence + 1
 where account_id = current_account() and id = :id and fence = :fence and status = 'active' returning id
""")
# For a step that failed before it began. An existing row is the visit in which it failed.
_INSERT_FAILED_EXECUTION = text(f"""
with written as (
insert into enrollment_executions
       (enrollment_id, seq, step_key, kind, started_at, finished_at, outcome, error)
select e.id, e.seq, :step, :kind, cast(:now as timestamptz), cast(:now as timestamptz), 'failed', :error
  from enrollments e where e.account_id = current_account() and e.id = :id
on conflict do nothing returning enrollment_id, step_key, outcome, detail)
{COUNT_WRITTEN_VISITS}
""")  # noqa: S608 -- a constant
_FAIL_OPEN_EXECUTIONS = text(f"""
with written as (
update enrollment_executions set finished_at = cast(:now as timestamptz), outcome = 'failed', error = :error
 where account_id = current_account() and enrollment_id = :id and finished_at is null
returning enrollment_id, step_key, outcome, detail)
{COUNT_WRITTEN_VISITS}
""")  # noqa: S608 -- a constant


async def claim_due_enrollments(session: AsyncSession, now: datetime, most: int) -> list[ClaimedEnrollment]:
    """Locks due enrollments, those of the workflow that has waited longest first."""
    return await fetch_all(session, ClaimedEnrollment, _CLAIM_DUE_ENROLLMENTS, now=now, most=most)


async def claim_enrollments_by_id(
    session: AsyncSession, ids: Sequence[UUID], now: datetime
) -> list[ClaimedEnrollment]:
    """Locks those of these enrollments that are due."""
    return await fetch_all(
        session, ClaimedEnrollment, _CLAIM_ENROLLMENTS_BY_ID, now=now, most=len(ids), ids=ids
    )


async def lock_active_enrollments(session: AsyncSession, ids: Sequence[UUID]) -> list[ClaimedEnrollment]:
    """Locks those of these enrollments that have not ended, in the order of their ids."""
    return await fetch_all(session, ClaimedEnrollment, _LOCK_ACTIVE_ENROLLMENTS, ids=ids)


async def read_effect_outcomes(
    session: AsyncSession, visits: Sequence[tuple[UUID, int]]
) -> list[EffectOutcome]:
    """The effects of these visits (enrollment and seq)."""
    return await fetch_all(
        session,
        EffectOutcome,
        _READ_EFFECT_OUTCOMES,
        ids=[enrollment for enrollment, _ in visits],
        seqs=[seq for _, seq in visits],
    )


async def park_enrollment(
    session: AsyncSession, row: ClaimedEnrollment, step: str | None, visits: int, error: str, now: datetime
) -> bool:
    """Fails the enrollment at the step and counts so many visits to it; False if the enrollment changed since
    it was claimed."""
    parked = await fetch_scalar(
        session,
        UUID,
        _PARK_POISON_ENROLLMENT,
        id=row.id,
        fence=row.fence,
        step=step,
        visits=visits,
        error=error,
        now=now,
    )
    if parked is None:
        return False
    before, key = (row.workflow_id, row.version, row.step_key, "active"), row.step_key or step
    await append_counts(session, place_changes([(before, (row.workflow_id, row.version, key, "failed"))]))
    return True


async def fail_open_executions(session: AsyncSession, enrollment_id: UUID, error: str, now: datetime) -> None:
    """Closes the open visit of the enrollment as failed."""
    await execute(session, _FAIL_OPEN_EXECUTIONS, id=enrollment_id, error=error, now=now)


async def insert_failed_execution(
    session: AsyncSession, enrollment_id: UUID, step: str | None, kind: str, error: str, now: datetime
) -> None:
    """Adds a failed visit to a step that failed before it began."""
    await execute(
        session, _INSERT_FAILED_EXECUTION, id=enrollment_id, step=step, kind=kind, error=error, now=now
    )
