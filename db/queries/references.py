"""Finds what uses a tag, field, segment, workflow or user: workflows (the live version, versions with active
enrollments, drafts) and segments."""

from collections.abc import Callable, Collection
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.draft import Draft
from app.engine.core.version import Version, load_version
from app.filters.ast import FilterError
from app.filters.references import Use
from app.filters.stored import decode_filter
from app.json_types import Json, JsonObject
from app.workflows.domain.references import names_option, references
from db.queries.fields import read_field_catalog
from db.queries.statements import execute, fetch_all

ReferenceKind = Literal["tag", "field", "segment", "workflow", "user"]
Names = Callable[[Version | Draft], bool]
MOST_USES = 50


class PublishedUse(msgspec.Struct, frozen=True):
    """A workflow with a version in use that refers to something; `live`: its live version does."""

    id: UUID
    name: str
    live: bool


class VersionInUse(msgspec.Struct, frozen=True):
    """A version in use that refers to a field; `live`: it is the live one."""

    id: UUID
    name: str
    live: bool
    document: JsonObject


class StoredDraft(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    draft: JsonObject


class StoredSegment(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    filter: Json


_FIND_PUBLISHED_USES = text("""
select w.id, w.name, bool_or(w.live_version = r.version) as live
  from workflow_references r
  join workflows w on w.account_id = r.account_id and w.id = r.workflow_id
 where r.account_id = current_account() and r.kind = :kind and r.target = :target
   and (w.live_version = r.version or exists (
        select from enrollments e where e.account_id = r.account_id and e.workflow_id = r.workflow_id
           and e.version = r.version and e.status = 'active'))
 group by w.id, w.name order by w.name, w.id limit 50
""")
_READ_DOCUMENTS_WITH_FIELD = text("""
select w.id, w.name, coalesce(w.live_version = r.version, false) as live, v.document
  from workflow_references r
  join workflows w on w.account_id = r.account_id and w.id = r.workflow_id
  join workflow_versions v
    on v.account_id = r.account_id and v.workflow_id = r.workflow_id and v.number = r.version
 where r.account_id = current_account() and r.kind = 'field' and r.target = :target
   and (w.live_version = r.version or exists (
        select from enrollments e where e.account_id = r.account_id and e.workflow_id = r.workflow_id
           and e.version = r.version and e.status = 'active'))
 order by w.name, w.id, live desc
""").columns(document=JSONB)
# Only drafts that contain one of the texts are read (compared in lower case, without hyphens, because an id
# can be written in several ways). `domain.references` then decides what the draft refers to.
_FIND_DRAFTS_WITH_TEXT = (
    text("""
select w.id, w.name, v.draft from workflows w
  join workflow_revisions v on v.account_id = w.account_id and v.workflow_id = w.id and v.rev = w.rev
 where w.account_id = current_account() and w.status <> 'archived'
   and exists (select from unnest(:needles) needle
                where strpos(replace(lower(cast(v.draft as text)), '-', ''), needle) > 0)
 order by w.name, w.id
""")
    .bindparams(bindparam("needles", type_=ARRAY(TEXT)))
    .columns(draft=JSONB)
)
_FIND_SEGMENTS_WITH_TEXT = text("""
select s.id, s.name, s.filter from segments s
 where s.account_id = current_account()
   and strpos(replace(lower(cast(s.filter as text)), '-', ''), :needle) > 0
 order by s.name, s.id
""").columns(filter=JSONB)


# One lock per account: nothing is deleted while another transaction stores a reference to it.
_LOCK_NAMES_SHARED = text(
    "select pg_advisory_xact_lock_shared(hashtextextended('names:' || current_account()::text, 0))"
)
_LOCK_NAMES_EXCLUSIVE = text(
    "select pg_advisory_xact_lock(hashtextextended('names:' || current_account()::text, 0))"
)


async def lock_for_reference(session: AsyncSession) -> None:
    """Locks names for storing references to them: nothing is deleted until the transaction ends. Call it
    before reading the names."""
    await execute(session, _LOCK_NAMES_SHARED)


async def lock_for_deletion(session: AsyncSession) -> None:
    """Locks names for deleting something: no reference can be stored until the transaction ends. Call it
    before looking for references."""
    await execute(session, _LOCK_NAMES_EXCLUSIVE)


async def find_uses(session: AsyncSession, kind: ReferenceKind, target: str) -> list[Use]:
    """What uses the target; `target` is an id, or the key of a field."""
    fields = await read_field_catalog(session)

    def named(source: Version | Draft) -> bool:
        return (kind, target) in references(source, fields).rows()

    workflows = await fetch_all(session, PublishedUse, _FIND_PUBLISHED_USES, kind=kind, target=target)
    uses = [_workflow(row.id, row.name, "live" if row.live else "people") for row in workflows]
    needles = [target]
    if kind == "field" and target in fields:
        needles += [fields[target].slug, *fields[target].former_slugs]
    return await _with_others(session, uses, needles, named)


async def find_uses_of_options(session: AsyncSession, field: str, options: Collection[str]) -> list[Use]:
    """What uses one of these options of the dropdown field with that key."""

    def named(source: Version | Draft) -> bool:
        return names_option(source, field, options)

    uses: dict[UUID, Use] = {}
    for row in await fetch_all(session, VersionInUse, _READ_DOCUMENTS_WITH_FIELD, target=field):
        if row.id not in uses and named(load_version(row.document)):  # the live version of each comes first
            uses[row.id] = _workflow(row.id, row.name, "live" if row.live else "people")
    return await _with_others(session, [*uses.values()], [field], named)


async def _with_others(session: AsyncSession, uses: list[Use], needles: list[str], named: Names) -> list[Use]:
    """Adds the drafts and segments that refer to the target."""
    live_ids = {use.id for use in uses if use.how == "live"}
    plain = [needle.lower().replace("-", "") for needle in needles]
    drafts = [
        _workflow(row.id, row.name, "draft")
        for row in await fetch_all(session, StoredDraft, _FIND_DRAFTS_WITH_TEXT, needles=plain)
        if row.id not in live_ids and named(msgspec.convert(row.draft, Draft))
    ]
    segments = [
        Use("segment", row.id, row.name, "", f"/segments/{row.id}")
        for row in await fetch_all(session, StoredSegment, _FIND_SEGMENTS_WITH_TEXT, needle=plain[0])
        if _named_by(row, named)
    ]
    return [*uses, *drafts, *segments][:MOST_USES]


def _named_by(segment: StoredSegment, named: Names) -> bool:
    """Whether the segment refers to the target. One that cannot be read counts as if it did."""
    try:
        return named(Draft(entry=decode_filter(segment.filter)))
    except FilterError:
        return True


def _workflow(workflow_id: UUID, name: str, how: Literal["live", "people", "draft"]) -> Use:
    return Use("workflow", workflow_id, name, how, f"/workflows/{workflow_id}")
