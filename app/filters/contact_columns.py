"""The columns of a contact, for the queries that read them and the answers that show them."""

from datetime import datetime
from uuid import UUID

import msgspec

from app.filters.fields import TEXT_FIELDS
from app.filters.normalize import Value


class ContactTexts(msgspec.Struct, frozen=True):
    """The id of a contact and its text fields, in the order of `TEXT_FIELDS`."""

    id: UUID
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    phone2: str | None
    company: str | None
    address: str | None
    city: str | None
    county: str | None
    state: str | None
    postal_code: str | None
    country: str | None
    website: str | None
    time_zone: str | None
    external_id: str | None


# A further email or phone of a contact: {"value": …, "label": …}.
LabeledValue = dict[str, str]


class ContactColumns(ContactTexts, frozen=True):
    """A contact. `owner` is the member's id, `fields` are the custom values by the field's id. `email` and
    `phone` are the primary ones, which get messages; `other_emails` and `other_phones` are lists of {"value",
    "label"}, and `phone2` is the first of the other phones."""

    owner: UUID | None
    email_consent: str
    sms_consent: str
    fields: dict[str, Value]
    email_label: str | None
    other_emails: list[LabeledValue]
    phone_label: str | None
    other_phones: list[LabeledValue]
    rev: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


# The columns of `contacts` in the order of `ContactColumns`.
COLUMNS = ("id", *TEXT_FIELDS, "owner_id", *ContactColumns.__struct_fields__[len(TEXT_FIELDS) + 2 :])
