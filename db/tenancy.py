"""Tenant layers one and two: repositories that filter by account, and sessions of one account.

A session carries its account and user in `info`. At the start of every transaction `bind` passes them to
PostgreSQL, where row-level security compares with them. They end with the transaction, and no global state
holds them. The session of a request first carries a session id or the digest of a token instead: the same
statement then finds the user and the account. Before each flush `check_owners` stamps the new rows of the
session with its account and refuses those of another one. `TenantRepository` adds the account to every
statement of Advanced Alchemy."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias, TypeVar, cast
from uuid import UUID

import asyncpg
import msgspec
from advanced_alchemy.filters import StatementTypeT
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import QueryableAttribute, Session, SessionTransaction, UOWTransaction, attributes
from sqlalchemy.orm.strategy_options import _AbstractLoad

from db.models import Account
from db.models.base import Base

# PostgreSQL's own setting stays where the session names no time.
_STATEMENT_TIMEOUT = (
    "set_config('statement_timeout', coalesce({}, current_setting('statement_timeout')), true)"
)


def bind_by(function: str, values: int) -> str:
    """The statement that binds a transaction by a database function of so many values, and sets how long the
    next statements may take."""
    timeout = _STATEMENT_TIMEOUT.format(f"${values + 1}")
    parameters = ", ".join(f"${number}" for number in range(1, values + 1))
    return f"select bound.*, {timeout} from {function}({parameters}) bound"  # noqa: S608 -- constants


BIND_ACCOUNT = bind_by("bind_account", 2)

Row = TypeVar("Row", bound=Base)
Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class WrongTenantError(Exception):
    """A row of another account was passed to a repository. Always a bug in this program, never bad input."""


class TenantSession(Session):
    """The synchronous session inside the async one; a class of its own, so that the event hooks bind only to
    it."""


class Credential(msgspec.Struct, frozen=True):
    """What proves who is calling: a statement that binds the transaction to the user's account, and its
    values. `db/auth_lookup.py` has them."""

    statement: str
    values: tuple[UUID | bytes | bool, ...]


class BoundTransaction(msgspec.Struct):
    """What the first statement of a transaction found: the clock, and the versions of the account's catalogs,
    in the order of `FAMILIES` of `db/queries/catalogs.py`. `driver` is the connection that the transaction
    has (`db/queries/driver_statements.py`); `wrote_or_locked` is whether it wrote or locked anything
    since."""

    now: datetime
    versions: Sequence[int] | None
    driver: Driver
    wrote_or_locked: bool = False


@event.listens_for(TenantSession, "after_begin")
def bind(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    """One round trip: sets the account and the user of this transaction, and how long each further statement
    may take (`statement_seconds`); reads the database's clock, the versions, and with a credential who is
    calling. Without such a caller nothing is set.

    The session and its connection have the same `BoundTransaction` in `info`: code that runs a statement on
    either notes there that it wrote or locked."""
    if transaction.nested:  # a savepoint
        return
    info = session.info
    credential: Credential | None = info.pop("credential", None)
    seconds: float | None = info.get("statement_seconds")
    timeout = None if seconds is None else str(int(seconds * 1000))
    if credential is None:
        row = _first_row(connection, BIND_ACCOUNT, (info.get("account_id"), info.get("user_id"), timeout))
    else:
        row = _first_row(connection, credential.statement, (*credential.values, timeout))
    if row is None:  # no such caller
        return
    moment, versions, *caller, _ = row
    if credential is not None:
        info["caller"] = caller
        info["user_id"], info["account_id"] = caller[0], caller[3]
    info["now"] = moment
    driver = cast("Driver", connection.connection.driver_connection)
    info["bound"] = connection.info["bound"] = BoundTransaction(moment, versions, driver)


def _first_row(connection: Connection, statement: str, values: tuple[object, ...]) -> asyncpg.Record | None:
    """The row of the first statement of a transaction; None when there is none. It is run by the driver's
    cursor, because every request runs it, and SQLAlchemy would describe its columns anew each time. After an
    error the connection leaves the pool."""
    try:
        cursor = connection.connection.cursor()
        cursor.execute(statement, values)
        row: asyncpg.Record | None = cursor.fetchone()
    except BaseException as error:
        connection.invalidate(error)
        driver_error = connection.dialect.loaded_dbapi.Error
        if not isinstance(error, driver_error):
            raise
        raise DBAPIError.instance(
            statement, None, error, driver_error, hide_parameters=True, connection_invalidated=True,
            dialect=connection.dialect,
        ) from error  # fmt: skip
    return row


@event.listens_for(TenantSession, "after_transaction_end")
def unbind(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop("bound", None)


def tenant_column(model: type[Base]) -> QueryableAttribute[UUID] | None:
    """The column that says whose row it is: `account_id`, and of an account its own id; None for a table of
    no account (users, workers)."""
    column: QueryableAttribute[UUID] | None = (
        Account.id if model is Account else getattr(model, "account_id", None)
    )
    return column


@event.listens_for(TenantSession, "before_flush")
def check_owners(session: Session, _context: UOWTransaction, _rows: Sequence[object] | None) -> None:
    """Stamps new rows with the account. Raises WrongTenantError when a row that is about to be inserted,
    updated or deleted is or was of another account."""
    account: UUID | None = session.info.get("account_id")
    for row in (*session.new, *session.dirty, *session.deleted):
        column = tenant_column(type(row))
        if column is None:
            continue
        owners = set(attributes.get_history(row, column.key).sum()) - {None}
        if account is None or owners - {account}:
            raise WrongTenantError(f"{type(row).__name__} of {owners} in a session of {account}")
        if not owners:
            setattr(row, column.key, account)


def session_maker(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    return async_sessionmaker(engine, sync_session_class=TenantSession, expire_on_commit=False)


async def begin(session: AsyncSession) -> BoundTransaction:
    """Starts the transaction if none runs; returns what its first statement found."""
    bound: BoundTransaction | None = session.info.get("bound")
    if bound is None:
        await session.connection()
        bound = session.info["bound"]
    return bound


class TenantRepository(SQLAlchemyAsyncRepository[Row]):
    """Advanced Alchemy's repository with the account in every statement.

    Its methods are the ones to use for ordinary rows. Keys are given without the account: `get(contact_id)`,
    `get((import_id, line))`. What differs from the parent:

    - A read shows what is in the database now, also for a row that the session has loaded before.
    - Nothing is read again after a write; database defaults come with the insert. To change a loaded row, set
      its attributes: `update` would read it again.
    - Rows for `update_many` and `upsert_many` name their account. Neither writes ON CONFLICT, whose key may
      be without the account.
    - `delete_many` takes no keys of several columns, because its DELETE has only the keys.

    How: reads and deletes pass `_get_base_stmt`, rows are written by the session (see `check_owners`), and a
    bulk update has the condition too. `statement=` alone would not do: six methods never look at it.
    The last two methods are guards: the parent's `delete_many` and `upsert_many` call them, and this program
    calls neither so far. `tests/integration/db/test_tenancy.py` tries each method from another account
    without row-level security."""

    session: AsyncSession

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(
            session=session,
            wrap_exceptions=False,
            auto_refresh=False,
            execution_options={"populate_existing": True},
        )
        column = tenant_column(self.model_type)
        if column is None:
            raise TypeError(f"{self.model_type.__name__} belongs to no account")
        self.account_id: UUID = session.info["account_id"]
        self._is_own = column == self.account_id
        keys = [
            (key, name)
            for key, name in zip(self._pk_columns, self._pk_attr_names, strict=True)
            if name != column.key
        ]
        self._pk_columns = tuple(key for key, _ in keys)
        self._pk_attr_names = tuple(name for _, name in keys)
        if len(keys) == 1:
            self.id_attribute = keys[0][1]
        self._cache_manager = None  # its keys are without the account

    def _get_base_stmt(  # type: ignore[override]  # static in the parent, which calls it on self
        self,
        *,
        statement: StatementTypeT,
        loader_options: list[_AbstractLoad] | None,
        execution_options: dict[str, object] | None,
    ) -> StatementTypeT:
        built = super()._get_base_stmt(
            statement=statement, loader_options=loader_options, execution_options=execution_options
        )
        if built.is_update:  # the only mode of SQLAlchemy for a bulk update with a condition
            built = cast("StatementTypeT", built.execution_options(synchronize_session=None))
        return cast("StatementTypeT", built.where(self._is_own))

    def _normalize_pk_values_to_tuples(self, item_ids: list[object]) -> list[tuple[object, ...]]:
        raise NotImplementedError("delete_many by a key of several columns ignores the account: delete_where")

    def _requires_orm_upsert(self, data: Sequence[Row]) -> bool:  # noqa: ARG002 -- the parent's parameters
        return True
