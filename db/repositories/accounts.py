"""The account's own row: its settings."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Account


class AccountRepository:
    """The session's account."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.account_id: UUID = session.info["account_id"]

    async def own(self, *, lock: bool = False) -> Any:
        """id, name, default_region, time_zone, created_at; `lock` locks the row until the transaction
        ends."""
        columns = (Account.id, Account.name, Account.default_region, Account.time_zone, Account.created_at)
        query = select(*columns).where(Account.id == self.account_id)
        query = query.with_for_update(key_share=True) if lock else query
        return (await self.session.execute(query)).one()

    async def change(self, columns: dict[str, Any], now: datetime) -> None:
        """Updates these columns of the settings."""
        await self.session.execute(
            update(Account).where(Account.id == self.account_id).values(**columns, updated_at=now)
        )
