"""Create, change and delete custom fields."""

from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Invalid, NotFound, check_expected
from app.fields.domain import MOST_FIELDS, key_error, key_of, read_options
from app.fields.schemas import FieldChangeForm, FieldForm
from app.filters.references import Use, still_used_message
from app.json_types import Json, JsonObject
from app.work import Work
from db.models import CustomField
from db.queries.field_values import count_contacts_with_value, delete_values, find_options_in_use
from db.queries.references import find_uses, find_uses_of_options, lock_for_deletion

SHORT_NAME_IN_USE = "Another field already has this short name. Choose another."


def _label(text: str) -> str:
    label = " ".join(text.split())
    if not label or not label.isprintable():
        raise Invalid({"label": "Enter a label of 1 to 60 characters."})
    return label


def _options(kind: str, text: str) -> list[str]:
    try:
        return read_options(text) if kind == "select" else []
    except ValueError as error:
        raise Invalid({"options": str(error)}) from None


async def field_of(work: Work, field_id: UUID) -> CustomField:
    """One field. Raises `NotFound`."""
    field = await work.fields.get_one_or_none(id=field_id)
    if field is None:
        raise NotFound("field")
    return field


async def create_field(work: Work, form: FieldForm) -> UUID:
    """Creates a field. Raises `Invalid`."""
    label, key = _label(form.label), form.key.strip() or key_of(form.label)
    error = key_error(key)
    if error:
        raise Invalid({"key": error})
    options = _options(form.type, form.options)
    if await work.fields.exists(key=key):
        raise Invalid({"key": SHORT_NAME_IN_USE})
    fields = await work.fields.in_order()
    if len(fields) >= MOST_FIELDS:
        raise Invalid({"": f"An account can have at most {MOST_FIELDS} custom fields."})
    columns: JsonObject = {"key": key, "label": label, "type": form.type, "options": [*options]}
    position = max((field.position for field in fields), default=0) + 1
    try:
        field = await work.fields.add(
            CustomField(**columns, position=position, created_at=work.now, updated_at=work.now)
        )
    except IntegrityError:
        await work.session.rollback()
        raise Invalid({"key": SHORT_NAME_IN_USE}) from None
    work.audit("field.created", "field", field.id, {name: [None, value] for name, value in columns.items()})
    await work.commit()
    return field.id


async def change_field(work: Work, field_id: UUID, form: FieldChangeForm) -> None:
    """Changes the label or the options. Raises `Invalid` when contacts still have an option that would be
    removed, `Conflict` with the list of uses when filters or steps use one, `NotFound`."""
    if form.options is not UNSET:
        await lock_for_deletion(work.session)  # before the field's row, as `delete_field` does
    field = await work.fields.get_one_or_none(id=field_id, with_for_update={"key_share": True})
    if field is None:
        raise NotFound("field")
    label = field.label if form.label is UNSET else _label(form.label)
    options = field.options if form.options is UNSET else _options(field.type, form.options or "")
    removed = [option for option in field.options if option not in options]
    in_use = await find_options_in_use(work.session, field_id, removed) if removed else []
    if in_use:
        raise Invalid(
            {"options": f"Contacts still have {', '.join(in_use[:5])}. Change those contacts first."}
        )
    if removed:
        await _refuse_used_options(work, field, removed)
    compared: list[tuple[str, Json, Json]] = [
        ("label", field.label, label),
        ("options", [*field.options], [*options]),
    ]
    changes = {name: [old, new] for name, old, new in compared if old != new}
    if changes:
        field.label, field.options, field.updated_at = label, options, work.now
        work.audit("field.updated", "field", field_id, changes)
    await work.commit()


async def _refuse_used_options(work: Work, field: CustomField, removed: list[str]) -> None:
    """The caller holds the lock for deletions."""
    used = await find_uses_of_options(work.session, f"custom.{field.id}", removed)
    if used:
        what = f"{', '.join(f'“{option}”' for option in removed[:5])} of {field.label}"
        raise Conflict(still_used_message(what, used, "remove it"), current=msgspec.to_builtins(used))


async def delete_field(work: Work, field_id: UUID, expected: int | None = None) -> str:
    """Deletes a field and the contacts' values in it; returns its label. Raises `NotFound`, `Conflict` with
    the list of uses while a workflow or a segment uses it, and `Conflict` with the number of contacts that
    have a value when it differs from `expected`."""
    await lock_for_deletion(work.session)
    # With the lock it waits for changes that store values in the field, and keeps others from doing so.
    field = await work.fields.get_one_or_none(id=field_id, with_for_update=True)
    if field is None:
        raise NotFound("field")
    used = await users_of(work, field_id)
    if used:
        raise Conflict(
            still_used_message(f"The field “{field.label}”", used), current=msgspec.to_builtins(used)
        )
    total = await count_contacts_with_value(work.session, field_id)
    check_expected(expected, total, "contact has a value", "contacts have a value")
    await delete_values(work.session, field_id)
    await work.session.delete(field)
    changes: dict[str, list[Json]] = {"label": [field.label, None], "contacts": [total, None]}
    work.audit("field.deleted", "field", field_id, changes)
    await work.commit()
    return field.label


async def users_of(work: Work, field_id: UUID) -> list[Use]:
    """The workflows and segments that use a field."""
    return await find_uses(work.session, "field", f"custom.{field_id}")
