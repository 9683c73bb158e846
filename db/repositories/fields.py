"""Reads of custom fields, each named by what it answers."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from app.filters.fields import FieldSpec, catalogue, custom_field
from db.models import CustomField
from db.tenancy import TenantRepository

COLUMNS = (
    CustomField.id,
    CustomField.key,
    CustomField.label,
    CustomField.type,
    CustomField.options,
    CustomField.position,
)


class Fields(TenantRepository[CustomField]):
    model_type = CustomField

    async def rows(self) -> Sequence[Any]:
        """The account's own fields in their order: id, key, label, type, options, position."""
        query = (
            select(*COLUMNS)
            .where(CustomField.account_id == self.account_id)
            .order_by(CustomField.position, CustomField.id)
        )
        return (await self.session.execute(query)).all()

    async def catalogue(self) -> dict[str, FieldSpec]:
        """Every field that filters and contacts of this account know, by key: built-in ones first."""
        return catalogue(
            custom_field(row.id, row.key, row.label, row.type, row.options) for row in await self.rows()
        )
