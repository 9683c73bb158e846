"""Finds what uses a tag, field, segment, workflow or user: workflows (the live version, versions with active
enrollments, drafts) and segments."""

from collections.abc import Callable, Collection
from typing import Any, Literal

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.draft import Draft
from app.engine.core.version import Version, load_version
from app.filters.ast import FilterError
from app.filters.references import Use
from app.workflows.domain.references import names_option, references
from db.repositories.fields import FieldRepository
from db.repositories.segments import decode_filter

ReferenceKind = Literal["tag", "field", "segment", "workflow", "user"]
Names = Callable[[Version | Draft], bool]
MOST_USES = 50
FIND_PUBLISHED_USES = text("""
select w.id, w.name, bool_or(w.live_version = r.version) as live
  from workflow_references r
  join workflows w on w.account_id = r.account_id and w.id = r.workflow_id
 where r.account_id = current_account() and r.kind = :kind and r.target = :target
   and (w.live_version = r.version or exists (
        select from enrollments e where e.account_id = r.account_id and e.workflow_id = r.workflow_id
           and e.version = r.version and e.status = 'active'))
 group by w.id, w.name order by w.name, w.id limit 50
""")
READ_DOCUMENTS_WITH_FIELD = text("""
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
FIND_DRAFTS_WITH_TEXT = (
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
FIND_SEGMENTS_WITH_TEXT = text("""
select s.id, s.name, s.filter from segments s
 where s.account_id = current_account()
   and strpos(replace(lower(cast(s.filter as text)), '-', ''), :needle) > 0
 order by s.name, s.id
""").columns(filter=JSONB)


# One lock per account: nothing is deleted while another transaction stores a reference to it.
LOCK_NAMES_SHARED = text(
    "select pg_advisory_xact_lock_shared(hashtextextended('names:' || current_account()::text, 0))"
)
LOCK_NAMES_EXCLUSIVE = text(
    "select pg_advisory_xact_lock(hashtextextended('names:' || current_account()::text, 0))"
)


class ReferenceQueries:
    """Reads references within the session's account."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def lock_for_reference(self) -> None:
        """Locks names for storing references to them: nothing is deleted until the transaction ends. Call it
        before reading the names."""
        await self.session.execute(LOCK_NAMES_SHARED)

    async def lock_for_deletion(self) -> None:
        """Locks names for deleting something: no reference can be stored until the transaction ends. Call it
        before looking for references."""
        await self.session.execute(LOCK_NAMES_EXCLUSIVE)

    async def of(self, kind: ReferenceKind, target: str) -> list[Use]:
        """What uses the target; `target` is an id, or the key of a field."""
        fields = await FieldRepository(session=self.session).catalog()

        def named(source: Version | Draft) -> bool:
            return (kind, target) in references(source, fields).rows()

        values = {"kind": kind, "target": target}
        rows = (await self.session.execute(FIND_PUBLISHED_USES, values)).all()
        uses = [_workflow(row, "live" if row.live else "people") for row in rows]
        needles = [target]
        if kind == "field" and target in fields:
            needles.append(fields[target].slug)
        return await self._with_others(uses, needles, named)

    async def of_options(self, field: str, options: Collection[str]) -> list[Use]:
        """What uses one of these options of the dropdown field with that key."""

        def named(source: Version | Draft) -> bool:
            return names_option(source, field, options)

        rows = (await self.session.execute(READ_DOCUMENTS_WITH_FIELD, {"target": field})).all()
        uses: dict[Any, Use] = {}
        for row in rows:  # the live version of each first
            if row.id not in uses and named(load_version(row.document)):
                uses[row.id] = _workflow(row, "live" if row.live else "people")
        return await self._with_others([*uses.values()], [field], named)

    async def _with_others(self, uses: list[Use], needles: list[str], named: Names) -> list[Use]:
        """Adds the drafts and segments that refer to the target."""
        live_ids = {use.id for use in uses if use.how == "live"}
        plain = [needle.lower().replace("-", "") for needle in needles]
        rows = (await self.session.execute(FIND_DRAFTS_WITH_TEXT, {"needles": plain})).all()
        drafts = [
            _workflow(row, "draft")
            for row in rows
            if row.id not in live_ids and named(msgspec.convert(row.draft, Draft))
        ]
        rows = (await self.session.execute(FIND_SEGMENTS_WITH_TEXT, {"needle": plain[0]})).all()
        segments = [
            Use("segment", row.id, row.name, "", f"/segments/{row.id}")
            for row in rows
            if _named_by(row, named)
        ]
        return [*uses, *drafts, *segments][:MOST_USES]


def _named_by(row: Any, named: Names) -> bool:
    """Whether the segment refers to the target. One that cannot be read counts as if it did."""
    try:
        return named(Draft(entry=decode_filter(row.filter)))
    except FilterError:
        return True


def _workflow(row: Any, how: Literal["live", "people", "draft"]) -> Use:
    return Use("workflow", row.id, row.name, how, f"/workflows/{row.id}")
