"""Approvals of the session's account with what names their workflow and contact, and how many are open."""

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Approval, Contact, Workflow

MOST = 100
MOST_CLOSED = 20


class NamedApproval(msgspec.Struct, frozen=True):
    """An approval with its workflow's name and its contact's names; `contact_deleted_at` is null for a live
    contact."""

    approval: Approval
    workflow_name: str
    first_name: str | None
    last_name: str | None
    email: str | None
    contact_deleted_at: datetime | None


_Approvals: TypeAlias = Select[Approval, str, str | None, str | None, str | None, datetime | None]
_IS_OWN = Approval.account_id == func.current_account()
_PLACE = tuple_(Approval.due_at, Approval.id)
_IS_OPEN = Approval.status == "open"
_APPROVALS: _Approvals = (
    select(Approval, Workflow.name, Contact.first_name, Contact.last_name, Contact.email, Contact.deleted_at)
    .join(Workflow, and_(Workflow.account_id == Approval.account_id, Workflow.id == Approval.workflow_id))
    .join(Contact, and_(Contact.account_id == Approval.account_id, Contact.id == Approval.contact_id))
    .where(_IS_OWN)
    .execution_options(populate_existing=True)
)


def _may_be_answered_by(user_id: UUID | None, *, manages: bool) -> ColumnElement[bool]:
    """Approvals that name this member and, if they may operate workflows, those without names."""
    named = Approval.users.contains([str(user_id)])
    return or_(named, func.jsonb_array_length(Approval.users) == 0) if manages else named


async def fetch_open_approvals(
    session: AsyncSession,
    user_id: UUID | None,
    *,
    manages: bool,
    after: UUID | None,
    before: UUID | None,
    limit: int,
) -> tuple[list[NamedApproval], bool] | None:
    """At most `limit` open questions that this member may answer, the most urgent first, after or before one
    of them, and whether there are more in that direction; None when that one is gone."""
    query, place = _APPROVALS.where(_IS_OPEN, _may_be_answered_by(user_id, manages=manages)), _PLACE
    own = select(*place.clauses).where(_IS_OWN, Approval.id == (before or after))
    if before or after:
        edge = own.scalar_subquery()
        query = query.where(place > edge if before is None else place < edge)
    order = [column if before is None else column.desc() for column in place.clauses]
    rows = await _fetch(session, query.order_by(*order).limit(limit + 1))
    if (before or after) and not rows and (await session.execute(own)).first() is None:
        return None
    page = rows[:limit]
    return (page[::-1] if before is not None else page), len(rows) > limit


async def list_closed_approvals(session: AsyncSession) -> list[NamedApproval]:
    """The latest answered or expired approvals."""
    closed_at = func.coalesce(Approval.answered_at, Approval.due_at)
    query = _APPROVALS.where(Approval.status.in_(("answered", "expired")))
    return await _fetch(session, query.order_by(closed_at.desc(), Approval.id.desc()).limit(MOST_CLOSED))


async def find_open_approval(session: AsyncSession, enrollment_id: UUID, seq: int) -> NamedApproval | None:
    """The open question of a visit; None when there is none."""
    of_visit = (Approval.enrollment_id == enrollment_id, Approval.seq == seq)
    approvals = await _fetch(session, _APPROVALS.where(_IS_OPEN, *of_visit).limit(1))
    return approvals[0] if approvals else None


async def _fetch(session: AsyncSession, query: _Approvals) -> list[NamedApproval]:
    return [NamedApproval(*row) for row in await session.execute(query)]
