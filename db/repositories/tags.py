"""Reads of tags, each named by what it answers."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from db.ids import uuid7
from db.models import Tag
from db.tenancy import TenantRepository


def slug_of(name: str) -> str:
    """What makes two names one tag: no difference in case or in blanks."""
    return " ".join(name.split()).casefold()


class Tags(TenantRepository[Tag]):
    model_type = Tag

    async def names(self) -> dict[str, str]:
        """Id (as text) to name, in the order of the names."""
        query = select(Tag.id, Tag.name).where(Tag.account_id == self.account_id).order_by(Tag.slug)
        return {str(row.id): row.name for row in await self.session.execute(query)}

    async def ensure(self, names: Iterable[str]) -> dict[str, UUID]:
        """Each given name to the id of its tag; what is missing is created. Blank names are left out, names
        that differ only in case or blanks are one tag."""
        wanted = {name: slug_of(name) for name in names if slug_of(name)}
        titles = {slug: " ".join(name.split()) for name, slug in reversed(wanted.items())}
        if not titles:
            return {}
        # In one order, so that two transactions that create the same tags cannot block each other.
        rows = [
            {"id": uuid7(), "account_id": self.account_id, "name": titles[slug], "slug": slug}
            for slug in sorted(titles)
        ]
        await self.session.execute(insert(Tag).on_conflict_do_nothing(), rows)
        query = select(Tag.slug, Tag.id).where(Tag.account_id == self.account_id, Tag.slug.in_(titles))
        found = {row.slug: row.id for row in await self.session.execute(query)}
        return {name: found[slug] for name, slug in wanted.items()}
