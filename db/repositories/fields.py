"""Custom fields. What contacts have in them is read by db/queries/field_values.py."""

from app.filters.fields import Fields
from db.models import CustomField
from db.queries.fields import read_field_catalog
from db.tenancy import TenantRepository


class FieldRepository(TenantRepository[CustomField]):
    model_type = CustomField

    async def in_order(self) -> list[CustomField]:
        """The account's own fields in their order."""
        return await self.get_many(order_by=[("position", False), ("id", False)])

    async def catalog(self) -> Fields:
        """Every field that filters and contacts of this account know, by key: built-in ones first, with the
        members, segments and workflows that conditions may name."""
        return await read_field_catalog(self.session)
