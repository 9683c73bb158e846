"""The JSON of the account's settings and their form."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from app.patch import Patch
from app.web.actions import Action

Name = Annotated[str, Meta(min_length=1, max_length=80)]
Region = Annotated[
    str, Meta(pattern="^[A-Z]{2}$", extra={"error": "Enter a two-letter country code, such as US."})
]
Zone = Annotated[str, Meta(min_length=1, max_length=64)]


class AccountForm(msgspec.Struct, forbid_unknown_fields=True):
    """A missing field does not change."""

    name: Patch[Name] = UNSET
    default_region: Patch[Region] = UNSET
    time_zone: Patch[Zone] = UNSET


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
