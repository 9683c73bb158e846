"""Reads of workflows, each named by what it answers."""

from db.models import Workflow
from db.tenancy import TenantRepository


class Workflows(TenantRepository[Workflow]):
    model_type = Workflow
