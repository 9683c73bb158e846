"""The session's account: its settings."""

from db.models import Account
from db.queries.programs import AccountSettings, read_account
from db.tenancy import TenantRepository


class AccountRepository(TenantRepository[Account]):
    model_type = Account

    async def own(self) -> AccountSettings:
        """The settings. To change them, get the row: `get_one`."""
        return await read_account(self.session)
