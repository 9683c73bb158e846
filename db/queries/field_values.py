"""What contacts of the session's account have in a custom field."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Text, case, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Contact
from db.queries.statements import execute, fetch_scalar, fetch_scalars


def _own() -> ColumnElement[bool]:
    return Contact.account_id == func.current_account()


def _has_value(field_id: UUID) -> ColumnElement[bool]:
    return Contact.fields.op("?")(str(field_id))


async def find_options_in_use(session: AsyncSession, field_id: UUID, options: Sequence[str]) -> list[str]:
    """The options, out of these, that live contacts have."""
    value = Contact.fields[str(field_id)]
    # The chosen options of a multi-select are a list.
    chosen = func.jsonb_array_elements_text(
        case((func.jsonb_typeof(value) == "array", value), else_=func.jsonb_build_array(value)),
        type_=Text(),
    ).column_valued("chosen", joins_implicitly=True)
    query = (
        select(chosen)
        .select_from(Contact)
        .where(_own(), Contact.deleted_at.is_(None), _has_value(field_id), chosen.in_(list(options)))
        .distinct()
    )
    return sorted(await fetch_scalars(session, str, query))


async def count_contacts_with_value(session: AsyncSession, field_id: UUID) -> int:
    """How many live contacts have a value in the field."""
    query = (
        select(func.count())
        .select_from(Contact)
        .where(_own(), Contact.deleted_at.is_(None), _has_value(field_id))
    )
    return await fetch_scalar(session, int, query) or 0


async def delete_values(session: AsyncSession, field_id: UUID) -> None:
    """Deletes the values in the field, also those of deleted contacts."""
    await execute(
        session,
        update(Contact)
        .where(_own(), _has_value(field_id))
        .values(fields=Contact.fields.op("-")(literal(str(field_id))))
        .execution_options(synchronize_session=False),
    )
