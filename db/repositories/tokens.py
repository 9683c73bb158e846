"""Access tokens of the account. `db/queries/tokens` revokes them."""

from uuid import UUID

from advanced_alchemy.filters import LimitOffset

from db.models import AccessToken
from db.tenancy import TenantRepository

_MOST = 200


class TokenRepository(TenantRepository[AccessToken]):
    model_type = AccessToken

    async def of(self, user_id: UUID) -> list[AccessToken]:
        """A user's tokens, newest first, including expired and revoked ones."""
        return await self.get_many(
            AccessToken.user_id == user_id, LimitOffset(_MOST, 0), order_by=("id", True)
        )
