"""Invitations of the account: one row for each invited address, until it is accepted or withdrawn.
`db/queries/invitations` adds them."""

from uuid import UUID

from advanced_alchemy.filters import LimitOffset

from db.models import Invitation
from db.tenancy import TenantRepository

_MOST = 1000


class InvitationRepository(TenantRepository[Invitation]):
    model_type = Invitation

    async def newest(self) -> list[Invitation]:
        """All invitations, including expired ones, newest first."""
        return await self.get_many(LimitOffset(_MOST, 0), order_by=("created_at", True))

    async def lock(self, invitation_id: UUID) -> Invitation | None:
        """One invitation, locked until the transaction ends."""
        return await self.get_one_or_none(Invitation.id == invitation_id, with_for_update=True)

    async def lock_of(self, email: str) -> Invitation | None:
        """The invitation of a normalized email address, locked until the transaction ends."""
        return await self.get_one_or_none(Invitation.email == email, with_for_update=True)
