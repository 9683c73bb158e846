"""Invitations of one account: one row for each invited address, until it is accepted or withdrawn."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import uuid7
from db.models import Invitation

MOST = 1000


class InvitationRepository:
    """Invitations of the session's account. Digests are SHA-256; addresses are normalized."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.account_id: UUID = session.info["account_id"]

    async def all(self) -> Sequence[Invitation]:
        """All invitations, including expired ones, newest first."""
        query = select(Invitation).where(Invitation.account_id == self.account_id)
        return (await self.session.scalars(query.order_by(Invitation.created_at.desc()).limit(MOST))).all()

    async def get(self, invitation_id: UUID) -> Invitation | None:
        """One invitation, locked until the transaction ends."""
        invitation: Invitation | None = await self.session.scalar(
            select(Invitation)
            .where(Invitation.account_id == self.account_id, Invitation.id == invitation_id)
            .with_for_update()
        )
        return invitation

    async def of_email(self, email: str) -> Invitation | None:
        """The invitation of an email address, locked until the transaction ends."""
        invitation: Invitation | None = await self.session.scalar(
            select(Invitation)
            .where(Invitation.account_id == self.account_id, Invitation.email == email)
            .with_for_update()
        )
        return invitation

    async def save(
        self, email: str, name: str, role: str, *, digest: bytes, by: str, now: datetime, until: datetime
    ) -> UUID:
        """Inserts an invitation in place of an earlier one of the same address; returns its id."""
        values = {
            "name": name, "role": role, "token_hash": digest, "invited_by": by, "created_at": now,
            "expires_at": until,
        }  # fmt: skip
        statement = insert(Invitation).values(id=uuid7(), account_id=self.account_id, email=email, **values)
        saved = await self.session.scalars(
            statement.on_conflict_do_update(
                index_elements=[Invitation.account_id, Invitation.email], set_=values
            ).returning(Invitation.id)
        )
        return saved.one()

    async def renew(self, invitation_id: UUID, digest: bytes, until: datetime) -> None:
        """Gives an invitation a new link; the earlier link stops working."""
        await self.session.execute(
            update(Invitation)
            .where(Invitation.account_id == self.account_id, Invitation.id == invitation_id)
            .values(token_hash=digest, expires_at=until)
        )

    async def remove(self, invitation_id: UUID) -> None:
        """Removes an invitation."""
        await self.session.execute(
            delete(Invitation).where(Invitation.account_id == self.account_id, Invitation.id == invitation_id)
        )
