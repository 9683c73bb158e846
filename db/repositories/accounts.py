"""The account itself."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Account


class Accounts:
    """The one account of the session."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.account_id: UUID = session.info["account_id"]

    async def own(self) -> Any:
        """id, name, default_region, time_zone, created_at."""
        columns = (Account.id, Account.name, Account.default_region, Account.time_zone, Account.created_at)
        return (await self.session.execute(select(*columns).where(Account.id == self.account_id))).one()

    async def change(self, name: str, default_region: str, time_zone: str, now: datetime) -> None:
        """Replaces the settings."""
        await self.session.execute(
            update(Account)
            .where(Account.id == self.account_id)
            .values(name=name, default_region=default_region, time_zone=time_zone, updated_at=now)
        )
