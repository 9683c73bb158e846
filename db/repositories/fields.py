"""Reads of fields, each named by what it answers."""

from db.models import CustomField
from db.tenancy import TenantRepository


class Fields(TenantRepository[CustomField]):
    model_type = CustomField
