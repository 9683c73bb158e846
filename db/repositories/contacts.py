"""Reads of contacts, each named by what it answers."""

from db.models import Contact
from db.tenancy import TenantRepository


class Contacts(TenantRepository[Contact]):
    model_type = Contact
