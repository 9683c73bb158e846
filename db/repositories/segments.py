"""Segments. Their members are in db/queries/segment_members.py, changes of their filters use segments.py."""

from advanced_alchemy.filters import LimitOffset

from db.models import Segment
from db.tenancy import TenantRepository

MOST_SEGMENTS = 2000


class SegmentRepository(TenantRepository[Segment]):
    model_type = Segment

    async def sorted_by_name(self) -> list[Segment]:
        return await self.get_many(LimitOffset(MOST_SEGMENTS, 0), order_by=("slug", False))
