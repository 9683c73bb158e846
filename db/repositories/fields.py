"""Reads and writes custom fields."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, literal, select, update

from app.filters.fields import FieldSpec, custom_field, field_catalog
from db.ids import uuid7
from db.models import Contact, CustomField
from db.repositories.segments import load_names
from db.tenancy import TenantRepository

COLUMNS = (
    CustomField.id,
    CustomField.key,
    CustomField.label,
    CustomField.type,
    CustomField.options,
    CustomField.position,
)


class FieldRepository(TenantRepository[CustomField]):
    model_type = CustomField

    async def rows(self) -> Sequence[Any]:
        """The account's own fields in their order: id, key, label, type, options, position."""
        query = (
            select(*COLUMNS)
            .where(CustomField.account_id == self.account_id)
            .order_by(CustomField.position, CustomField.id)
        )
        return (await self.session.execute(query)).all()

    async def catalog(self) -> dict[str, FieldSpec]:
        """Every field that filters and contacts of this account know, by key: built-in ones first, with the
        members, segments and workflows that conditions may name."""
        return field_catalog(
            (custom_field(row.id, row.key, row.label, row.type, row.options) for row in await self.rows()),
            await load_names(self.session),
        )

    async def row(self, field_id: UUID) -> Any | None:
        """id, key, label, type, options, position of one field; None when there is none."""
        query = select(*COLUMNS).where(CustomField.account_id == self.account_id, CustomField.id == field_id)
        return (await self.session.execute(query)).one_or_none()

    async def by_key(self, key: str) -> UUID | None:
        """The id of the field with that short name."""
        query = select(CustomField.id).where(
            CustomField.account_id == self.account_id, CustomField.key == key
        )
        field_id: UUID | None = await self.session.scalar(query)
        return field_id

    async def insert(self, columns: Mapping[str, Any], now: datetime) -> UUID:
        """Inserts a field behind the others; returns its id."""
        field_id = uuid7()
        last = (
            select(func.coalesce(func.max(CustomField.position), 0) + 1)
            .where(CustomField.account_id == self.account_id)
            .scalar_subquery()
        )
        await self.session.execute(
            insert(CustomField).values(
                id=field_id,
                account_id=self.account_id,
                position=last,
                created_at=now,
                updated_at=now,
                **columns,
            )
        )
        return field_id

    async def change(self, field_id: UUID, columns: dict[str, Any], now: datetime) -> None:
        """Updates these columns (label, options)."""
        await self.session.execute(
            update(CustomField)
            .where(CustomField.account_id == self.account_id, CustomField.id == field_id)
            .values(**columns, updated_at=now)
        )

    async def options_in_use(self, field_id: UUID, options: Sequence[str]) -> list[str]:
        """The options, out of these, that live contacts have."""
        value = Contact.fields[str(field_id)].astext
        query = (
            select(value)
            .where(
                Contact.account_id == self.account_id, Contact.deleted_at.is_(None), value.in_(list(options))
            )
            .distinct()
        )
        return sorted((await self.session.scalars(query)).all())

    async def count_values(self, field_id: UUID) -> int:
        """How many live contacts have a value in the field."""
        query = (
            select(func.count())
            .select_from(Contact)
            .where(
                Contact.account_id == self.account_id,
                Contact.deleted_at.is_(None),
                Contact.fields.op("?")(str(field_id)),
            )
        )
        return int(await self.session.scalar(query) or 0)

    async def remove(self, field_id: UUID) -> None:
        """Deletes a field and the contacts' values in it."""
        await self.session.execute(
            update(Contact)
            .where(Contact.account_id == self.account_id, Contact.fields.op("?")(str(field_id)))
            .values(fields=Contact.fields.op("-")(literal(str(field_id))))
            .execution_options(synchronize_session=False)
        )
        await self.session.execute(
            delete(CustomField).where(CustomField.account_id == self.account_id, CustomField.id == field_id)
        )
