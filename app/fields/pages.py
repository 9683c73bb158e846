"""Builds the pages of custom fields."""

from collections.abc import Sequence
from operator import attrgetter
from uuid import UUID

from app.errors import NotFound
from app.fields.schemas import (
    CustomFieldView,
    FieldChangeForm,
    FieldDeletionForm,
    FieldForm,
    FieldList,
    FieldMoveForm,
    FieldPage,
    FieldRetirementForm,
)
from app.fields.use_cases import users_of
from app.filters.fields import INDEXABLE
from app.filters.money import CURRENCIES
from app.permissions import Permission
from app.web.actions import action, actions
from app.web.paging import Paging, part_of
from app.work import Work
from db.models import CustomField
from db.queries.field_values import count_contacts_with_value

EDIT = Permission.EDIT_CONTACTS
TYPES = [
    ("text", "Text"),
    ("long_text", "Long text"),
    ("number", "Number"),
    ("money", "Money"),
    ("boolean", "Yes or no"),
    ("date", "Date"),
    ("datetime", "Date and time"),
    ("select", "Dropdown"),
    ("multi_select", "Multi-select"),
    ("phone", "Phone"),
    ("email", "Email"),
    ("url", "URL"),
    ("member", "Member"),
]


async def field_list(work: Work, paging: Paging) -> FieldList:
    """The custom fields of the account."""
    create = action(work, "create", "New field", "/fields", permission=EDIT, form=FieldForm)
    every = await work.fields.in_order()
    fields, links = part_of("/fields", every, paging, attrgetter("id"))
    places = {field.id: place for place, field in enumerate(every, start=1)}
    views = [_view(field, places[field.id]) for field in fields]
    moves = [
        action(
            work, f"move:{field.id}", f"Move {field.label}", f"/fields/{field.id}", method="PATCH",
            permission=EDIT, form=FieldMoveForm, when=len(every) > 1,
        )
        for field in fields
    ]  # fmt: skip
    return FieldList(views, *links, TYPES, [*CURRENCIES], _groups(every), actions(create, *moves))


async def field_page(work: Work, field_id: UUID) -> FieldPage:
    """One field, and the workflows and segments that use it. Raises `NotFound`."""
    every, used = await work.fields.in_order(), await users_of(work, field_id)
    places = {field.id: (place, field) for place, field in enumerate(every, start=1)}
    if field_id not in places:
        raise NotFound("field")
    place, field = places[field_id]
    catalog = await work.fields.catalog()
    href, retired = f"/fields/{field_id}", field.retired_at is not None
    return FieldPage(
        _view(field, place),
        await count_contacts_with_value(work.session, field_id),
        used,
        TYPES,
        [*CURRENCIES],
        _groups(every),
        dict(catalog["owner"].names or {}),
        (await work.accounts.own()).time_zone,
        actions(
            action(work, "update", "Save", href, method="PATCH", permission=EDIT, form=FieldChangeForm),
            action(
                work, "retire", "Retire", href, method="PATCH", permission=EDIT, form=FieldRetirementForm,
                when=not retired,
            ),
            action(
                work, "bring_back", "Bring back", href, method="PATCH", permission=EDIT,
                form=FieldRetirementForm, when=retired,
            ),
            action(
                work, "delete", "Delete", href, method="DELETE", permission=EDIT, form=FieldDeletionForm,
                when=not used,
            ),
            action(
                work, "index", "Index this field", f"{href}/index", permission=EDIT,
                when=field.type in INDEXABLE and field.slot is None,
            ),
            action(
                work, "end_index", "End the index", f"{href}/index", method="DELETE", permission=EDIT,
                when=field.slot is not None,
            ),
        ),
    )  # fmt: skip


def _groups(fields: Sequence[CustomField]) -> list[str]:
    return list(dict.fromkeys(field.group_name for field in fields if field.group_name))


def _view(field: CustomField, position: int) -> CustomFieldView:
    return CustomFieldView(
        field.id, field.key, field.label, field.type, list(field.options), f"custom.{field.id}",
        field.currency, field.group_name, field.required, field.default_value,
        field.retired_at is not None, list(field.former_keys), position,
        "no" if field.slot is None else "ready" if field.indexed else "building",
    )  # fmt: skip
