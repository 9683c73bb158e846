"""Tags. Those with their contacts, and sets of them, are in db/queries/tags.py."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from db.models import Tag
from db.queries.tags import insert_missing_tags, list_tag_names
from db.tenancy import TenantRepository


def slug_of(name: str) -> str:
    """The name in lower case with single spaces; names with the same slug are one tag."""
    return " ".join(name.split()).casefold()


class TagRepository(TenantRepository[Tag]):
    model_type = Tag

    async def names(self) -> Mapping[str, str]:
        """Names by id (as text), sorted by name."""
        return await list_tag_names(self.session)

    async def ensure(self, names: Iterable[str]) -> dict[str, UUID]:
        """The tag id of each name; missing tags are created. Blank names are left out, names that differ only
        in case or spaces are one tag."""
        slugs = {name: slug_of(name) for name in names if slug_of(name)}
        names_by_slug = {slug: " ".join(name.split()) for name, slug in reversed(slugs.items())}
        if not names_by_slug:
            return {}
        await insert_missing_tags(self.session, names_by_slug)
        tags = await self.get_many(Tag.slug.in_(names_by_slug))
        ids_by_slug = {tag.slug: tag.id for tag in tags}
        return {name: ids_by_slug[slug] for name, slug in slugs.items()}
