"""Access tokens of the account. `db/queries/tokens` revokes them."""

from uuid import UUID

from db.models import AccessToken
from db.queries.paging import get_page_of
from db.tenancy import TenantRepository


class TokenRepository(TenantRepository[AccessToken]):
    model_type = AccessToken

    async def page(
        self, user_id: UUID, *, after: UUID | None, before: UUID | None, limit: int
    ) -> tuple[list[AccessToken], bool]:
        """At most `limit` tokens of a user, newest first, including expired and revoked ones, older than
        `after` or newer than `before`, and whether there are more in that direction."""
        mine = AccessToken.user_id == user_id
        return await get_page_of(self, AccessToken.id, mine, after=after, before=before, limit=limit)
