"""Effects as the enrollment commands read and lock them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from db.models import Effect
from db.tenancy import TenantRepository


class EffectRepository(TenantRepository[Effect]):
    model_type = Effect

    async def of_enrollment(self, enrollment_id: UUID) -> list[Effect]:
        """The effects of an enrollment, in order."""
        return await self.get_many(enrollment_id=enrollment_id, order_by=("seq", False))

    async def lock_under_way(self, enrollment_ids: Sequence[UUID]) -> list[Effect]:
        """Effects of these enrollments that may be in flight, those in doubt first. Those that are not
        claimed yet stay unclaimed until the transaction ends."""
        open_effects = await self.get_many(
            Effect.enrollment_id.in_(enrollment_ids),
            Effect.status.in_(("pending", "retry", "claimed", "unknown")),
            statement=select(Effect).with_for_update(),  # type: ignore[arg-type]  # annotated for SQLAlchemy 2.0
            order_by=("id", False),
        )
        in_flight = [effect for effect in open_effects if effect.status in ("claimed", "unknown")]
        return sorted(in_flight, key=lambda effect: effect.status != "unknown")
