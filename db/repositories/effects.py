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
        return await self.get_many(Effect.enrollment_id == enrollment_id, order_by=Effect.seq.asc())

    async def enrollment_of(self, effect_id: UUID) -> UUID | None:
        """The enrollment that an effect belongs to."""
        enrollment_id: UUID | None = await self.session.scalar(
            select(Effect.enrollment_id).where(Effect.account_id == self.account_id, Effect.id == effect_id)
        )
        return enrollment_id

    async def locked(self, effect_id: UUID) -> Effect | None:
        """The row, locked until the transaction ends."""
        query = (
            select(Effect)
            .where(Effect.account_id == self.account_id, Effect.id == effect_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        effect: Effect | None = await self.session.scalar(query)
        return effect

    async def lock_effect_in_retry(self, enrollment_id: UUID, seq: int) -> Effect | None:
        """The effect of a visit that will be retried, locked; None when there is none."""
        query = (
            select(Effect)
            .where(
                Effect.account_id == self.account_id,
                Effect.enrollment_id == enrollment_id,
                Effect.seq == seq,
                Effect.status == "retry",
            )
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        effect: Effect | None = await self.session.scalar(query)
        return effect

    async def was_sent(self, enrollment_id: UUID, seq: int) -> bool:
        """Whether the effect of a visit is known to be sent."""
        query = select(Effect.id).where(
            Effect.account_id == self.account_id,
            Effect.enrollment_id == enrollment_id,
            Effect.seq == seq,
            Effect.status == "sent",
        )
        return await self.session.scalar(query) is not None

    async def under_way(self, enrollment_ids: Sequence[UUID]) -> list[Effect]:
        """Effects of these enrollments that may be in flight, those in doubt first. Those that are not
        claimed yet stay unclaimed until the transaction ends."""
        query = (
            select(Effect)
            .where(
                Effect.account_id == self.account_id,
                Effect.enrollment_id.in_(enrollment_ids),
                Effect.status.in_(("pending", "retry", "claimed", "unknown")),
            )
            .order_by(Effect.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        in_flight = [
            effect for effect in await self.session.scalars(query) if effect.status in ("claimed", "unknown")
        ]
        return sorted(in_flight, key=lambda effect: effect.status != "unknown")
