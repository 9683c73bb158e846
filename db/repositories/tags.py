"""Reads of tags, each named by what it answers."""

from db.models import Tag
from db.tenancy import TenantRepository


class Tags(TenantRepository[Tag]):
    model_type = Tag
