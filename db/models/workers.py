"""Worker processes, the batches they work on, and the one row about this installation."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from db.ids import uuid7
from db.models.base import Base, TenantRow, of_account


class Worker(Base):
    """A worker process and its last heartbeat. Belongs to no account and holds no account's data."""

    __tablename__ = "workers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    host: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    steps: Mapped[int] = mapped_column(BigInteger, server_default="0")
    memory: Mapped[int] = mapped_column(BigInteger, server_default="0")


class TurnCount(Base):
    """How many turns of one task the workers did, by how they came: a counter of the whole installation."""

    __tablename__ = "turn_counts"

    task: Mapped[str] = mapped_column(primary_key=True)
    via: Mapped[str] = mapped_column(primary_key=True)
    turns: Mapped[int] = mapped_column(BigInteger, server_default="0")


class InflightBatch(TenantRow, Base):
    """Enrollments that a worker is advancing, or events that it is matching. The row is deleted afterwards; a
    worker that crashes leaves it behind. Then its items run one by one; `crashes` counts the attempts. A row
    without a worker waits for its turn."""

    __tablename__ = "inflight_batches"
    __table_args__ = (
        of_account(),
        CheckConstraint("kind in ('advance', 'match')", name="kind"),
        {"prefixes": ["UNLOGGED"]},
    )

    kind: Mapped[str] = mapped_column(server_default="advance")
    worker_id: Mapped[UUID | None]
    ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()))
    crashes: Mapped[int] = mapped_column(server_default="0")
    started_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class EngineState(Base):
    """The one row about this installation. `heartbeat_at` only grows and is written outside too (Redis, a
    file): a database that is behind was restored, and no effect is sent until a member releases the hold
    (`held_at` null). `link_key` signs the links in emails: it never changes, or links that were sent
    would stop working."""

    __tablename__ = "engine_state"
    __table_args__ = (CheckConstraint("singleton", name="singleton"),)

    singleton: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    id: Mapped[UUID] = mapped_column(default=uuid7)
    heartbeat_at: Mapped[datetime]
    held_at: Mapped[datetime | None]
    held_by: Mapped[str | None]
    held_reason: Mapped[str | None]
    gap_from: Mapped[datetime | None]
    gap_to: Mapped[datetime | None]
    link_key: Mapped[bytes]
