"""Catalogs: what most requests of an account read and few change, such as its fields and its tags' names. A
query module defines a `Catalog`, and its function calls `read_catalog`.

The statement that begins a transaction returns one version for each family of catalogs. The caches of the
process hold a catalog by account and versions, so that what they return is never older than the transaction.
Triggers raise a version, whoever changes the tables (`db/migrations/versions/0015_catalog_versions.py`)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from db.queries.driver_statements import DriverStatement, fetch_row
from db.tenancy import begin

Family = Literal["account", "fields", "tags", "members", "segments", "workflows"]
FAMILIES: tuple[Family, ...] = ("account", "fields", "tags", "members", "segments", "workflows")
Versions: TypeAlias = tuple[int, ...]  # of the families of a catalog
Rows = TypeVar("Rows")
Value = TypeVar("Value")


class VersionsNow(msgspec.Struct, frozen=True):
    """In the order of `FAMILIES`."""

    versions: list[int] | None


# SQL: the versions by now, later than those of `bind`; `$1` is the account.
VERSIONS_NOW = (
    f"(select array[{', '.join(f'v.{family}' for family in FAMILIES)}]"  # noqa: S608 -- constants only
    " from catalog_versions v where v.account_id = $1) as versions"
)
_READ_VERSIONS = DriverStatement(VersionsNow, f"select {VERSIONS_NOW}")


@dataclass(frozen=True)
class Catalog(Generic[Rows, Value]):
    """`read` reads the rows from the tables of the families; they are what Redis holds. `build` makes of them
    what callers share and therefore never change."""

    name: str
    families: tuple[Family, ...]
    rows: type[Rows]
    read: Callable[[AsyncSession], Awaitable[Rows]]
    build: Callable[[Rows], Value]


class CatalogReader(Protocol):
    """The caches of a process. A session without them reads the database."""

    async def get(
        self, account_id: UUID, catalog: Catalog[Rows, Value], versions: Versions, session: AsyncSession
    ) -> Value:
        """The catalog with these versions; reads it with `session` when no cache has it."""
        ...

    def note_uncached(self, catalog: str) -> None:
        """Counts a catalog that was read past the caches."""


async def read_catalog(session: AsyncSession, catalog: Catalog[Rows, Value]) -> Value:
    """The catalog as this transaction would read it.

    After a transaction wrote or locked something it reads the tables: its own change, or that of a
    transaction which it waited for, is newer than the versions that it began with."""
    bound = await begin(session)
    caches: CatalogReader | None = session.info.get("catalogs")
    if caches is not None and bound.versions is not None and not bound.wrote_or_locked:
        versions = tuple(bound.versions[FAMILIES.index(family)] for family in catalog.families)
        return await caches.get(session.info["account_id"], catalog, versions, session)
    if caches is not None:
        caches.note_uncached(catalog.name)
    return catalog.build(await catalog.read(session))


async def renew_versions(session: AsyncSession) -> None:
    """Lets the catalogs that are read after this be as new as what the transaction read before."""
    bound = await begin(session)
    now = await fetch_row(session, _READ_VERSIONS, session.info["account_id"])
    bound.versions = now.versions if now else None
