"""Adds invitations."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import uuid7
from db.models import Invitation
from db.queries.statements import fetch_scalar


async def save_invitation(
    session: AsyncSession,
    email: str,
    name: str,
    role: str,
    *,
    token_hash: bytes,
    invited_by: str,
    now: datetime,
    until: datetime,
) -> UUID:
    """Adds an invitation in place of an earlier one of the same address, also when another request adds one
    at the same time; returns its id."""
    values = {
        "name": name, "role": role, "token_hash": token_hash, "invited_by": invited_by, "created_at": now,
        "expires_at": until,
    }  # fmt: skip
    added = insert(Invitation).values(id=uuid7(), email=email, **values)
    saved = added.on_conflict_do_update(
        index_elements=[Invitation.account_id, Invitation.email], set_=values
    ).returning(Invitation.id)
    invitation_id = await fetch_scalar(session, UUID, saved)
    if invitation_id is None:
        raise LookupError("The invitation was not saved.")
    return invitation_id
