"""Writes what a batch of decisions changed of enrollments: their visits, their state, and their effects.

Everything in a batch happens at one time, so `now` is one value and not a column."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.queries.batch_statements import BatchStatement, write_batch
from db.queries.statements import execute


class NewExecution(msgspec.Struct, frozen=True):
    """A visit to a step; no `outcome` while it lasts."""

    enrollment_id: UUID
    seq: int
    step_key: str
    kind: str
    outcome: str | None
    detail: JsonObject
    error: str | None


class ClosedExecution(msgspec.Struct, frozen=True):
    """The end of the open visit `seq`; `detail` is added to the stored one."""

    enrollment_id: UUID
    seq: int
    outcome: str
    detail: JsonObject
    error: str | None


class EnrollmentUpdate(msgspec.Struct, frozen=True):
    """The next state of an enrollment."""

    id: UUID
    status: str
    step_key: str | None
    seq: int
    due_at: datetime | None
    wait_until: datetime | None
    wait_reason: str | None
    exit_reason: str | None
    goal_key: str | None
    error: str | None


class DueTime(msgspec.Struct, frozen=True):
    """When the engine looks at an enrollment next, whose state is as before."""

    id: UUID
    due_at: datetime | None


class EnrollmentData(msgspec.Struct, frozen=True):
    """All data of an enrollment."""

    id: UUID
    data: JsonObject


class NewEffect(msgspec.Struct, frozen=True):
    """An outbound call, to be made at once."""

    id: UUID
    enrollment_id: UUID
    seq: int
    workflow_id: UUID
    contact_id: UUID
    step_key: str
    kind: str
    idempotency_key: str
    payload: JsonObject
    on_doubt: str


class VisitKey(msgspec.Struct, frozen=True):
    """The key of a visit to a step."""

    enrollment_id: UUID
    seq: int


_INSERT_EXECUTIONS = BatchStatement(
    NewExecution,
    """
insert into enrollment_executions
       (enrollment_id, seq, step_key, kind, started_at, finished_at, outcome, detail, error)
select v.enrollment_id, v.seq, v.step_key, v.kind, cast(:now as timestamptz),
       case when v.outcome is not null then cast(:now as timestamptz) end, v.outcome,
       cast(v.detail as jsonb), v.error
  from {v}
""",
)
_CLOSE_EXECUTIONS = BatchStatement(
    ClosedExecution,
    """
update enrollment_executions x
   set finished_at = cast(:now as timestamptz), outcome = v.outcome,
       detail = x.detail || cast(v.detail as jsonb), error = v.error
  from {v}
 where x.account_id = current_account() and x.enrollment_id = v.enrollment_id and x.seq = v.seq
""",
)
_UPDATE_ENROLLMENTS = BatchStatement(
    EnrollmentUpdate,
    """
update enrollments t
   set status = v.status, step_key = v.step_key, seq = v.seq, due_at = v.due_at, wait_until = v.wait_until,
       wait_reason = v.wait_reason, exit_reason = v.exit_reason, goal_key = v.goal_key, error = v.error,
       wake_event_id = null,
       ended_at = case when v.status = 'active' then null else cast(:now as timestamptz) end,
       fence = t.fence + 1, updated_at = cast(:now as timestamptz)
  from {v}
 where t.account_id = current_account() and t.id = v.id
""",
)
_UPDATE_DUE_TIMES = BatchStatement(
    DueTime,
    """
update enrollments t set due_at = v.due_at
  from {v}
 where t.account_id = current_account() and t.id = v.id
""",
)
_UPDATE_ENROLLMENT_DATA = BatchStatement(
    EnrollmentData,
    """
update enrollments e set data = cast(v.data as jsonb)
  from {v}
 where e.account_id = current_account() and e.id = v.id
""",
)
_INSERT_EFFECTS = BatchStatement(
    NewEffect,
    """
insert into effects
       (id, enrollment_id, seq, workflow_id, contact_id, step_key, kind, idempotency_key, payload, on_doubt,
        due_at)
select v.id, v.enrollment_id, v.seq, v.workflow_id, v.contact_id, v.step_key, v.kind, v.idempotency_key,
       cast(v.payload as jsonb), v.on_doubt, cast(:now as timestamptz)
  from {v}
""",
)
# The error of an earlier try is kept: it may say that the call may have arrived.
_CANCEL_UNSENT_EFFECTS = text("""
update effects set status = 'cancelled', fence = fence + 1,
       error = concat_ws(' ', cast(:error as text), 'Last try: ' || error)
 where account_id = current_account() and enrollment_id = any(cast(:ids as uuid[]))
   and status in ('pending', 'retry')
""")
_CANCEL_EFFECTS_OF_VISITS = BatchStatement(
    VisitKey,
    """
update effects f set status = 'cancelled', fence = f.fence + 1,
       error = concat_ws(' ', cast(:error as text), 'Last try: ' || f.error)
  from {v}
 where f.account_id = current_account() and f.enrollment_id = v.enrollment_id and f.seq = v.seq
   and f.status in ('pending', 'retry')
""",
)


async def insert_executions(session: AsyncSession, rows: Sequence[NewExecution], now: datetime) -> None:
    """Adds visits that began now."""
    await write_batch(session, _INSERT_EXECUTIONS, rows, now=now)


async def close_executions(session: AsyncSession, rows: Sequence[ClosedExecution], now: datetime) -> None:
    """Ends visits that earlier batches began."""
    await write_batch(session, _CLOSE_EXECUTIONS, rows, now=now)


async def update_enrollments(session: AsyncSession, rows: Sequence[EnrollmentUpdate], now: datetime) -> None:
    """Stores the next states."""
    await write_batch(session, _UPDATE_ENROLLMENTS, rows, now=now)


async def update_due_times(session: AsyncSession, rows: Sequence[DueTime]) -> None:
    """Stores when the engine looks next at enrollments that did not move."""
    await write_batch(session, _UPDATE_DUE_TIMES, rows)


async def update_enrollment_data(session: AsyncSession, rows: Sequence[EnrollmentData]) -> None:
    """Replaces the data of enrollments."""
    await write_batch(session, _UPDATE_ENROLLMENT_DATA, rows)


async def insert_effects(session: AsyncSession, rows: Sequence[NewEffect], now: datetime) -> None:
    """Adds effects that are due now."""
    await write_batch(session, _INSERT_EFFECTS, rows, now=now)


async def cancel_unsent_effects(session: AsyncSession, enrollments: Sequence[UUID], error: str) -> None:
    """Cancels what these enrollments have not sent; `error` says why."""
    await execute(session, _CANCEL_UNSENT_EFFECTS, ids=enrollments, error=error)


async def cancel_effects_of_visits(session: AsyncSession, visits: Sequence[VisitKey], error: str) -> None:
    """Cancels what these visits have not sent; `error` says why."""
    await write_batch(session, _CANCEL_EFFECTS_OF_VISITS, visits, error=error)
