"""Builds the pages of custom fields."""

from operator import attrgetter
from uuid import UUID

from app.fields.schemas import (
    CustomFieldView,
    FieldChangeForm,
    FieldDeletionForm,
    FieldForm,
    FieldList,
    FieldPage,
)
from app.fields.use_cases import field_of, users_of
from app.permissions import Permission
from app.web.actions import action, actions
from app.web.paging import Paging, part_of
from app.work import Work
from db.models import CustomField
from db.queries.field_values import count_contacts_with_value

EDIT = Permission.EDIT_CONTACTS
TYPES = [
    ("text", "Text"),
    ("number", "Number"),
    ("boolean", "Yes or no"),
    ("date", "Date"),
    ("select", "Dropdown"),
]


async def field_list(work: Work, paging: Paging) -> FieldList:
    """The custom fields of the account."""
    create = action(work, "create", "New field", "/fields", permission=EDIT, form=FieldForm)
    fields, links = part_of("/fields", await work.fields.in_order(), paging, attrgetter("id"))
    return FieldList([_view(field) for field in fields], *links, TYPES, actions(create))


async def field_page(work: Work, field_id: UUID) -> FieldPage:
    """One field, and the workflows and segments that use it. Raises `NotFound`."""
    field, used = await field_of(work, field_id), await users_of(work, field_id)
    href = f"/fields/{field_id}"
    return FieldPage(
        _view(field),
        await count_contacts_with_value(work.session, field_id),
        used,
        actions(
            action(work, "update", "Save", href, method="PATCH", permission=EDIT, form=FieldChangeForm),
            action(
                work, "delete", "Delete", href, method="DELETE", permission=EDIT, form=FieldDeletionForm,
                when=not used,
            ),
        ),
    )  # fmt: skip


def _view(field: CustomField) -> CustomFieldView:
    return CustomFieldView(
        field.id, field.key, field.label, field.type, list(field.options), f"custom.{field.id}"
    )
