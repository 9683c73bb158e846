"""Routes of tags."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.permissions import Permission
from app.tags.pages import tag_list, tag_page
from app.tags.schemas import TagDeletionForm, TagForm, TagList, TagPage
from app.tags.use_cases import create_tag, delete_tag, rename_tag
from app.web.guards import may
from app.web.methods import deletion, partial_update
from app.web.paging import Paging
from app.web.request_kinds import BULK
from app.web.responses import Saved
from app.work import Work

EDIT = Permission.EDIT_CONTACTS


class TagController(Controller):
    path = "/tags"
    tags = ("tags",)

    @get(page="tags/index.html", guards=[may(Permission.VIEW)])
    async def index(self, work: NamedDependency[Work], paging: NamedDependency[Paging]) -> TagList:
        """Every tag, with the number of contacts that have it."""
        return await tag_list(work, paging)

    @post(page="tags/show.html", form="/tags", guards=[may(EDIT)])
    async def create(self, data: JSONBody[TagForm], work: NamedDependency[Work]) -> Saved[TagPage]:
        """Creates a tag. Names that differ only in case are one tag."""
        page = await tag_page(work, await create_tag(work, data.name))
        return Saved(page, see=f"/tags/{page.tag.id}", note=f"Tag {page.tag.name} was added.")

    @get("/{tag_id:uuid}", page="tags/show.html", guards=[may(Permission.VIEW)])
    async def show(self, tag_id: FromPath[UUID], work: NamedDependency[Work]) -> TagPage:
        """One tag, and the workflows and segments that use it."""
        return await tag_page(work, tag_id)

    @partial_update("/{tag_id:uuid}", form="/tags/{tag_id}", guards=[may(EDIT)])
    async def rename(
        self, tag_id: FromPath[UUID], data: JSONBody[TagForm], work: NamedDependency[Work]
    ) -> Saved[TagPage]:
        """Renames a tag; contacts and workflows keep it."""
        await rename_tag(work, tag_id, data.name)
        return Saved(await tag_page(work, tag_id), see="/tags", created=False, note="The tag was renamed.")

    @deletion("/{tag_id:uuid}", form="/tags/{tag_id}", guards=[may(EDIT)], kind=BULK)
    async def delete_tag(
        self, tag_id: FromPath[UUID], data: JSONBody[TagDeletionForm], work: NamedDependency[Work]
    ) -> Saved[None]:
        """Removes a tag from all contacts and deletes it. 409 with the list of uses while a workflow or a
        segment uses it, and 409 with the number of contacts when it differs from `expected`."""
        name = await delete_tag(work, tag_id, data.expected)
        return Saved(None, see="/tags", note=f"Tag {name} was deleted.")
