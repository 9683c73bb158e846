"""Routes of custom fields."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.fields.indexing import end_index, index_field
from app.fields.pages import field_list, field_page
from app.fields.schemas import FieldChangeForm, FieldDeletionForm, FieldForm, FieldList, FieldPage, IndexJob
from app.fields.use_cases import change_field, create_field, delete_field
from app.permissions import Permission
from app.web.body_limits import LONG_TEXT
from app.web.guards import may
from app.web.methods import deletion, partial_update
from app.web.paging import Paging
from app.web.request_kinds import BULK, COUNT
from app.web.responses import Saved
from app.work import Work

EDIT = Permission.EDIT_CONTACTS


class FieldController(Controller):
    path = "/fields"
    tags = ("fields",)

    @get(page="fields/index.html", guards=[may(Permission.VIEW)])
    async def index(self, work: NamedDependency[Work], paging: NamedDependency[Paging]) -> FieldList:
        """The custom fields of the account."""
        return await field_list(work, paging)

    @post(page="fields/show.html", form="/fields", guards=[may(EDIT)], limits=LONG_TEXT)
    async def create(self, data: JSONBody[FieldForm], work: NamedDependency[Work]) -> Saved[FieldPage]:
        """Creates a field; its type can't change later."""
        page = await field_page(work, await create_field(work, data))
        return Saved(page, see=f"/fields/{page.field.id}", note=f"{page.field.label} was added.")

    @get("/{field_id:uuid}", page="fields/show.html", guards=[may(Permission.VIEW)], kind=COUNT)
    async def show(self, field_id: FromPath[UUID], work: NamedDependency[Work]) -> FieldPage:
        """One field, and the workflows and segments that use it."""
        return await field_page(work, field_id)

    @partial_update("/{field_id:uuid}", form="/fields/{field_id}", guards=[may(EDIT)], limits=LONG_TEXT)
    async def change(
        self, field_id: FromPath[UUID], data: JSONBody[FieldChangeForm], work: NamedDependency[Work]
    ) -> Saved[FieldPage]:
        """Changes, moves or retires a field. 409 with the list of uses when a filter or a step uses an option
        that would be removed."""
        await change_field(work, field_id, data)
        return Saved(
            await field_page(work, field_id), see="/fields", created=False, note="The field was saved."
        )

    @deletion("/{field_id:uuid}", form="/fields/{field_id}", guards=[may(EDIT)], kind=BULK)
    async def delete_field(
        self, field_id: FromPath[UUID], data: JSONBody[FieldDeletionForm], work: NamedDependency[Work]
    ) -> Saved[None]:
        """Deletes a field and its values. 409 with the list of uses while a workflow or a segment uses it,
        and 409 with the number of contacts that have a value when it differs from `expected`."""
        label = await delete_field(work, field_id, data.expected)
        return Saved(None, see="/fields", note=f"{label} was deleted.")

    @post("/{field_id:uuid}/index", form="/fields/{field_id}", guards=[may(EDIT)], status_code=201)
    async def index_values(self, field_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[IndexJob]:
        """Starts a job that indexes a number or a date: lists then sort and filter by it fast. An account has
        ten such fields at most."""
        job_id = await index_field(work, field_id)
        job = IndexJob(job_id, f"/jobs/{job_id}")
        return Saved(job, see=f"/fields/{field_id}", note="The index is being built.")

    @deletion("/{field_id:uuid}/index", form="/fields/{field_id}", guards=[may(EDIT)])
    async def end_index(self, field_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[None]:
        """Ends the index of a field. Its values stay."""
        await end_index(work, field_id)
        return Saved(None, see=f"/fields/{field_id}", note="The index was ended.")
