"""Memberships of the account. The list of members is in `db/queries/members`."""

from uuid import UUID

from db.models import Membership
from db.tenancy import TenantRepository


class MemberRepository(TenantRepository[Membership]):
    model_type = Membership

    async def lock(self, user_id: UUID) -> Membership | None:
        """One membership, locked until the transaction ends; None for a user who is not a member."""
        return await self.get_one_or_none(Membership.user_id == user_id, with_for_update=True)
