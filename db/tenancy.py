"""Tenant layers one and two: repositories that filter and stamp by account, and sessions of one account.

A session carries its account and user in `info`. At the start of every transaction `begin` passes them to
PostgreSQL, where row-level security compares with them. They end with the transaction, and no global state
holds them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy import Connection, event, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, SessionTransaction

from db.models.base import Base

# One round trip: sets the account and the user of this transaction, and reads the database's clock.
BIND = "select set_config('app.account_id', $1, true), set_config('app.user_id', $2, true), clock_timestamp()"

Row = TypeVar("Row", bound=Base)


class WrongTenantError(Exception):
    """A row of another account was passed to a repository. Always a bug in this program, never bad input."""


class TenantSession(Session):
    """The synchronous session inside the async one; a class of its own, so that the event hook binds only to
    it."""


@event.listens_for(TenantSession, "after_begin")
def bind(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    account, person = session.info.get("account_id"), session.info.get("user_id")
    row = connection.exec_driver_sql(BIND, (str(account or ""), str(person or ""))).one()
    session.info["now"] = row[2]


def session_maker(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    return async_sessionmaker(engine, sync_session_class=TenantSession, expire_on_commit=False)


async def begin(session: AsyncSession) -> datetime:
    """Starts the transaction if none runs; returns the database's clock at its start."""
    await session.connection()
    now: datetime = session.info["now"]
    return now


class TenantRepository(SQLAlchemyAsyncRepository[Row]):
    """Advanced Alchemy's repository with the tenant in every statement.

    `statement=` alone does not isolate tenants: six of its methods never look at it. Every read and
    delete passes `_get_base_stmt`, every single write `_attach_to_session`, and the three bulk writes are
    stamped or checked here. Keys are given without the account: `get(contact_id)`, `get((import_id,
    line))`."""

    def __init__(self, *, session: AsyncSession, **options: Any) -> None:
        self.account_id: UUID = session.info["account_id"]
        super().__init__(session=session, wrap_exceptions=False, **options)

    @property
    def _tenant_column(self) -> Any:
        return self.model_type.account_id  # type: ignore[attr-defined]  # every model of a tenant repository has it

    def _get_base_stmt(  # type: ignore[override]  # static in the parent, which only calls it on self
        self, *, statement: Any, loader_options: Any, execution_options: Any
    ) -> Any:
        built = SQLAlchemyAsyncRepository._get_base_stmt(  # noqa: SLF001 -- the hook that we extend
            statement=statement, loader_options=loader_options, execution_options=execution_options
        )
        return built if built.is_update else built.where(self._tenant_column == self.account_id)

    def _build_pk_filter(self, pk_value: Any) -> Any:
        key = pk_value if isinstance(pk_value, tuple) else (pk_value,)
        if len(key) == len(self._pk_columns) - 1:
            key = (self.account_id, *key)
        return super()._build_pk_filter(key)

    def _stamp(self, row: Row) -> Row:
        owner = getattr(row, "account_id", None)
        if owner is None:
            row.account_id = self.account_id  # type: ignore[attr-defined]  # see _tenant_column
        elif owner != self.account_id:
            raise WrongTenantError(
                f"{type(row).__name__} of account {owner} in a session of {self.account_id}"
            )
        return row

    async def _attach_to_session(self, model: Row, strategy: Any = "add", load: bool = True) -> Row:
        return await super()._attach_to_session(self._stamp(model), strategy, load)

    async def add_many(self, data: list[Row], **options: Any) -> Sequence[Row]:
        return await super().add_many([self._stamp(row) for row in data], **options)

    async def update_many(self, data: list[Row], **options: Any) -> list[Row]:
        """Checks that the keys are of this account first, because a bulk UPDATE by key ignores criteria."""
        ids = {row.id for row in data}  # type: ignore[attr-defined]  # bulk updates are for rows with an id
        column = self.model_type.id  # type: ignore[attr-defined]  # as in the line above
        ours = await self.session.scalars(
            select(column).where(self._tenant_column == self.account_id, column.in_(ids))
        )
        if set(ours) != ids:
            raise WrongTenantError(
                f"update_many of {self.model_type.__name__} names rows outside {self.account_id}"
            )
        return await super().update_many([self._stamp(row) for row in data], **options)

    async def upsert_many(self, data: list[Row], **options: Any) -> list[Row]:
        """Merges row by row, because a native ON CONFLICT could overwrite a row of another tenant."""
        return await super().upsert_many([self._stamp(row) for row in data], **{**options, "no_merge": True})
