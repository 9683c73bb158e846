"""Reads of enrollments, each named by what it answers."""

from db.models import Enrollment
from db.tenancy import TenantRepository


class Enrollments(TenantRepository[Enrollment]):
    model_type = Enrollment
