"""Reads what steps read besides the contact's own fields: members, step states, answers, and the contact's
history.

Users are joined with memberships: a user who has left the account is not there."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import Json, JsonObject
from db.queries.batch_statements import BatchStatement, write_batch
from db.queries.statements import SqlValue, execute, fetch_all


class AccountMember(msgspec.Struct, frozen=True):
    """A member of the account."""

    id: UUID
    name: str


class OwnerCount(msgspec.Struct, frozen=True):
    """How many contacts a user owns."""

    owner_id: UUID
    contacts: int


class WorkflowMembership(msgspec.Struct, frozen=True):
    """The workflows that a contact was ever in, is in now (None: in none), and has completed."""

    contact_id: UUID
    ever: list[UUID]
    active: list[UUID] | None
    completed: list[UUID] | None


class PastEvent(msgspec.Struct, frozen=True):
    """An event of a contact; `changes` has the fields that were asked for."""

    contact_id: UUID
    kind: str
    occurred_at: datetime
    changes: dict[str, list[Json]] | None


class LockedState(msgspec.Struct, frozen=True):
    """What a step stores across enrollments."""

    workflow_id: UUID
    step_key: str
    state: JsonObject


class StateUpdate(msgspec.Struct, frozen=True):
    """A step state to store, as JSON."""

    workflow_id: UUID
    step_key: str
    state: str


class ApprovalAnswer(msgspec.Struct, frozen=True):
    """The option that was chosen for the question with which an enrollment waits."""

    enrollment_id: UUID
    answer: str


_READ_ACCOUNT_MEMBERS = text("""
select m.user_id as id, u.name from memberships m join users u on u.id = m.user_id
 where m.account_id = current_account() order by m.user_id
""")
_COUNT_OWNED_CONTACTS = text("""
select owner_id, count(*) as contacts from contacts
 where account_id = current_account() and owner_id is not null and deleted_at is null group by 1
""")
_READ_WORKFLOW_MEMBERSHIP = text("""
select contact_id, array_agg(distinct workflow_id) as ever,
       array_agg(distinct workflow_id) filter (where status = 'active') as active,
       array_agg(distinct workflow_id) filter (where status = 'completed') as completed
  from enrollments
 where account_id = current_account() and contact_id = any(cast(:ids as uuid[])) group by 1
""")
# Only events of the needed kinds, and of changes only the needed fields.
_READ_CONTACT_HISTORY = text("""
select v.id as contact_id, e.kind, e.occurred_at,
       case when cast(:fields as text[]) <> '{}' and e.kind = 'contact.updated'
            then (select jsonb_object_agg(f.key, e.data->'changes'->f.key)
                    from unnest(cast(:fields as text[])) f(key) where e.data->'changes' ? f.key)
       end as changes
  from unnest(cast(:ids as uuid[])) v(id)
 cross join lateral (select kind, occurred_at, id, data from events
                      where account_id = current_account() and subject_id = v.id
                        and kind = any(cast(:kinds as text[]))
                        and occurred_at >= cast(:since as timestamptz)) e
 order by v.id, e.id desc
""").columns(changes=JSONB)

# Step states, locked until the transaction ends, always in the same order.
_CREATE_STEP_STATES = text("""
insert into step_states (workflow_id, step_key, state)
select v.workflow_id, v.step_key, cast('{}' as jsonb)
  from unnest(cast(:workflow_id as uuid[]), cast(:step_key as text[])) v(workflow_id, step_key)
 order by 1, 2 on conflict do nothing
""")
_LOCK_STEP_STATES = text("""
select s.workflow_id, s.step_key, s.state from step_states s
  join unnest(cast(:workflow_id as uuid[]), cast(:step_key as text[])) v(workflow_id, step_key)
    on v.workflow_id = s.workflow_id and v.step_key = s.step_key
 where s.account_id = current_account() order by s.workflow_id, s.step_key for update of s
""").columns(state=JSONB)
_UPDATE_STEP_STATES = BatchStatement(
    StateUpdate,
    """
update step_states s set state = cast(v.state as jsonb)
  from {v}
 where s.account_id = current_account() and s.workflow_id = v.workflow_id and s.step_key = v.step_key
""",
)
_READ_APPROVAL_ANSWERS = text("""
select a.enrollment_id, a.answer from approvals a
  join unnest(cast(:ids as uuid[]), cast(:seqs as int[])) v(id, seq)
    on v.id = a.enrollment_id and v.seq = a.seq
 where a.account_id = current_account() and a.status = 'answered'
""")


async def read_account_members(session: AsyncSession) -> list[AccountMember]:
    """All members of the account."""
    return await fetch_all(session, AccountMember, _READ_ACCOUNT_MEMBERS)


async def count_owned_contacts(session: AsyncSession) -> dict[UUID, int]:
    """How many contacts each user owns, of those who own some."""
    rows = await fetch_all(session, OwnerCount, _COUNT_OWNED_CONTACTS)
    return {row.owner_id: row.contacts for row in rows}


async def read_workflow_memberships(
    session: AsyncSession, contacts: Sequence[UUID]
) -> list[WorkflowMembership]:
    """The workflows of those of these contacts that were ever in one."""
    return await fetch_all(session, WorkflowMembership, _READ_WORKFLOW_MEMBERSHIP, ids=contacts)


async def read_past_events(
    session: AsyncSession,
    contacts: Sequence[UUID],
    kinds: Sequence[str],
    since: datetime,
    fields: Sequence[str],
) -> list[PastEvent]:
    """The events of these kinds, the newest of each contact first. Changes of other fields are left out."""
    return await fetch_all(
        session, PastEvent, _READ_CONTACT_HISTORY, ids=contacts, kinds=kinds, since=since, fields=fields
    )


async def lock_step_states(session: AsyncSession, steps: Sequence[tuple[UUID, str]]) -> list[LockedState]:
    """The states of these steps (workflow and step key), locked until the transaction ends, always in the
    same order. A step that has none yet gets an empty one."""
    keys: dict[str, SqlValue] = {
        "workflow_id": [workflow for workflow, _ in steps],
        "step_key": [step for _, step in steps],
    }
    states = await fetch_all(session, LockedState, _LOCK_STEP_STATES, **keys)
    if len(states) < len(steps):
        await execute(session, _CREATE_STEP_STATES, **keys)
        states = await fetch_all(session, LockedState, _LOCK_STEP_STATES, **keys)
    return states


async def update_step_states(session: AsyncSession, states: Sequence[StateUpdate]) -> None:
    """Stores states of locked steps."""
    await write_batch(session, _UPDATE_STEP_STATES, states)


async def read_approval_answers(
    session: AsyncSession, visits: Sequence[tuple[UUID, int]]
) -> list[ApprovalAnswer]:
    """The answers to the questions of these visits (enrollment and seq)."""
    return await fetch_all(
        session,
        ApprovalAnswer,
        _READ_APPROVAL_ANSWERS,
        ids=[enrollment for enrollment, _ in visits],
        seqs=[seq for _, seq in visits],
    )
