"""Approvals: questions that enrollments wait for. With names they are read by db/queries/approvals.py."""

from db.models import Approval
from db.tenancy import TenantRepository


class ApprovalRepository(TenantRepository[Approval]):
    model_type = Approval
