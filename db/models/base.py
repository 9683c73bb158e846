"""The declarative base and the columns that tenant rows share."""

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, TypeAlias
from uuid import UUID

from advanced_alchemy.base import BasicAttributes
from sqlalchemy import DateTime, ForeignKeyConstraint, MetaData, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.json_types import JsonObject
from db.ids import uuid7

# Long names on purpose: two unique keys that both start with account_id must not get one name.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


if TYPE_CHECKING:
    StoredJson: TypeAlias = JsonObject
else:  # SQLAlchemy reads the annotations of columns, and cannot read a recursive type
    StoredJson = dict[str, object]


class Base(BasicAttributes, DeclarativeBase):
    """Own base: Advanced Alchemy's adds a sentinel column and falls back to random ids."""

    metadata = MetaData(naming_convention=NAMING)
    # A row that another transaction deleted at the same time is deleted as well.
    __mapper_args__ = {"confirm_deleted_rows": False}  # noqa: RUF012 -- an instance variable to its parent
    type_annotation_map: ClassVar = {
        str: Text(),
        UUID: Uuid(),
        datetime: DateTime(timezone=True),
        StoredJson: JSONB(none_as_null=True),
        dict[str, str]: JSONB(none_as_null=True),
        list[dict[str, str]]: JSONB(none_as_null=True),
        list[str]: JSONB(none_as_null=True),
    }


class Timed:
    """Rows that say when they came and when they last changed, by the database's clock."""

    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"), sort_order=9)
    updated_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"), sort_order=9)


class Tenant:
    """A row of one account. Row-level security and `TenantRepository` both rely on this column."""

    account_id: Mapped[UUID] = mapped_column(
        primary_key=True, server_default=text("current_account()"), sort_order=-2
    )


class TenantRow(Tenant):
    """A tenant row with an id of its own; the key leads with the account, so references must too."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)


def of_account() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["account_id"], ["accounts.id"], ondelete="CASCADE")


def within_account(column: str, target: str, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    """A composite key: foreign-key checks bypass row security, so only the account column stops a
    reference into another tenant."""
    return ForeignKeyConstraint(
        ["account_id", column], [f"{target}.account_id", f"{target}.id"], ondelete=ondelete
    )


def member_of_account(column: str) -> ForeignKeyConstraint:
    """A person of the same account; when they leave it, the column becomes null and the row stays."""
    return ForeignKeyConstraint(
        ["account_id", column],
        ["memberships.account_id", "memberships.user_id"],
        ondelete=f"SET NULL ({column})",
    )
