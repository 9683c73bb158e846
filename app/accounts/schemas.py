"""The settings of an account."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from app.web.actions import Action


class AccountForm(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=80)]
    default_region: Annotated[
        str, Meta(pattern="^[A-Z]{2}$", extra={"error": "Choose a country by its two letters, such as US."})
    ]
    time_zone: Annotated[str, Meta(min_length=1, max_length=64)]


class AccountView(msgspec.Struct):
    """`default_region` completes phone numbers without a country code; `time_zone` is an IANA name."""

    id: UUID
    name: str
    default_region: str
    time_zone: str
    created_at: datetime


class AccountPage(msgspec.Struct):
    account: AccountView
    regions: list[str]
    zones: list[str]
    actions: list[Action]
