"""Reads what programs are compiled from: the account's settings, custom fields and segments, the live
workflows, and the documents of versions."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.fields import FieldSpec, FieldValue, custom_field
from app.json_types import Json, JsonObject
from db.queries.catalogs import Catalog, read_catalog
from db.queries.statements import fetch_all, fetch_one


class AccountSettings(msgspec.Struct, frozen=True):
    """The settings of an account."""

    id: UUID
    name: str
    time_zone: str
    default_region: str
    created_at: datetime


class StoredField(msgspec.Struct, frozen=True):
    """A custom field; `options` are those of a list to choose from. `slot` is where its values are indexed, 0
    for nowhere."""

    id: UUID
    key: str
    label: str
    type: str
    options: list[str]
    currency: str
    group_name: str
    required: bool
    default_value: FieldValue
    retired: bool
    former_keys: list[str]
    slot: int = 0


class LiveWorkflow(msgspec.Struct, frozen=True):
    """A workflow with a live version; `status` is active or paused."""

    id: UUID
    name: str
    status: str
    live_version: int


class SegmentFilter(msgspec.Struct, frozen=True):
    """A segment and its filter, as it is stored."""

    id: UUID
    filter: Json


class VersionDocument(msgspec.Struct, frozen=True):
    """A published version of a workflow, as it is stored."""

    workflow_id: UUID
    number: int
    document: JsonObject


_READ_ACCOUNT = text("""
select id, name, time_zone, default_region, created_at from accounts where id = current_account()
""")
_READ_CUSTOM_FIELDS = text("""
select id, key, label, type, options, currency, group_name, required, default_value,
       retired_at is not null as retired, former_keys, case when indexed then slot else 0 end as slot
  from custom_fields where account_id = current_account() order by position, id
""").columns(options=JSONB, default_value=JSONB, former_keys=JSONB)
_READ_SEGMENT_FILTERS = text("""
select id, filter from segments where account_id = current_account() order by id
""").columns(filter=JSONB)
_READ_LIVE_WORKFLOWS = text("""
select id, name, status, live_version from workflows
 where account_id = current_account() and live_version is not null and status in ('active', 'paused')
 order by created_at, id
""")
_READ_VERSION_DOCUMENTS = text("""
select v.workflow_id, v.number, v.document from workflow_versions v
  join unnest(cast(:workflows as uuid[]), cast(:numbers as int[])) w(workflow_id, number)
    on w.workflow_id = v.workflow_id and w.number = v.number
 where v.account_id = current_account()
""").columns(document=JSONB)


async def read_account(session: AsyncSession) -> AccountSettings:
    """The settings of the session's account."""
    return await read_catalog(session, _ACCOUNT)


async def _read_account(session: AsyncSession) -> AccountSettings:
    account = await fetch_one(session, AccountSettings, _READ_ACCOUNT)
    if account is None:
        raise LookupError("The account of this session no longer exists.")
    return account


def _as_it_is(settings: AccountSettings) -> AccountSettings:
    return settings


_ACCOUNT = Catalog("account", ("account",), AccountSettings, _read_account, _as_it_is)


async def read_custom_fields(session: AsyncSession) -> list[StoredField]:
    """All custom fields of the account, in their order."""
    return await fetch_all(session, StoredField, _READ_CUSTOM_FIELDS)


def field_specs(rows: Iterable[StoredField]) -> list[FieldSpec]:
    """Custom fields as the catalog has them."""
    return [
        replace(
            custom_field(row.id, row.key, row.label, row.type, row.options),
            currency=row.currency,
            group=row.group_name,
            required=row.required,
            default=row.default_value,
            retired=row.retired,
            former_slugs=tuple(row.former_keys),
            slot=row.slot,
        )
        for row in rows
    ]


async def read_segment_filters(session: AsyncSession) -> list[SegmentFilter]:
    """All segments of the account."""
    return await fetch_all(session, SegmentFilter, _READ_SEGMENT_FILTERS)


async def read_live_workflows(session: AsyncSession) -> list[LiveWorkflow]:
    """The workflows that are live, the oldest first."""
    return await fetch_all(session, LiveWorkflow, _READ_LIVE_WORKFLOWS)


async def read_version_documents(
    session: AsyncSession, versions: Sequence[tuple[UUID, int]]
) -> list[VersionDocument]:
    """The documents of those of these versions (workflow and number) that exist."""
    return await fetch_all(
        session,
        VersionDocument,
        _READ_VERSION_DOCUMENTS,
        workflows=[workflow for workflow, _ in versions],
        numbers=[number for _, number in versions],
    )
