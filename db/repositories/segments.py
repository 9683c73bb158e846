"""Segments. db/queries/segments.py reads their filters, segment_members.py their members."""

from advanced_alchemy.filters import LimitOffset

from db.models import Segment
from db.tenancy import TenantRepository

MOST_SEGMENTS = 2000


class SegmentRepository(TenantRepository[Segment]):
    model_type = Segment

    async def sorted_by_name(self) -> list[Segment]:
        return await self.get_many(LimitOffset(MOST_SEGMENTS, 0), order_by=("slug", False))
