"""Reads of imports, each named by what it answers."""

from db.models import Import
from db.tenancy import TenantRepository


class Imports(TenantRepository[Import]):
    model_type = Import
