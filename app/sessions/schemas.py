"""The JSON of signing in and of the list of sessions."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from app.permissions import Role
from app.web.actions import Action


class SignInForm(msgspec.Struct, forbid_unknown_fields=True):
    """`account_id` chooses one of the user's accounts; by default, the one they used last."""

    email: Annotated[str, Meta(min_length=1, max_length=254)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]
    next: str = "/"
    account_id: UUID | None = None


class SwitchForm(msgspec.Struct, forbid_unknown_fields=True):
    account_id: UUID


class DemoPerson(msgspec.Struct):
    """A user of the demo, as its sign-in page lists them."""

    email: str
    password: str
    role: Role
    account: str


class SignInPage(msgspec.Struct):
    next: str
    demo: list[DemoPerson]
    actions: list[Action]


class SignedIn(msgspec.Struct):
    """A token for `Authorization: Bearer`; `expires_in` is in seconds."""

    token: str
    expires_in: int
    session_id: UUID
    account_id: UUID
    account_name: str
    role: Role
    token_type: str = "Bearer"  # noqa: S105 -- the name of a scheme, not a secret


class SessionView(msgspec.Struct):
    id: UUID
    account_name: str
    agent: str
    network: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    current: bool


class SessionList(msgspec.Struct):
    """Sessions, the last used first; `next` and `previous` are addresses, "" for none. `others` is how many
    there are beside the current one, on all pages."""

    items: list[SessionView]
    next: str
    previous: str
    others: int
    actions: list[Action]
