"""Enrollments, effects and jobs as queues, for the Jobs page: what is due, waits, runs or failed."""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.statements import fetch_all, fetch_one

LATELY = timedelta(hours=1)

# What is held isn't late: it isn't supposed to move.
_HELD = """select w.id from workflows w
            where w.account_id = current_account() and w.held and w.status <> 'archived'"""
_DUE_ENROLLMENT = f"(e.due_at <= cast(:now as timestamptz) and e.workflow_id not in ({_HELD}))"
_COUNT_ENROLLMENTS = text(f"""
select count(*) filter (where e.status = 'active' and {_DUE_ENROLLMENT}) as ready,
       count(*) filter (where e.status = 'active' and {_DUE_ENROLLMENT} is not true) as waiting,
       count(*) filter (where e.status = 'failed') as failed,
       min(e.due_at) filter (where e.status = 'active' and {_DUE_ENROLLMENT}) as oldest,
       min(e.due_at) filter (where e.status = 'active' and e.due_at > cast(:now as timestamptz)) as next
  from enrollments e
 where e.account_id = current_account() and e.status in ('active', 'failed')
""")  # noqa: S608 -- constants
_COUNT_UNMATCHED_EVENTS = text("""
select count(*) as ready, min(occurred_at) as oldest from events
 where account_id = current_account() and matched_at is null
""")
# Effects that are not sent even when due: held, paused, or stopped by a circuit breaker.
_STOPPED = f"""(f.workflow_id in ({_HELD})
        or f.enrollment_id in (
             select e.id from enrollments e
              where e.account_id = current_account() and e.paused_at is not null)
        or (f.workflow_id, f.step_key) in (
             select b.workflow_id, b.step_key from circuit_breakers b
              where b.account_id = current_account() and b.state <> 'closed'))"""  # noqa: S608 -- constants
_OPEN = "f.status in ('pending', 'retry')"
_DUE_EFFECT = f"(f.due_at <= cast(:now as timestamptz) and not {_STOPPED})"
_SENT_LATELY = "(f.status = 'sent' and f.sent_at > cast(:since as timestamptz))"
# The enrollment failed together with the effect and was not retried since.
_FAILED_FOR_GOOD = """(f.status = 'failed_permanent'
        and exists (select from enrollments e where e.account_id = f.account_id and e.id = f.enrollment_id
                       and e.seq = f.seq and e.status = 'failed'))"""
_COUNT_EFFECTS = text(f"""
select f.kind as queue,
       count(*) filter (where {_OPEN} and {_DUE_EFFECT}) as ready,
       count(*) filter (where f.status = 'claimed') as running,
       count(*) filter (where {_OPEN} and not {_DUE_EFFECT}) as waiting,
       count(*) filter (where {_FAILED_FOR_GOOD}) as failed,
       count(*) filter (where f.status = 'unknown') as doubt,
       count(*) filter (where {_SENT_LATELY}) as done,
       min(f.due_at) filter (where {_OPEN} and {_DUE_EFFECT}) as oldest,
       min(f.due_at) filter (where {_OPEN} and f.due_at > cast(:now as timestamptz)) as next
  from effects f
 where f.account_id = current_account()
   and (f.status in ('pending', 'claimed', 'retry', 'unknown', 'failed_permanent') or {_SENT_LATELY})
 group by 1
""")  # noqa: S608 -- constants
_COUNT_JOBS = text("""
select queue,
       count(*) filter (where status = 'queued' and due_at <= cast(:now as timestamptz)) as ready,
       count(*) filter (where status = 'running') as running,
       count(*) filter (where status = 'queued' and due_at > cast(:now as timestamptz)) as waiting,
       count(*) filter (where status = 'failed') as failed,
       0 as doubt,
       count(*) filter (where status = 'done' and finished_at > cast(:since as timestamptz)) as done,
       min(due_at) filter (where status = 'queued' and due_at <= cast(:now as timestamptz)) as oldest,
       min(due_at) filter (where status = 'queued' and due_at > cast(:now as timestamptz)) as next
  from jobs
 where account_id = current_account()
 group by 1
""")


class EnrollmentCounts(msgspec.Struct, frozen=True):
    """How many active enrollments are due and wait, and how many failed; since when the first is due, and
    when the next will be."""

    ready: int
    waiting: int
    failed: int
    oldest: datetime | None
    next: datetime | None


class UnmatchedEvents(msgspec.Struct, frozen=True):
    """How many events the matcher has not processed, and when the first of them occurred."""

    ready: int
    oldest: datetime | None


class QueueCounts(msgspec.Struct, frozen=True):
    """One queue of effects or jobs, as `EnrollmentCounts`; `done` counts the last hour."""

    queue: str
    ready: int
    running: int
    waiting: int
    failed: int
    doubt: int
    done: int
    oldest: datetime | None
    next: datetime | None


async def count_enrollments(session: AsyncSession, now: datetime) -> EnrollmentCounts:
    counts = await fetch_one(session, EnrollmentCounts, _COUNT_ENROLLMENTS, now=now)
    return counts or EnrollmentCounts(0, 0, 0, None, None)


async def count_unmatched_events(session: AsyncSession) -> UnmatchedEvents:
    return await fetch_one(session, UnmatchedEvents, _COUNT_UNMATCHED_EVENTS) or UnmatchedEvents(0, None)


async def count_effects(session: AsyncSession, now: datetime) -> list[QueueCounts]:
    """One for each kind of effect that there is."""
    return await fetch_all(session, QueueCounts, _COUNT_EFFECTS, now=now, since=now - LATELY)


async def count_jobs(session: AsyncSession, now: datetime) -> list[QueueCounts]:
    """One for each queue of jobs that there is."""
    return await fetch_all(session, QueueCounts, _COUNT_JOBS, now=now, since=now - LATELY)
