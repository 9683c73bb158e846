"""What publishing does to enrollments of older versions: counts them by version and step, locks them, and
moves them to another version.

Few enrollments are moved in the transaction that publishes (`lock_enrollments_at_step`). Many are marked
there (`mark_for_migration`), and a job moves them in batches (`lock_next_marked`, `unmark_enrollments`)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.queries.batch_statements import BatchStatement, fetch_batch, write_batch
from db.queries.counters import COUNT_WRITTEN_VISITS
from db.queries.effect_claims import NEVER_TRIED
from db.queries.statements import execute, fetch_all, fetch_scalar


class EnrollmentsAtStep(msgspec.Struct, frozen=True):
    """The active enrollments at one step of one version: when their waits end, since when they are at the
    step, and for how many an effect may be going out (`under_way`), was never tried, or waits for a retry
    (`tried`). `reason` is a wait reason of theirs, `reasons` how many they have."""

    version: int
    step_key: str | None
    enrollments: int
    due_first: datetime | None
    due_last: datetime | None
    began_first: datetime | None
    began_last: datetime | None
    under_way: int
    untried: int
    tried: int
    reason: str | None
    reasons: int


class LockedEnrollment(msgspec.Struct, frozen=True):
    """An enrollment that is locked until the transaction ends; `started_at` is when its open visit began."""

    id: UUID
    step_key: str | None
    seq: int
    wait_reason: str | None
    wait_until: datetime | None
    started_at: datetime | None


class MarkedEnrollment(LockedEnrollment, frozen=True):
    """A locked enrollment that a job moves; `choice` is the place of its choice in the list of the job."""

    version: int
    status: str
    choice: int


class UnfinishedEffect(msgspec.Struct, frozen=True):
    """A locked effect that was not sent, or may be going out now (`under_way`)."""

    enrollment_id: UUID
    under_way: bool
    untried: bool


class StepChoice(msgspec.Struct, frozen=True):
    """A step of a version (None: before the first step), and the place of its choice in a list."""

    version: int
    step: str | None
    choice: int


class MovedEnrollment(msgspec.Struct, frozen=True):
    """Where an enrollment goes. `goes_on`: its visit continues and waits until `wait_until`; otherwise the
    step starts again."""

    id: UUID
    step_key: str | None
    goes_on: bool
    wait_until: datetime | None


class NewMove(msgspec.Struct, frozen=True):
    """An entry of an enrollment's list of moves."""

    id: UUID
    enrollment_id: UUID
    from_step: str | None
    to_step: str | None


class NewDeadline(msgspec.Struct, frozen=True):
    """When the open question of an enrollment's visit ends now."""

    id: UUID
    seq: int
    wait_until: datetime | None


class _ChoiceCount(msgspec.Struct, frozen=True):
    choice: int
    enrollments: int


_MAY_BE_GOING_OUT = f"(f.status = 'unknown' or f.status = 'claimed' and not ({NEVER_TRIED}))"
_UNSENT_AT_STEP = "f.seq = e.seq and f.status in ('pending', 'retry', 'claimed')"


def _count_having(condition: str) -> str:
    """How many of the enrollments `e` have an effect `f` like that."""
    return f"""count(*) filter (where exists (
         select from effects f where f.account_id = e.account_id and f.enrollment_id = e.id
            and {condition}))"""


_COUNT_ENROLLMENTS_BY_STEP = text(f"""
select e.version, e.step_key, count(*) as enrollments, min(e.wait_until) as due_first,
       max(e.wait_until) as due_last, min(x.started_at) as began_first, max(x.started_at) as began_last,
       {_count_having(_MAY_BE_GOING_OUT)} as under_way,
       {_count_having(f"{_UNSENT_AT_STEP} and {NEVER_TRIED}")} as untried,
       {_count_having(f"{_UNSENT_AT_STEP} and f.status <> 'claimed' and not ({NEVER_TRIED})")} as tried,
       min(e.wait_reason) as reason, count(distinct coalesce(e.wait_reason, '')) as reasons
  from enrollments e
  left join enrollment_executions x
    on x.account_id = e.account_id and x.enrollment_id = e.id and x.seq = e.seq and x.finished_at is null
 where e.account_id = current_account() and e.workflow_id = :workflow and e.status = 'active'
 group by 1, 2 order by 1 desc, 2
""")  # noqa: S608 -- constants
_LOCK_UNFINISHED_EFFECTS = text(f"""
select f.enrollment_id, {_MAY_BE_GOING_OUT} as under_way, ({NEVER_TRIED}) as untried from effects f
 where f.account_id = current_account() and f.enrollment_id = any(cast(:ids as uuid[]))
   and f.status in ('pending', 'retry', 'claimed', 'unknown')
 order by f.id for update
""")  # noqa: S608 -- constants
# Claimed by a worker that has not begun the call. The new fence keeps it from beginning, and it cannot be
# beginning right now, because the enrollment is locked.
_CANCEL_UNBEGUN_CLAIMS = text(f"""
update effects f set status = 'cancelled', fence = f.fence + 1, lease_until = null, error = :error
 where f.account_id = current_account() and f.enrollment_id = any(cast(:ids as uuid[]))
   and f.status = 'claimed' and {NEVER_TRIED}
""")  # noqa: S608 -- constants
_CLOSE_VISITS = text(f"""
with written as (
update enrollment_executions set finished_at = cast(:now as timestamptz), outcome = 'left',
       detail = detail || cast(:detail as jsonb)
 where account_id = current_account() and enrollment_id = any(cast(:ids as uuid[])) and finished_at is null
returning enrollment_id, step_key, outcome, detail)
{COUNT_WRITTEN_VISITS}
""")  # noqa: S608 -- a constant
_COUNT_ENROLLMENTS_AT_STEP = text("""
select count(*) as enrollments from enrollments
 where account_id = current_account() and workflow_id = :workflow and version = :version
   and step_key is not distinct from cast(:step as text) and status = 'active'
""")
_LOCK_ENROLLMENTS_AT_STEP = text("""
select e.id, e.step_key, e.seq, e.wait_reason, e.wait_until, x.started_at
  from enrollments e
  left join enrollment_executions x
    on x.account_id = e.account_id and x.enrollment_id = e.id and x.seq = e.seq and x.finished_at is null
 where e.account_id = current_account() and e.workflow_id = :workflow and e.version = :version
   and e.step_key is not distinct from cast(:step as text) and e.status = 'active'
   and e.id > :after
 order by e.id limit :most for update of e
""")
# From the commit on they do not advance in their old version, because the claim of due enrollments leaves
# them out. An earlier job loses enrollments that it had marked.
_MARK_FOR_MIGRATION = BatchStatement(
    StepChoice,
    """
with x as materialized (
        select e.id, v.choice from enrollments e
          join {v} on v.version = e.version and v.step is not distinct from e.step_key
         where e.account_id = current_account() and e.workflow_id = :workflow and e.status = 'active'
         order by e.id for update of e),
     marked as (
        insert into enrollment_migrations (enrollment_id, job_id, choice) select id, :job, choice from x
        on conflict (account_id, enrollment_id)
           do update set job_id = excluded.job_id, choice = excluded.choice
        returning choice)
select choice, count(*) as enrollments from marked group by 1
""",
)
_LOCK_NEXT_MARKED = text("""
select e.id, e.step_key, e.seq, e.wait_reason, e.wait_until, x.started_at, e.version, e.status, r.choice
  from enrollment_migrations r
  join enrollments e on e.account_id = r.account_id and e.id = r.enrollment_id
  left join enrollment_executions x
    on x.account_id = e.account_id and x.enrollment_id = e.id and x.seq = e.seq and x.finished_at is null
 where r.account_id = current_account() and r.job_id = :job
 order by r.enrollment_id limit :most for update of e
""")
_UNMARK_ENROLLMENTS = text("""
delete from enrollment_migrations where account_id = current_account()
   and enrollment_id = any(cast(:ids as uuid[]))
""")
_LOCK_ENROLLMENTS_AT_STEPS = BatchStatement(
    StepChoice,
    """
select e.id from enrollments e
  join {v} on v.version = e.version and v.step is not distinct from e.step_key
 where e.account_id = current_account() and e.workflow_id = :workflow and e.status = 'active'
 order by e.id for update of e
""",
)
# If the visit continues, the enrollment becomes due nevertheless, because it may meet a goal of the new
# version. A paused enrollment stays paused; one that waits for a call becomes due after it.
_MIGRATE_ENROLLMENTS = BatchStatement(
    MovedEnrollment,
    """
with before as (
select e.workflow_id, e.version, e.step_key, e.status
  from enrollments e join {v} on e.id = v.id where e.account_id = current_account()),
     after as (
update enrollments e
   set version = :version, step_key = v.step_key, fence = e.fence + 1,
       updated_at = cast(:now as timestamptz),
       wait_reason = case when v.goes_on then e.wait_reason end,
       wait_until = case when v.goes_on then v.wait_until end,
       wake_event_id = case when v.goes_on then e.wake_event_id end,
       due_at = case when e.paused_at is null and (not v.goes_on or e.due_at is not null)
                     then cast(:now as timestamptz) end
  from {v}
 where e.account_id = current_account() and e.id = v.id
returning e.workflow_id, e.version, e.step_key, e.status)
insert into counter_deltas (family, subject_id, version, step_key, state, n)
select 'enrollments', workflow_id, version, coalesce(step_key, ''), status, sum(n)
  from (select b.*, -1 as n from before b union all select a.*, 1 from after a) x
 group by 2, 3, 4, 5 having sum(n) <> 0
""",
)
_INSERT_MOVES = BatchStatement(
    NewMove,
    """
insert into enrollment_moves
       (id, enrollment_id, from_version, to_version, from_step, to_step, moved_by, moved_at)
select v.id, v.enrollment_id, :from_version, :to_version, v.from_step, v.to_step, :by,
       cast(:now as timestamptz)
  from {v}
""",
)
_UPDATE_APPROVAL_DEADLINES = BatchStatement(
    NewDeadline,
    """
update approvals a set due_at = v.wait_until
  from {v}
 where a.account_id = current_account() and a.enrollment_id = v.id and a.seq = v.seq and a.status = 'open'
""",
)
_WAKE_ARCHIVED_ENROLLMENTS = text("""
with x as materialized (
        select id from enrollments
         where account_id = current_account() and workflow_id = :workflow and status = 'active'
         order by id for update)
update enrollments e set due_at = cast(:now as timestamptz), paused_at = null from x
 where e.account_id = current_account() and e.id = x.id
""")


async def count_enrollments_by_step(session: AsyncSession, workflow_id: UUID) -> list[EnrollmentsAtStep]:
    """The active enrollments by version, the newest first, and step."""
    return await fetch_all(session, EnrollmentsAtStep, _COUNT_ENROLLMENTS_BY_STEP, workflow=workflow_id)


async def count_enrollments_at_step(
    session: AsyncSession, workflow_id: UUID, version: int, step: str | None
) -> int:
    """How many active enrollments are at this step of this version."""
    return (
        await fetch_scalar(
            session, int, _COUNT_ENROLLMENTS_AT_STEP, workflow=workflow_id, version=version, step=step
        )
        or 0
    )


async def lock_enrollments_at_steps(
    session: AsyncSession, workflow_id: UUID, steps: Sequence[StepChoice]
) -> None:
    """Locks all enrollments at these steps, in the order in which several are always locked."""
    await write_batch(session, _LOCK_ENROLLMENTS_AT_STEPS, steps, workflow=workflow_id)


async def lock_enrollments_at_step(
    session: AsyncSession, workflow_id: UUID, version: int, step: str | None, after: UUID, limit: int
) -> list[LockedEnrollment]:
    """Locks the next `limit` enrollments at this step after that id, in the order of their ids."""
    return await fetch_all(
        session,
        LockedEnrollment,
        _LOCK_ENROLLMENTS_AT_STEP,
        workflow=workflow_id,
        version=version,
        step=step,
        after=after,
        most=limit,
    )


async def lock_unfinished_effects(
    session: AsyncSession, enrollments: Sequence[UUID]
) -> list[UnfinishedEffect]:
    """Locks the effects that these (locked) enrollments have not sent or may be sending."""
    return await fetch_all(session, UnfinishedEffect, _LOCK_UNFINISHED_EFFECTS, ids=enrollments)


async def close_visits(
    session: AsyncSession, enrollments: Sequence[UUID], detail: JsonObject, now: datetime
) -> None:
    """Closes the unfinished visits of these (locked) enrollments as left; `detail` is added to theirs."""
    text_of_detail = msgspec.json.encode(detail).decode()
    await execute(session, _CLOSE_VISITS, ids=enrollments, detail=text_of_detail, now=now)


async def cancel_unbegun_claims(session: AsyncSession, enrollments: Sequence[UUID], error: str) -> None:
    """Cancels the effects of these (locked) enrollments that are claimed, but not begun."""
    await execute(session, _CANCEL_UNBEGUN_CLAIMS, ids=enrollments, error=error)


async def mark_for_migration(
    session: AsyncSession, workflow_id: UUID, job_id: UUID, steps: Sequence[StepChoice]
) -> dict[int, int]:
    """Marks all enrollments at these steps for a job; returns how many by choice."""
    rows = await fetch_batch(
        session, _ChoiceCount, _MARK_FOR_MIGRATION, steps, workflow=workflow_id, job=job_id
    )
    return {row.choice: row.enrollments for row in rows}


async def lock_next_marked(session: AsyncSession, job_id: UUID, limit: int) -> list[MarkedEnrollment]:
    """Locks the next enrollments that are marked for a job."""
    return await fetch_all(session, MarkedEnrollment, _LOCK_NEXT_MARKED, job=job_id, most=limit)


async def unmark_enrollments(session: AsyncSession, enrollments: Sequence[UUID]) -> None:
    """Deletes the marks of these enrollments."""
    await execute(session, _UNMARK_ENROLLMENTS, ids=enrollments)


async def migrate_enrollments(
    session: AsyncSession, rows: Sequence[MovedEnrollment], version: int, now: datetime
) -> None:
    """Takes these (locked) enrollments to another version."""
    await write_batch(session, _MIGRATE_ENROLLMENTS, rows, version=version, now=now)


async def insert_moves(
    session: AsyncSession, rows: Sequence[NewMove], from_version: int, to_version: int, by: str, now: datetime
) -> None:
    """Stores that these enrollments were moved."""
    await write_batch(
        session, _INSERT_MOVES, rows, from_version=from_version, to_version=to_version, by=by, now=now
    )


async def update_approval_deadlines(session: AsyncSession, rows: Sequence[NewDeadline]) -> None:
    """Gives open questions the deadlines of their moved enrollments."""
    await write_batch(session, _UPDATE_APPROVAL_DEADLINES, rows)


async def wake_archived_enrollments(session: AsyncSession, workflow_id: UUID, now: datetime) -> None:
    """Makes the active enrollments of a workflow due, also paused ones: they end."""
    await execute(session, _WAKE_ARCHIVED_ENROLLMENTS, workflow=workflow_id, now=now)
