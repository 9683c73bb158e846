"""Builds the pages of tags."""

from urllib.parse import urlencode
from uuid import UUID

from app.errors import NotFound
from app.permissions import Permission
from app.tags.schemas import TagDeletionForm, TagForm, TagLine, TagList, TagPage
from app.tags.use_cases import users_of
from app.web.actions import action, actions
from app.web.paging import Paging, part_of
from app.work import Work
from db.queries.tags import (
    TagWithContacts,
    find_tag_with_contacts,
    list_tag_names,
    list_tags_with_contacts,
)

EDIT = Permission.EDIT_CONTACTS
MOST_TAGS = 2000  # on a page, when no limit is given


async def tag_list(work: Work, paging: Paging) -> TagList:
    """A page of the tags, with the number of contacts that have each. Raises `Invalid`."""
    create = action(work, "create", "New tag", "/tags", permission=EDIT, form=TagForm)
    names = await list_tag_names(work.session)
    ids, links = part_of("/tags", [*map(UUID, names)], paging, lambda tag_id: tag_id, most=MOST_TAGS)
    tags = await list_tags_with_contacts(work.session, ids)
    return TagList([_line(tag) for tag in tags], *links, actions(create))


async def tag_page(work: Work, tag_id: UUID) -> TagPage:
    """One tag, and the workflows and segments that use it. Raises `NotFound`."""
    tag = await find_tag_with_contacts(work.session, tag_id)
    if tag is None:
        raise NotFound("tag")
    used = await users_of(work, tag_id)
    href = f"/tags/{tag_id}"
    return TagPage(
        _line(tag),
        used,
        actions(
            action(work, "rename", "Rename", href, method="PATCH", permission=EDIT, form=TagForm),
            action(
                work, "delete", "Delete", href, method="DELETE", permission=EDIT, form=TagDeletionForm,
                when=not used,
            ),
        ),
    )  # fmt: skip


def _line(tag: TagWithContacts) -> TagLine:
    query = urlencode({"f": f"tags:any_of:{tag.id}"})
    return TagLine(tag.id, tag.name, tag.contacts, tag.created_at, f"/contacts?{query}")
