"""What starts workflows besides events of a contact: segments, inbound webhooks, schedules."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, StoredJson, Tenant, TenantRow, Timed, of_account, within_account


class Segment(TenantRow, Timed, Base):
    """A saved filter. `due_at` is when its members are evaluated again in full; null while no live workflow
    watches it."""

    __tablename__ = "segments"
    __table_args__ = (
        of_account(),
        UniqueConstraint("account_id", "slug"),
        Index("ix_segments_due", "account_id", "due_at", postgresql_where=text("due_at is not null")),
    )

    name: Mapped[str]
    slug: Mapped[str]
    filter: Mapped[StoredJson]
    rev: Mapped[int] = mapped_column(server_default="1")
    due_at: Mapped[datetime | None]
    created_by: Mapped[str] = mapped_column(server_default="")


class SegmentMember(Tenant, Base):
    """A contact that was in a watched segment at its last evaluation."""

    __tablename__ = "segment_members"
    __table_args__ = (
        within_account("segment_id", "segments"),
        within_account("contact_id", "contacts"),
        Index(None, "account_id", "contact_id"),
    )

    segment_id: Mapped[UUID] = mapped_column(primary_key=True)
    contact_id: Mapped[UUID] = mapped_column(primary_key=True)
    entered_at: Mapped[datetime]


class WebhookEndpoint(TenantRow, Base):
    """The secret address of one inbound webhook trigger. The token is kept as a SHA-256 digest; the signing
    secret is kept encrypted, because checking a signature needs it."""

    __tablename__ = "inbound_webhooks"
    __table_args__ = (
        within_account("workflow_id", "workflows"),
        UniqueConstraint("token_hash"),
        Index("uq_inbound_webhooks_trigger", "account_id", "workflow_id", "trigger_key", unique=True),
    )

    workflow_id: Mapped[UUID]
    trigger_key: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    token_prefix: Mapped[str]
    signing_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    last_used_at: Mapped[datetime | None]


class InboundDelivery(Tenant, Base):
    """A delivery that was taken, by the sender's id for it: the same one again is answered and not done."""

    __tablename__ = "inbound_deliveries"
    __table_args__ = (
        within_account("webhook_id", "inbound_webhooks"),
        Index(None, "account_id", "received_at"),
    )

    webhook_id: Mapped[UUID] = mapped_column(primary_key=True)
    delivery_id: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[UUID | None]
    received_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class TriggerSchedule(Tenant, Base):
    """When a schedule or date trigger of the live version fires next. `last_at` is the last occurrence that
    was done, so that none is done twice or lost."""

    __tablename__ = "trigger_schedules"
    __table_args__ = (
        ForeignKeyConstraint(
            ["account_id", "workflow_id", "version"],
            ["workflow_versions.account_id", "workflow_versions.workflow_id", "workflow_versions.number"],
            ondelete="CASCADE",
        ),
        CheckConstraint("kind in ('schedule', 'date_reached')", name="kind"),
        Index("ix_trigger_schedules_next", "account_id", "next_at"),
    )

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    trigger_key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    kind: Mapped[str]
    next_at: Mapped[datetime]
    last_at: Mapped[datetime | None]
