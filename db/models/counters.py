"""Counts that a read would otherwise scan for: `db/queries/counters.py` says how they work."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Tenant, of_account

FAMILIES = ("contacts", "tags", "segments", "enrollments", "visits")
# Of counts that belong to the account itself.
NO_SUBJECT = UUID(int=0)
_FAMILY = f"family in ({', '.join(repr(family) for family in FAMILIES)})"


class Counter(Tenant, Base):
    """A folded count. `subject_id` is the tag, segment or workflow; `state` the status of enrollments, the
    outcome of visits, live or deleted for contacts; `lane` the lane that visits took."""

    __tablename__ = "counters"
    __table_args__ = (of_account(), CheckConstraint(_FAMILY, name="family"))

    family: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, server_default="0", autoincrement=False)
    step_key: Mapped[str] = mapped_column(primary_key=True, server_default="")
    state: Mapped[str] = mapped_column(primary_key=True, server_default="")
    lane: Mapped[str] = mapped_column(primary_key=True, server_default="")
    n: Mapped[int] = mapped_column(BigInteger)


class CounterDelta(Tenant, Base):
    """What one transaction changed of one count. `n` is null when rows were changed by a process that does
    not say by how much: then the whole family is counted again."""

    __tablename__ = "counter_deltas"
    __table_args__ = (
        of_account(),
        CheckConstraint(_FAMILY, name="family"),
        Index("ix_counter_deltas_subject", "account_id", "family", "subject_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    family: Mapped[str]
    subject_id: Mapped[UUID]
    version: Mapped[int] = mapped_column(server_default="0")
    step_key: Mapped[str] = mapped_column(server_default="")
    state: Mapped[str] = mapped_column(server_default="")
    lane: Mapped[str] = mapped_column(server_default="")
    n: Mapped[int | None] = mapped_column(BigInteger)


class CounterState(Tenant, Base):
    """Whether the counts of a family are known: since `counted_at`, null when they have to be counted anew.
    Without a row they were never counted."""

    __tablename__ = "counter_states"
    __table_args__ = (of_account(), CheckConstraint(_FAMILY, name="family"))

    family: Mapped[str] = mapped_column(primary_key=True)
    counted_at: Mapped[datetime | None]
    changed_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
