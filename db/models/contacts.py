"""Contacts, their tags and the custom fields of an account."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Double, Index, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, MappedColumn, mapped_column

from app.filters.fields import FieldValue
from db.models.base import (
    Base,
    StoredJson,
    Tenant,
    TenantRow,
    Timed,
    member_of_account,
    of_account,
    within_account,
)

LIVE = "deleted_at is null"
# The columns by which lists of a million contacts sort, besides `created_at`.
SORTED = (
    "name_key", "email_key", "phone_key", "company_key", "city_key", "state_key", "updated_at",
    "email_consent", "sms_consent",
)  # fmt: skip


def _key() -> MappedColumn[str | None]:
    """A text without accents and case: lists sort by it. Only the trigger `fill_contact_keys` writes it."""
    return mapped_column(Text(collation="C"), deferred=True)


def _value() -> MappedColumn[float | None]:
    """The value of the custom field that has this slot; only the trigger `fill_contact_values` writes it."""
    return mapped_column(Double(), deferred=True)


class Contact(TenantRow, Timed, Base):
    """A person. Text is never stored empty: unknown is null. Custom values live in `fields`, keyed by the
    field's id, in the form that `app/filters/field_values.py` says for each type. `deletion_job_id` is the
    bulk deletion that deleted it, as long as it stays deleted. Lists sort by the keys and search in `search`;
    a trigger fills them (`db/migrations/contact_keys.py`). `email` and `phone` are the primary ones;
    `other_emails` and `other_phones` are lists of {"value", "label"}, and `phone2` is the first other phone
    (migration 0025)."""

    __tablename__ = "contacts"
    __table_args__ = (
        of_account(),
        CheckConstraint("email = lower(email)", name="email_lower"),
        Index(
            "uq_contacts_account_id_email",
            "account_id",
            "email",
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
        Index(
            "uq_contacts_account_id_external_id",
            "account_id",
            "external_id",
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
        Index(
            "ix_contacts_live_created",
            "account_id",
            "created_at",
            "id",
            postgresql_where=text("deleted_at is null"),
        ),
        *(
            Index(f"ix_contacts_live_{name}", "account_id", name, "id", postgresql_where=text(LIVE))
            for name in SORTED
        ),
        *(
            Index(
                f"ix_contacts_live_value_{slot}",
                "account_id",
                f"value_{slot}",
                "id",
                postgresql_where=text(f"value_{slot} is not null and {LIVE}"),
            )
            for slot in range(1, 11)
        ),
        Index(
            "ix_contacts_live_search",
            "search",
            postgresql_using="gin",
            postgresql_ops={"search": "gin_trgm_ops"},
            postgresql_where=text(LIVE),
        ),
        member_of_account("owner_id"),
        CheckConstraint("email_consent in ('unknown', 'granted', 'denied')", name="email_consent"),
        CheckConstraint("sms_consent in ('unknown', 'granted', 'denied')", name="sms_consent"),
        Index(None, "account_id", "owner_id", "id"),
        Index(
            "ix_contacts_deleted", "account_id", "deleted_at", postgresql_where=text("deleted_at is not null")
        ),
        Index(
            "ix_contacts_deletion_job",
            "account_id",
            "deletion_job_id",
            "id",
            postgresql_where=text("deletion_job_id is not null"),
        ),
    )

    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    phone2: Mapped[str | None]
    company: Mapped[str | None]
    address: Mapped[str | None]
    city: Mapped[str | None]
    county: Mapped[str | None]
    state: Mapped[str | None]
    postal_code: Mapped[str | None]
    country: Mapped[str | None]
    website: Mapped[str | None]
    time_zone: Mapped[str | None]
    external_id: Mapped[str | None]
    owner_id: Mapped[UUID | None]
    email_consent: Mapped[str] = mapped_column(server_default="unknown")
    sms_consent: Mapped[str] = mapped_column(server_default="unknown")
    fields: Mapped[StoredJson] = mapped_column(server_default=text("'{}'::jsonb"))
    email_label: Mapped[str | None]
    other_emails: Mapped[list[dict[str, str]]] = mapped_column(server_default=text("'[]'::jsonb"))
    phone_label: Mapped[str | None]
    other_phones: Mapped[list[dict[str, str]]] = mapped_column(server_default=text("'[]'::jsonb"))
    rev: Mapped[int] = mapped_column(server_default="1")
    deleted_at: Mapped[datetime | None]
    deletion_job_id: Mapped[UUID | None]
    name_key: Mapped[str | None] = _key()
    email_key: Mapped[str | None] = _key()
    phone_key: Mapped[str | None] = _key()
    company_key: Mapped[str | None] = _key()
    city_key: Mapped[str | None] = _key()
    state_key: Mapped[str | None] = _key()
    value_1: Mapped[float | None] = _value()
    value_2: Mapped[float | None] = _value()
    value_3: Mapped[float | None] = _value()
    value_4: Mapped[float | None] = _value()
    value_5: Mapped[float | None] = _value()
    value_6: Mapped[float | None] = _value()
    value_7: Mapped[float | None] = _value()
    value_8: Mapped[float | None] = _value()
    value_9: Mapped[float | None] = _value()
    value_10: Mapped[float | None] = _value()
    search: Mapped[str] = mapped_column(server_default="", deferred=True)


class ContactEmail(Tenant, Base):
    """An email of a live contact, primary or not: no two contacts have the same. Triggers keep it (migration
    0025)."""

    __tablename__ = "contact_emails"
    __table_args__ = (of_account(),)

    email: Mapped[str] = mapped_column(primary_key=True)
    contact_id: Mapped[UUID]


class Tag(TenantRow, Timed, Base):
    """`slug` is the name folded to one case: VIP and vip are one tag."""

    __tablename__ = "tags"
    __table_args__ = (of_account(), UniqueConstraint("account_id", "slug"))

    name: Mapped[str]
    slug: Mapped[str]


class ContactTag(Tenant, Base):
    __tablename__ = "contact_tags"
    __table_args__ = (
        within_account("contact_id", "contacts"),
        within_account("tag_id", "tags"),
        Index(None, "account_id", "tag_id", "contact_id"),
    )

    contact_id: Mapped[UUID] = mapped_column(primary_key=True)
    tag_id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class CustomField(TenantRow, Timed, Base):
    """What an account calls a field of its contacts, and what it holds. Filters, steps and values refer to
    its id; merge tags to its `key`, or to one of the `former_keys` that it had. `slot` is the number of the
    column of contacts with the values of an indexed field; lists use it when it is filled (`indexed`)."""

    __tablename__ = "custom_fields"
    __table_args__ = (
        of_account(),
        UniqueConstraint("account_id", "key"),
        UniqueConstraint("account_id", "slot"),
        CheckConstraint("slot between 1 and 10", name="slot"),
        CheckConstraint(
            "type in ('text', 'long_text', 'phone', 'email', 'url', 'number', 'money', 'boolean', 'date',"
            " 'datetime', 'select', 'multi_select', 'member')",
            name="type",
        ),
    )

    key: Mapped[str]
    label: Mapped[str]
    type: Mapped[str]
    options: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    position: Mapped[int] = mapped_column(server_default="0")
    currency: Mapped[str] = mapped_column(server_default="")
    group_name: Mapped[str] = mapped_column(server_default="")
    required: Mapped[bool] = mapped_column(server_default=text("false"))
    default_value: Mapped[FieldValue] = mapped_column(JSONB(none_as_null=True), nullable=True)
    retired_at: Mapped[datetime | None]
    former_keys: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    slot: Mapped[int | None] = mapped_column(SmallInteger())
    indexed: Mapped[bool] = mapped_column(server_default=text("false"))
