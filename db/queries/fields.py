"""The fields that filters and contacts of an account know, with the names that conditions may refer to."""

from collections.abc import Iterable
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.fields import AccountNames, Fields, field_catalog
from app.filters.stored import decode_filters
from app.json_types import JsonObject
from db.queries.catalogs import Catalog, read_catalog, renew_versions
from db.queries.driver_statements import DriverStatement, fetch_rows
from db.queries.programs import StoredField, field_specs, read_custom_fields
from db.queries.statements import fetch_all
from db.tenancy import begin


class NamedRow(msgspec.Struct, frozen=True):
    """A member, segment or workflow; only a segment has a filter."""

    kind: Literal["users", "segments", "workflows"]
    id: UUID
    name: str
    filter: JsonObject | None


class KeptField(msgspec.Struct, frozen=True):
    """The key of a custom field that is locked."""

    id: UUID


class FieldRows(msgspec.Struct, frozen=True):
    """What the field catalog is built from."""

    custom: list[StoredField]
    named: AccountNames


_READ_NAMES = text("""
select 'users' as kind, m.user_id as id, u.name, null as filter
  from memberships m join users u on u.id = m.user_id where m.account_id = current_account()
 union all
select 'segments', s.id, s.name, s.filter from segments s where s.account_id = current_account()
 union all
select 'workflows', w.id, w.name, null from workflows w where w.account_id = current_account()
 order by 3, 2
""").columns(filter=JSONB)

_KEEP = DriverStatement(
    KeptField,
    "select id from custom_fields where account_id = $1 and id = any($2::uuid[]) order by id for key share",
)


async def keep_fields(session: AsyncSession, keys: Iterable[str]) -> None:
    """Keeps the custom fields among these from being deleted until the transaction ends, because it stores
    values in them. Call it before contacts are locked and the catalog is read: after a wait a field may be
    gone."""
    ids = {field_id for key in keys if (field_id := _custom_id(key))}
    if not ids:
        return
    bound = await begin(session)
    wrote_or_locked = bound.wrote_or_locked
    locked = await fetch_rows(session, _KEEP, session.info["account_id"], list(ids))
    if len(locked) < len(ids):
        await renew_versions(session)
    bound.wrote_or_locked = wrote_or_locked


def _custom_id(key: str) -> UUID | None:
    """The id of a custom field; None for another key."""
    if not key.startswith("custom."):
        return None
    try:
        return UUID(key.removeprefix("custom."))
    except ValueError:
        return None


async def read_field_catalog(session: AsyncSession) -> Fields:
    """Every field by key: built-in ones first, with the members, segments and workflows that conditions may
    name, then the account's own in their order."""
    return await read_catalog(session, _CATALOG)


async def _read_rows(session: AsyncSession) -> FieldRows:
    return FieldRows(await read_custom_fields(session), await read_account_names(session))


def _build(rows: FieldRows) -> Fields:
    return field_catalog(field_specs(rows.custom), rows.named)


_CATALOG = Catalog("fields", ("fields", "members", "segments", "workflows"), FieldRows, _read_rows, _build)


async def read_account_names(session: AsyncSession) -> AccountNames:
    """The account's members, segments and workflows by id, sorted by name, and the segments' filters."""
    rows = await fetch_all(session, NamedRow, _READ_NAMES)
    names: dict[str, dict[str, str]] = {"users": {}, "segments": {}, "workflows": {}}
    for row in rows:
        names[row.kind][str(row.id)] = row.name
    return AccountNames(names["users"], names["segments"], names["workflows"], decode_filters(rows))
