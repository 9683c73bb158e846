"""Writes what steps leave besides their visits: notes, tasks, notifications, approvals and audit entries.

Users are joined with memberships: a user who has left the account is skipped instead of failing the batch.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import Json, JsonObject
from db.queries.batch_statements import BatchStatement, write_batch


class StepNote(msgspec.Struct, frozen=True):
    """A note that a step added; the step is its author."""

    id: UUID
    contact_id: UUID
    body: str
    author_id: str
    author_name: str


class StepTask(msgspec.Struct, frozen=True):
    """A task that a step added; nobody has it if the assignee left the account."""

    id: UUID
    contact_id: UUID
    title: str
    body: str
    assignee_id: UUID | None
    due_at: datetime | None
    author_id: str
    author_name: str


class StepNotification(msgspec.Struct, frozen=True):
    """A notification of one member."""

    id: UUID
    user_id: UUID
    title: str
    body: str
    href: str
    contact_id: UUID


class StepApproval(msgspec.Struct, frozen=True):
    """A question that the visit `seq` waits with; `options` are {key, name}, `users` ids of members."""

    id: UUID
    enrollment_id: UUID
    seq: int
    workflow_id: UUID
    contact_id: UUID
    step_key: str
    question: str
    options: list[Json]
    users: list[Json]
    due_at: datetime


class ClosedApproval(msgspec.Struct, frozen=True):
    """The end of a question that was not answered: withdrawn or expired."""

    enrollment_id: UUID
    seq: int
    status: str


class StepAuditEntry(msgspec.Struct, frozen=True):
    """What a step changed of a contact; `actor_id` is "<workflow id>:<step key>"."""

    id: UUID
    actor_id: str
    actor_name: str
    action: str
    subject_id: str
    changes: JsonObject


_INSERT_APPROVALS = BatchStatement(
    StepApproval,
    """
insert into approvals
       (id, enrollment_id, seq, workflow_id, contact_id, step_key, question, options, users, due_at,
        created_at)
select v.id, v.enrollment_id, v.seq, v.workflow_id, v.contact_id, v.step_key, v.question,
       cast(v.options as jsonb), cast(v.users as jsonb), v.due_at, cast(:now as timestamptz)
  from {v}
""",
)
_CLOSE_APPROVALS = BatchStatement(
    ClosedApproval,
    """
update approvals a set status = v.status
  from {v}
 where a.account_id = current_account() and a.enrollment_id = v.enrollment_id and a.seq = v.seq
   and a.status = 'open'
""",
)
_INSERT_NOTES = BatchStatement(
    StepNote,
    """
insert into notes (id, contact_id, body, author_kind, author_id, author_name, created_at)
select v.id, v.contact_id, v.body, 'step', v.author_id, v.author_name, cast(:now as timestamptz)
  from {v}
""",
)
_INSERT_TASKS = BatchStatement(
    StepTask,
    """
insert into tasks
       (id, contact_id, title, body, assignee_id, due_at, author_kind, author_id, author_name, created_at,
        updated_at)
select v.id, v.contact_id, v.title, v.body, m.user_id, v.due_at, 'step', v.author_id, v.author_name,
       cast(:now as timestamptz), cast(:now as timestamptz)
  from {v}
  left join memberships m on m.account_id = current_account() and m.user_id = v.assignee_id
""",
)
_INSERT_NOTIFICATIONS = BatchStatement(
    StepNotification,
    """
insert into notifications (id, user_id, title, body, href, contact_id, created_at)
select v.id, m.user_id, v.title, v.body, v.href, v.contact_id, cast(:now as timestamptz)
  from {v}
  join memberships m on m.account_id = current_account() and m.user_id = v.user_id
""",
)
_INSERT_AUDIT_ENTRIES = BatchStatement(
    StepAuditEntry,
    """
insert into audit_logs
       (id, occurred_at, actor_kind, actor_id, actor_name, action, subject_kind, subject_id, changes, rev)
select v.id, cast(:now as timestamptz), 'step', v.actor_id, v.actor_name, v.action, 'contact', v.subject_id,
       cast(v.changes as jsonb), c.rev
  from {v}
  left join contacts c on c.account_id = current_account() and c.id = cast(v.subject_id as uuid)
""",
)


async def insert_approvals(session: AsyncSession, rows: Sequence[StepApproval], now: datetime) -> None:
    """Asks the questions."""
    await write_batch(session, _INSERT_APPROVALS, rows, now=now)


async def close_approvals(session: AsyncSession, rows: Sequence[ClosedApproval]) -> None:
    """Closes those of these questions that are still open."""
    await write_batch(session, _CLOSE_APPROVALS, rows)


async def insert_notes(session: AsyncSession, rows: Sequence[StepNote], now: datetime) -> None:
    """Adds notes to contacts."""
    await write_batch(session, _INSERT_NOTES, rows, now=now)


async def insert_tasks(session: AsyncSession, rows: Sequence[StepTask], now: datetime) -> None:
    """Adds tasks about contacts."""
    await write_batch(session, _INSERT_TASKS, rows, now=now)


async def insert_notifications(
    session: AsyncSession, rows: Sequence[StepNotification], now: datetime
) -> None:
    """Notifies members, except those who left the account."""
    await write_batch(session, _INSERT_NOTIFICATIONS, rows, now=now)


async def insert_audit_entries(session: AsyncSession, rows: Sequence[StepAuditEntry], now: datetime) -> None:
    """Adds audit entries about contacts, which have been written before: each takes the revision of its
    contact."""
    await write_batch(session, _INSERT_AUDIT_ENTRIES, rows, now=now)
