"""Reads of events, each named by what it answers."""

from db.models import Event
from db.tenancy import TenantRepository


class Events(TenantRepository[Event]):
    model_type = Event
