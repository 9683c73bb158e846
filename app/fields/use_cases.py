"""Create, change, move, retire and delete custom fields."""

from collections.abc import Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET
from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Invalid, NotFound, check_expected
from app.fields.domain import (
    MOST_FIELDS,
    MOST_FORMER_KEYS,
    FieldNames,
    currency_error,
    key_error,
    key_of,
    label_error,
    read_default,
    read_options,
)
from app.fields.schemas import FieldChangeForm, FieldForm
from app.filters.fields import CHOICE_TYPES, FieldSpec, FieldValue, custom_field
from app.filters.references import Use, still_used_message
from app.json_types import Json
from app.patch import resolve
from app.work import Work
from db.ids import uuid7
from db.models import CustomField
from db.queries.field_values import count_contacts_with_value, delete_values, find_options_in_use
from db.queries.references import find_uses, find_uses_of_options, lock_for_deletion

SHORT_NAME_IN_USE = "Another field already has this short name. Choose another."
INSTEAD = "delete it. Or retire the field: it keeps its values and works where it is used, but isn't offered"


class Definition(msgspec.Struct, frozen=True):
    """What an account says about a field; the audit log has its changes."""

    label: str
    key: str
    options: list[str]
    currency: str
    group: str
    required: bool
    default: FieldValue
    retired: bool = False

    @classmethod
    def of(cls, field: CustomField) -> "Definition":
        return cls(
            field.label, field.key, list(field.options), field.currency, field.group_name, field.required,
            field.default_value, field.retired_at is not None,
        )  # fmt: skip


async def create_field(work: Work, form: FieldForm) -> UUID:
    """Creates a field. Raises `Invalid`."""
    others = await work.fields.in_order()
    label = " ".join(form.label.split())
    spec = custom_field(uuid7(), "", label, form.type)
    definition = Definition(
        label, form.key.strip() or key_of(label), [], form.currency.strip().upper(),
        " ".join(form.group.split()), form.required, form.default,
    )  # fmt: skip
    definition = await _checked(work, spec, definition, form.options, others, None)
    if len(others) >= MOST_FIELDS:
        raise Invalid({"": f"An account can have at most {MOST_FIELDS} custom fields."})
    field = CustomField(
        type=form.type,
        position=max((other.position for other in others), default=0) + 1,
        created_at=work.now,
        updated_at=work.now,
    )
    _fill(field, definition)
    try:
        field = await work.fields.add(field)
    except IntegrityError:
        await work.session.rollback()
        raise Invalid({"key": SHORT_NAME_IN_USE}) from None
    changes: dict[str, list[Json]] = {
        name: [None, value]
        for name, value in msgspec.to_builtins(definition).items()
        if value not in (None, "", False) or name in ("label", "key", "options")
    }
    work.audit("field.created", "field", field.id, {"type": [None, form.type], **changes})
    await work.commit()
    return field.id


async def change_field(work: Work, field_id: UUID, form: FieldChangeForm) -> None:
    """Changes what was sent. Raises `Invalid` when contacts still have an option that would be removed,
    `Conflict` with the list of uses when filters or steps use one, `NotFound`."""
    await lock_for_deletion(work.session)  # before the field's row, as `delete_field` does
    field = await work.fields.get_one_or_none(id=field_id, with_for_update={"key_share": True})
    if field is None:
        raise NotFound("field")
    before, in_order = Definition.of(field), await work.fields.in_order()
    others = [other for other in in_order if other.id != field_id]
    spec = custom_field(field.id, field.key, field.label, field.type)
    sent = replace(
        before,
        label=before.label if form.label is UNSET else " ".join(form.label.split()),
        key=resolve(form.key, before.key).strip(),
        currency=resolve(form.currency, before.currency).strip().upper(),
        group=" ".join((resolve(form.group, before.group) or "").split()),
        required=resolve(form.required, before.required),
        default=resolve(form.default, before.default),
        retired=resolve(form.retired, before.retired),
    )
    options = "\n".join(before.options) if form.options is UNSET else form.options or ""
    after = await _checked(work, spec, sent, options, others, before)
    await _refuse_lost_values(work, field, before, after)
    compared = [(name, getattr(before, name), getattr(after, name)) for name in Definition.__struct_fields__]
    changes: dict[str, list[Json]] = {name: [old, new] for name, old, new in compared if old != new}
    changes |= _moved(field, in_order, form)
    if changes:
        if after.key != before.key:
            former = [key for key in [*field.former_keys, before.key] if key != after.key]
            field.former_keys = former
        if after.retired != before.retired:
            field.retired_at = work.now if after.retired else None
        _fill(field, after)
        field.updated_at = work.now
        work.audit("field.updated", "field", field_id, changes)
    await work.commit()


def _fill(field: CustomField, definition: Definition) -> None:
    field.label, field.key, field.options = definition.label, definition.key, definition.options
    field.currency, field.group_name = definition.currency, definition.group
    field.required, field.default_value = definition.required, definition.default


def _moved(
    field: CustomField, in_order: Sequence[CustomField], form: FieldChangeForm
) -> dict[str, list[Json]]:
    """Gives all fields their places after a move; returns the change of this one."""
    before = in_order.index(field)
    place = before
    if form.position is not UNSET:
        place = form.position - 1
    elif form.move is not UNSET:
        place = before + (1 if form.move == "down" else -1)
    place = min(max(place, 0), len(in_order) - 1)
    if place == before:
        return {}
    ordered = [other for other in in_order if other is not field]
    ordered.insert(place, field)
    for position, other in enumerate(ordered, start=1):
        if other.position != position:
            other.position = position
    return {"position": [before + 1, place + 1]}


async def _checked(
    work: Work,
    spec: FieldSpec,
    sent: Definition,
    options: str,
    others: Sequence[CustomField],
    before: Definition | None,
) -> Definition:
    """The definition in its stored form. What a field already has isn't refused. Raises `Invalid`."""
    names = [FieldNames(other.label, other.key, list(other.former_keys)) for other in others]
    errors: dict[str, str] = {}
    if before is None or sent.label != before.label:
        errors["label"] = label_error(sent.label, names)
    derived = bool(errors.get("label")) and sent.key == key_of(sent.label)
    if (before is None or sent.key != before.key) and not derived:
        errors["key"] = key_error(sent.key, names)
    if not sent.group.isprintable():
        errors["group"] = "Enter a group of at most 60 characters."
    errors["currency"] = currency_error(spec.type, sent.currency)
    chosen: list[str] = []
    try:
        chosen = read_options(options) if spec.type in CHOICE_TYPES else []
    except ValueError as error:
        errors["options"] = str(error)
    account, catalog = await work.accounts.own(), await work.fields.catalog()
    default = sent.default
    rules = (default, chosen, sent.currency)
    is_kept = before is not None and rules == (before.default, before.options, before.currency)
    if not is_kept and not any(errors.values()):
        spec = replace(
            spec,
            label=sent.label,
            options=tuple(chosen),
            currency=sent.currency,
            names=catalog["owner"].names,
        )
        try:
            default = read_default(spec, default, account.default_region, ZoneInfo(account.time_zone))
        except ValueError as error:
            errors["default"] = str(error)
    errors = {name: message for name, message in errors.items() if message}
    if errors:
        raise Invalid(errors)
    return replace(sent, options=chosen, default=default)


async def _refuse_lost_values(work: Work, field: CustomField, before: Definition, after: Definition) -> None:
    """Raises `Invalid` or `Conflict` when a change would take the meaning of values that are in use."""
    if after.key != before.key and len(field.former_keys) >= MOST_FORMER_KEYS:
        raise Invalid({"key": f"A field can have at most {MOST_FORMER_KEYS} earlier short names."})
    if before.currency != after.currency and await count_contacts_with_value(work.session, field.id):
        message = f"Contacts have amounts in {before.currency}. Add another field for {after.currency}."
        raise Invalid({"currency": message})
    removed = [option for option in before.options if option not in after.options]
    in_use = await find_options_in_use(work.session, field.id, removed) if removed else []
    if in_use:
        raise Invalid(
            {"options": f"Contacts still have {', '.join(in_use[:5])}. Change those contacts first."}
        )
    if removed:
        await _refuse_used_options(work, field, removed)


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
        then = "delete it" if field.retired_at else INSTEAD
        raise Conflict(
            still_used_message(f"The field “{field.label}”", used, then), current=msgspec.to_builtins(used)
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
