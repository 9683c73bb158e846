"""Reads of effects, each named by what it answers."""

from db.models import Effect
from db.tenancy import TenantRepository


class Effects(TenantRepository[Effect]):
    model_type = Effect
