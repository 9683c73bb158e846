"""Reads and writes tags."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from db.ids import uuid7
from db.models import Contact, ContactTag, Tag
from db.tenancy import TenantRepository


def slug_of(name: str) -> str:
    """The name in lower case with single spaces; names with the same slug are one tag."""
    return " ".join(name.split()).casefold()


class TagRepository(TenantRepository[Tag]):
    model_type = Tag

    async def names(self) -> dict[str, str]:
        """Names by id (as text), sorted by name."""
        query = select(Tag.id, Tag.name).where(Tag.account_id == self.account_id).order_by(Tag.slug)
        return {str(row.id): row.name for row in await self.session.execute(query)}

    async def ensure(self, names: Iterable[str]) -> dict[str, UUID]:
        """The tag id of each name; missing tags are created. Blank names are left out, names that differ only
        in case or spaces are one tag."""
        slugs = {name: slug_of(name) for name in names if slug_of(name)}
        titles = {slug: " ".join(name.split()) for name, slug in reversed(slugs.items())}
        if not titles:
            return {}
        # In one order, so that two transactions that create the same tags cannot block each other.
        rows = [
            {"id": uuid7(), "account_id": self.account_id, "name": titles[slug], "slug": slug}
            for slug in sorted(titles)
        ]
        await self.session.execute(insert(Tag).on_conflict_do_nothing(), rows)
        query = select(Tag.slug, Tag.id).where(Tag.account_id == self.account_id, Tag.slug.in_(titles))
        ids_by_slug = {row.slug: row.id for row in await self.session.execute(query)}
        return {name: ids_by_slug[slug] for name, slug in slugs.items()}

    async def counted(self, tag_id: UUID | None = None) -> Sequence[Any]:
        """Every tag, or one, with the number of live contacts that have it: id, name, contacts,
        created_at."""
        counts = (
            select(ContactTag.tag_id, func.count().label("contacts"))
            .join(
                Contact,
                and_(Contact.account_id == ContactTag.account_id, Contact.id == ContactTag.contact_id),
            )
            .where(ContactTag.account_id == self.account_id, Contact.deleted_at.is_(None))
            .group_by(ContactTag.tag_id)
            .subquery()
        )
        query = (
            select(Tag.id, Tag.name, func.coalesce(counts.c.contacts, 0).label("contacts"), Tag.created_at)
            .outerjoin(counts, counts.c.tag_id == Tag.id)
            .where(Tag.account_id == self.account_id)
            .order_by(Tag.slug)
            .limit(2000)
        )
        query = query.where(Tag.id == tag_id) if tag_id is not None else query
        rows: Sequence[Any] = (await self.session.execute(query)).all()
        return rows

    async def row(self, tag_id: UUID) -> Any | None:
        """id and name of one tag; None when there is none."""
        query = select(Tag.id, Tag.name).where(Tag.account_id == self.account_id, Tag.id == tag_id)
        return (await self.session.execute(query)).one_or_none()

    async def by_slug(self, slug: str) -> Any | None:
        """id and name of the tag with that slug."""
        query = select(Tag.id, Tag.name).where(Tag.account_id == self.account_id, Tag.slug == slug)
        return (await self.session.execute(query)).one_or_none()

    async def rename(self, tag_id: UUID, name: str, now: datetime) -> None:
        """Renames a tag. Raises IntegrityError when another tag has the name."""
        await self.session.execute(
            update(Tag)
            .where(Tag.account_id == self.account_id, Tag.id == tag_id)
            .values(name=name, slug=slug_of(name), updated_at=now)
        )

    async def remove(self, tag_id: UUID) -> None:
        """Deletes a tag and removes it from contacts."""
        await self.session.execute(delete(Tag).where(Tag.account_id == self.account_id, Tag.id == tag_id))
