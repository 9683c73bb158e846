"""What the page of a contact shows besides it: its enrollments, audit entries, notes and tasks."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.queries.driver_statements import DriverStatement, fetch_rows


class EnrollmentOfContact(msgspec.Struct, frozen=True):
    """An enrollment, `workflow` is the workflow's name."""

    id: UUID
    workflow_id: UUID
    workflow: str
    version: int
    status: str
    step: str | None
    wait_until: datetime | None
    entered_at: datetime
    ended_at: datetime | None


class EntryOfContact(msgspec.Struct, frozen=True):
    """An audit entry."""

    id: UUID
    occurred_at: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    action: str
    subject_kind: str
    subject_id: str
    changes: JsonObject
    request_id: str | None


class ChangeOfContact(msgspec.Struct, frozen=True):
    """What an audit entry says that brought a revision of a contact."""

    rev: int
    occurred_at: datetime
    actor_name: str
    changes: JsonObject


class NoteOfContact(msgspec.Struct, frozen=True):
    id: UUID
    contact_id: UUID
    body: str
    author_kind: str
    author_id: str
    author_name: str
    created_at: datetime
    edited_at: datetime | None


class TaskOfContact(msgspec.Struct, frozen=True):
    id: UUID
    contact_id: UUID
    title: str
    body: str
    assignee_id: UUID | None
    due_at: datetime | None
    completed_at: datetime | None
    completed_by: str | None
    repeats: str | None
    author_name: str
    created_at: datetime


_ENROLLMENTS = DriverStatement(
    EnrollmentOfContact,
    """
select e.id, e.workflow_id, w.name as workflow, e.version, e.status, e.step_key as step, e.wait_until,
       e.entered_at, e.ended_at
  from enrollments e join workflows w on w.account_id = e.account_id and w.id = e.workflow_id
 where e.account_id = $1 and e.contact_id = $2
 order by e.entered_at desc, e.id desc limit 20
""",
)
_ENTRIES = DriverStatement(
    EntryOfContact,
    """
select id, occurred_at, actor_kind, actor_id, actor_name, action, subject_kind, subject_id, changes,
       request_id
  from audit_logs where account_id = $1 and subject_kind = 'contact' and subject_id = $2
 order by id desc limit 30
""",
)
_CHANGES_SINCE = DriverStatement(
    ChangeOfContact,
    """
select rev, occurred_at, actor_name, changes
  from audit_logs where account_id = $1 and subject_kind = 'contact' and subject_id = $2 and rev > $3
 order by rev, id limit 1000
""",
)
_NOTES = DriverStatement(
    NoteOfContact,
    """
select id, contact_id, body, author_kind, author_id, author_name, created_at, edited_at
  from notes where account_id = $1 and contact_id = $2 and deleted_at is null
 order by created_at desc, id desc limit 50
""",
)
_TASKS = DriverStatement(
    TaskOfContact,
    """
select id, contact_id, title, body, assignee_id, due_at, completed_at, completed_by, repeats, author_name,
       created_at
  from tasks where account_id = $1 and contact_id = $2 and deleted_at is null
 order by completed_at is not null, due_at nulls last, completed_at desc, id limit 50
""",
)


async def list_enrollments_of_contact(session: AsyncSession, contact_id: UUID) -> list[EnrollmentOfContact]:
    """The contact's latest enrollments, latest first."""
    return await fetch_rows(session, _ENROLLMENTS, session.info["account_id"], contact_id)


async def list_entries_of_contact(session: AsyncSession, contact_id: UUID) -> list[EntryOfContact]:
    """The latest audit entries of a contact, newest first."""
    return await fetch_rows(session, _ENTRIES, session.info["account_id"], str(contact_id))


async def list_changes_since(session: AsyncSession, contact_id: UUID, rev: int) -> list[ChangeOfContact]:
    """The first changes of a contact after this revision, oldest first; at most 1,000."""
    return await fetch_rows(session, _CHANGES_SINCE, session.info["account_id"], str(contact_id), rev)


async def list_notes_of_contact(session: AsyncSession, contact_id: UUID) -> list[NoteOfContact]:
    """The latest notes about a contact, newest first."""
    return await fetch_rows(session, _NOTES, session.info["account_id"], contact_id)


async def list_tasks_of_contact(session: AsyncSession, contact_id: UUID) -> list[TaskOfContact]:
    """The tasks of a contact: open ones first, sorted by due time."""
    return await fetch_rows(session, _TASKS, session.info["account_id"], contact_id)
