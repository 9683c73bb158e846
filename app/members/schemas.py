"""The JSON of members, roles, passwords and access tokens."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.filters.references import Use
from app.permissions import Role
from app.web.actions import Action

Password = Annotated[str, Meta(min_length=1, max_length=1024)]


class MemberForm(msgspec.Struct, forbid_unknown_fields=True):
    email: Annotated[str, Meta(min_length=1, max_length=254)]
    role: Role
    name: Annotated[str, Meta(max_length=80)] = ""


class RoleForm(msgspec.Struct, forbid_unknown_fields=True):
    role: Role


class PasswordForm(msgspec.Struct, forbid_unknown_fields=True):
    current_password: Password
    new_password: Password


class ResetRequestForm(msgspec.Struct, forbid_unknown_fields=True):
    email: Annotated[str, Meta(min_length=1, max_length=254)]


class ResetForm(msgspec.Struct, forbid_unknown_fields=True):
    new_password: Password


class AcceptForm(msgspec.Struct, forbid_unknown_fields=True):
    """`password` is the invited user's password; a new user chooses it, together with `name`."""

    name: Annotated[str, Meta(max_length=80)] = ""
    password: Annotated[str, Meta(max_length=1024)] = ""


class TokenForm(msgspec.Struct, forbid_unknown_fields=True):
    """`days` is the time until it expires; `scopes` are permissions, at most those of the caller's role."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    scopes: Annotated[list[str], Meta(min_length=1, max_length=20)]
    days: Literal[7, 30, 90, 365] = 90


class MemberView(msgspec.Struct):
    """`invited` is true until the member chooses a password; `last_seen_at` is the last request in any of
    their sessions in this account."""

    user_id: UUID
    name: str
    email: str
    role: Role
    joined_at: datetime
    last_seen_at: datetime | None
    invited: bool
    you: bool = False


class InvitationView(msgspec.Struct):
    """A pending invitation; `name` is the name that the inviter entered."""

    id: UUID
    email: str
    name: str
    role: Role
    invited_by: str
    created_at: datetime
    expires_at: datetime
    expired: bool


class MemberList(msgspec.Struct):
    """Members by name; `next` and `previous` are addresses, "" for none. `invitations` is empty for callers
    who may not manage members."""

    items: list[MemberView]
    next: str
    previous: str
    invitations: list[InvitationView]
    roles: list[Role]
    choices: list[tuple[str, str, str]]
    actions: list[Action]


class MemberPage(msgspec.Struct):
    """One member; `used_by` are the workflows and segments that refer to them."""

    member: MemberView
    used_by: list[Use]
    roles: list[Role]
    actions: list[Action]


class InvitationPage(msgspec.Struct):
    """An invitation as the invited user sees it. `needs` is "password" for a user who is not signed in,
    "new_password" for a new user, "" for the invited user when they are signed in. `other` is the email of
    another user who is signed in, else ""."""

    account_name: str
    email: str
    name: str
    role: str
    invited_by: str
    expires_at: datetime
    needs: str
    other: str
    actions: list[Action]


class RoleRow(msgspec.Struct):
    permission: str
    label: str
    granted: list[Role]


class RolePage(msgspec.Struct):
    roles: list[Role]
    rows: list[RoleRow]
    next: str
    previous: str
    actions: list[Action]


class TokenView(msgspec.Struct):
    """`token_prefix` is the beginning of the token; `state` is live, expired or revoked."""

    id: UUID
    name: str
    token_prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    state: str


class ScopeChoice(msgspec.Struct):
    value: str
    label: str


class TokenList(msgspec.Struct):
    """Tokens, newest first; `next` and `previous` are addresses, "" for none."""

    items: list[TokenView]
    next: str
    previous: str
    scopes: list[ScopeChoice]
    days: list[tuple[str, str]]
    actions: list[Action]


class NewToken(msgspec.Struct):
    """A new token, which only this response shows."""

    id: UUID
    name: str
    token: str
    scopes: list[str]
    expires_at: datetime
    base_url: str
    actions: list[Action]


class PasswordPage(msgspec.Struct):
    actions: list[Action]


class ResetRequestPage(msgspec.Struct):
    sent: bool
    actions: list[Action]


class ResetPage(msgspec.Struct):
    email: str
    actions: list[Action]
