"""Who uses a thing: workflows (live, with people in them, in their draft) and segments, by id."""

from typing import Any, Literal

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.uses import Use
from app.workflows.domain.draft import Draft
from app.workflows.domain.references import References, references
from db.repositories.fields import Fields
from db.repositories.segments import read_filter

Kind = Literal["tag", "field", "segment", "workflow", "user"]
MOST = 50
PUBLISHED = text("""
select w.id, w.name, bool_or(w.live_version = r.version) as live
  from workflow_references r
  join workflows w on w.account_id = r.account_id and w.id = r.workflow_id
 where r.account_id = current_account() and r.kind = :kind and r.target = :target
   and (w.live_version = r.version or exists (
        select from enrollments e where e.account_id = r.account_id and e.workflow_id = r.workflow_id
           and e.version = r.version and e.status = 'active'))
 group by w.id, w.name order by w.name, w.id limit 50
""")
# Only drafts that hold one of the texts are read: what a draft means is for `references` to say.
DRAFTS = (
    text("""
select w.id, w.name, v.draft from workflows w
  join workflow_revisions v on v.account_id = w.account_id and v.workflow_id = w.id and v.rev = w.rev
 where w.account_id = current_account() and w.status <> 'archived'
   and exists (select from unnest(:needles) needle where strpos(cast(v.draft as text), needle) > 0)
 order by w.name, w.id
""")
    .bindparams(bindparam("needles", type_=ARRAY(TEXT)))
    .columns(draft=JSONB)
)
FILTERS = text("""
select s.id, s.name, s.filter from segments s
 where s.account_id = current_account() and strpos(cast(s.filter as text), :target) > 0
 order by s.name, s.id
""").columns(filter=JSONB)


class Uses:
    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def of(self, kind: Kind, target: str) -> list[Use]:
        """Who uses it; `target` is an id, for a field its key."""
        values = {"kind": kind, "target": target}
        rows = (await self.session.execute(PUBLISHED, values)).all()
        found = [_workflow(row, "live" if row.live else "people") for row in rows]
        known = {use.id for use in found if use.how == "live"}
        drafts = [use for use in await self._drafts(kind, target) if use.id not in known]
        return [*found, *drafts, *await self._segments(kind, target)][:MOST]

    async def _drafts(self, kind: Kind, target: str) -> list[Use]:
        fields = await Fields(session=self.session).catalogue()
        needles = [target]
        if kind == "field" and target in fields:
            needles.append(fields[target].slug)
        rows = (await self.session.execute(DRAFTS, {"needles": needles})).all()
        return [
            _workflow(row, "draft")
            for row in rows
            if _uses(references(msgspec.convert(row.draft, Draft), fields), kind, target)
        ]

    async def _segments(self, kind: Kind, target: str) -> list[Use]:
        needle = target.removeprefix("custom.") if kind == "field" else target
        rows = (await self.session.execute(FILTERS, {"target": needle})).all()
        return [
            Use("segment", row.id, row.name, "", f"/segments/{row.id}")
            for row in rows
            if _uses(references(Draft(entry=read_filter(row.filter)), {}), kind, target)
        ]


def _uses(found: References, kind: Kind, target: str) -> bool:
    return (kind, target) in found.rows()


def _workflow(row: Any, how: Literal["live", "people", "draft"]) -> Use:
    return Use("workflow", row.id, row.name, how, f"/workflows/{row.id}")
