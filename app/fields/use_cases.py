"""Create, change and delete custom fields."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Invalid, NotFound, check_expected
from app.fields.domain import MOST_FIELDS, key_error, key_of, read_options
from app.fields.schemas import FieldChangeForm, FieldForm
from app.filters.references import Use, still_used_message
from app.work import Work
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


async def field_row(work: Work, field_id: UUID) -> Any:
    """One field. Raises `NotFound`."""
    row = await work.fields.row(field_id)
    if row is None:
        raise NotFound("field")
    return row


async def create_field(work: Work, form: FieldForm) -> UUID:
    """Creates a field. Raises `Invalid`."""
    label, key = _label(form.label), form.key.strip() or key_of(form.label)
    error = key_error(key)
    if error:
        raise Invalid({"key": error})
    options = _options(form.type, form.options)
    if await work.fields.by_key(key) is not None:
        raise Invalid({"key": SHORT_NAME_IN_USE})
    if len(await work.fields.rows()) >= MOST_FIELDS:
        raise Invalid({"": f"An account can have at most {MOST_FIELDS} custom fields."})
    columns = {"key": key, "label": label, "type": form.type, "options": options}
    try:
        field_id = await work.fields.insert(columns, work.now)
    except IntegrityError:
        await work.session.rollback()
        raise Invalid({"key": SHORT_NAME_IN_USE}) from None
    work.audit("field.created", "field", field_id, {name: [None, value] for name, value in columns.items()})
    await work.commit()
    return field_id


async def change_field(work: Work, field_id: UUID, form: FieldChangeForm) -> None:
    """Changes the label or the options. Raises `Invalid` when contacts still have an option that would be
    removed, `Conflict` with the list of uses when filters or steps use one, `NotFound`."""
    old = await field_row(work, field_id)
    new = {
        "label": old.label if form.label is UNSET else _label(form.label),
        "options": old.options if form.options is UNSET else _options(old.type, form.options or ""),
    }
    removed = [option for option in old.options if option not in new["options"]]
    in_use = await work.fields.options_in_use(field_id, removed) if removed else []
    if in_use:
        raise Invalid(
            {"options": f"Contacts still have {', '.join(in_use[:5])}. Change those contacts first."}
        )
    if removed:
        await _refuse_used_options(work, old, removed)
    changes = {
        name: [getattr(old, name), value] for name, value in new.items() if value != getattr(old, name)
    }
    if changes:
        await work.fields.change(field_id, {name: new[name] for name in changes}, work.now)
        work.audit("field.updated", "field", field_id, changes)
    await work.commit()


async def _refuse_used_options(work: Work, field: Any, removed: list[str]) -> None:
    await lock_for_deletion(work.session)
    used = await find_uses_of_options(work.session, f"custom.{field.id}", removed)
    if used:
        what = f"{', '.join(f'“{option}”' for option in removed[:5])} of {field.label}"
        raise Conflict(still_used_message(what, used, "remove it"), current=msgspec.to_builtins(used))


async def delete_field(work: Work, field_id: UUID, expected: int | None = None) -> str:
    """Deletes a field and the contacts' values in it; returns its label. Raises `NotFound`, `Conflict` with
    the list of uses while a workflow or a segment uses it, and `Conflict` with the number of contacts that
    have a value when it differs from `expected`."""
    field = await field_row(work, field_id)
    await lock_for_deletion(work.session)
    used = await users_of(work, field_id)
    if used:
        raise Conflict(
            still_used_message(f"The field “{field.label}”", used), current=msgspec.to_builtins(used)
        )
    total = await work.fields.count_values(field_id)
    check_expected(expected, total, "contact has a value", "contacts have a value")
    await work.fields.remove(field_id)
    changes = {"label": [field.label, None], "contacts": [total, None]}
    work.audit("field.deleted", "field", field_id, changes)
    await work.commit()
    return str(field.label)


async def users_of(work: Work, field_id: UUID) -> list[Use]:
    """The workflows and segments that use a field."""
    return await find_uses(work.session, "field", f"custom.{field_id}")
