"""Routes of custom fields."""

from typing import Any
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.fields.schemas import (
    CustomFieldView,
    FieldChangeForm,
    FieldDeletionForm,
    FieldForm,
    FieldList,
    FieldPage,
)
from app.fields.use_cases import change_field, create_field, delete_field, field_row, users_of
from app.permissions import Permission
from app.web.actions import action, actions
from app.web.body_limits import LONG_TEXT
from app.web.guards import may
from app.web.responses import Saved
from app.work import Work

EDIT = Permission.EDIT_CONTACTS
TYPES = [
    ("text", "Text"),
    ("number", "Number"),
    ("boolean", "Yes or no"),
    ("date", "Date"),
    ("select", "Dropdown"),
]


class FieldController(Controller):
    path = "/fields"
    tags = ("fields",)

    @get(page="fields/index.html", guards=[may(Permission.VIEW)])
    async def index(self, work: NamedDependency[Work]) -> FieldList:
        """The custom fields of the account."""
        create = action(work, "create", "New field", "/fields", permission=EDIT, form=FieldForm)
        return FieldList([view_of(row) for row in await work.fields.rows()], TYPES, actions(create))

    @post(page="fields/show.html", form="/fields", guards=[may(EDIT)], limits=LONG_TEXT)
    async def create(self, data: JSONBody[FieldForm], work: NamedDependency[Work]) -> Saved[FieldPage]:
        """Creates a field; its type and short name can't change later."""
        page = await _page(work, await create_field(work, data))
        return Saved(page, see=f"/fields/{page.field.id}", note=f"{page.field.label} was added.")

    @get("/{field_id:uuid}", page="fields/show.html", guards=[may(Permission.VIEW)])
    async def show(self, field_id: FromPath[UUID], work: NamedDependency[Work]) -> FieldPage:
        """One field, and the workflows and segments that use it."""
        return await _page(work, field_id)

    @post("/{field_id:uuid}", form="/fields/{field_id}", guards=[may(EDIT)], limits=LONG_TEXT)
    async def change(
        self, field_id: FromPath[UUID], data: JSONBody[FieldChangeForm], work: NamedDependency[Work]
    ) -> Saved[FieldPage]:
        """Changes the label or the options. 409 with the list of uses when a filter or a step uses an option
        that would be removed."""
        await change_field(work, field_id, data)
        return Saved(await _page(work, field_id), see="/fields", created=False, note="The field was saved.")

    @post("/{field_id:uuid}/deletion", form="/fields/{field_id}", guards=[may(EDIT)])
    async def delete_field(
        self, field_id: FromPath[UUID], data: JSONBody[FieldDeletionForm], work: NamedDependency[Work]
    ) -> Saved[None]:
        """Deletes a field and its values. 409 with the list of uses while a workflow or a segment uses it,
        and 409 with the number of contacts that have a value when it differs from `expected`."""
        label = await delete_field(work, field_id, data.expected)
        return Saved(None, see="/fields", note=f"{label} was deleted.")


async def _page(work: Work, field_id: UUID) -> FieldPage:
    row, used = await field_row(work, field_id), await users_of(work, field_id)
    href = f"/fields/{field_id}"
    return FieldPage(
        view_of(row),
        await work.fields.count_values(field_id),
        used,
        actions(
            action(work, "update", "Save", href, permission=EDIT, form=FieldChangeForm),
            action(
                work, "delete", "Delete", f"{href}/deletion", permission=EDIT, form=FieldDeletionForm,
                when=not used,
            ),
        ),
    )  # fmt: skip


def view_of(row: Any) -> CustomFieldView:
    """A custom field as the page shows it."""
    return CustomFieldView(row.id, row.key, row.label, row.type, list(row.options), f"custom.{row.id}")
