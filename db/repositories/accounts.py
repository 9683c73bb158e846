"""The session's account: its settings."""

from db.models import Account
from db.tenancy import TenantRepository


class AccountRepository(TenantRepository[Account]):
    model_type = Account

    async def own(self) -> Account:
        return await self.get_one()
