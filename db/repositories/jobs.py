"""Reads of jobs, each named by what it answers."""

from db.models import Job
from db.tenancy import TenantRepository


class Jobs(TenantRepository[Job]):
    model_type = Job
