"""Looks users up before an account is known, through the definer functions of db/migrations/auth_lookup.py.

No account is set while these run, so row-level security shows them nothing else. `sign_in` begins the
transaction of a request with such a function."""

from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import Executable, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from db.ids import uuid7
from db.tenancy import Credential, bind_by

T = TypeVar("T")
_USER_BY_EMAIL = text("select * from user_by_email(:email)").columns(memberships=JSONB)
_PRINCIPAL_BY_SESSION = text("select * from principal_by_session(:session, :account)").columns(
    memberships=JSONB
)
_PRINCIPAL_BY_SECRET = text("select * from principal_by_secret(:session, :digest)").columns(memberships=JSONB)
_PRINCIPAL_BY_TOKEN = text("select * from principal_by_access_token(:digest)").columns(
    memberships=JSONB, scopes=JSONB
)
# By position: moment, versions, then the fields of PrincipalRecord.
_BIND_SESSION = bind_by("bind_session", 3)
_BIND_BY_DIGEST = bind_by("bind_access_token", 2)
_USER_BY_RESET = text("select * from user_by_password_reset(:digest)")
_INVITATION_BY_TOKEN = text("select * from invitation_by_token(:digest)")
_ACCEPT_INVITATION = text("select accept_invitation(:digest, :person, :made, :name, :hash)")
_CREATE_RESET = text("select create_password_reset(:made, :person, :digest, :until)")
_USE_RESET = text("select use_password_reset(:digest, :hash)")


class AccountMembership(msgspec.Struct, frozen=True):
    """One account that a user belongs to."""

    account_id: UUID
    account_name: str
    role: str


class PrincipalRecord(msgspec.Struct, frozen=True):
    """A live session or access token, its user, and the user's present role in the account."""

    user_id: UUID
    email: str
    name: str
    account_id: UUID
    account_name: str
    time_zone: str
    role: str
    session_id: UUID | None
    token_id: UUID | None
    scopes: list[str] | None
    memberships: tuple[AccountMembership, ...]


def session_credential(session_id: UUID, account_id: UUID, *, memberships: bool) -> Credential:
    """A live session in one of its user's accounts. `memberships` lists the user's accounts, for pages."""
    return Credential(_BIND_SESSION, (session_id, account_id, memberships))


def token_credential(digest: bytes, *, memberships: bool) -> Credential:
    """A live access token, by its SHA-256 digest."""
    return Credential(_BIND_BY_DIGEST, (digest, memberships))


async def sign_in(session: AsyncSession, credential: Credential) -> PrincipalRecord | None:
    """Begins the first transaction of a new session in the account of a credential; returns who is calling.
    None when the session or token isn't live: the transaction then has no account, and sees no rows."""
    session.info["credential"] = credential
    await session.connection()
    caller = session.info.pop("caller", None)
    if caller is None:
        return None
    values = dict(zip(PrincipalRecord.__struct_fields__, caller, strict=True))
    values["memberships"] = msgspec.convert(values["memberships"] or (), tuple[AccountMembership, ...])
    return PrincipalRecord(**values)


class SignInUser(msgspec.Struct, frozen=True):
    """The user with an email address; their accounts with the last used one first."""

    user_id: UUID
    email: str
    name: str
    password_hash: str | None
    memberships: tuple[AccountMembership, ...]


class ResetTarget(msgspec.Struct, frozen=True):
    """The user whose password a live link may set."""

    user_id: UUID
    email: str
    name: str


class OpenInvitation(msgspec.Struct, frozen=True):
    """A live invitation; `user_id` and `has_password` are of the user who has its email address already."""

    email: str
    name: str
    role: str
    account_name: str
    invited_by: str
    expires_at: datetime
    user_id: UUID | None
    has_password: bool


class InvitedUser(msgspec.Struct, frozen=True):
    """A member who may not have chosen a password yet."""

    user_id: UUID
    name: str
    has_password: bool


class AuthLookup:
    """Looks users up. Digests are SHA-256; email addresses are normalized."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def user(self, email: str) -> SignInUser | None:
        """The user with this email address; None also when the user was disabled."""
        async with self.engine.connect() as connection:
            return await _fetch_one(connection, SignInUser, _USER_BY_EMAIL, email=email)

    async def by_session(self, session_id: UUID, account_id: UUID) -> PrincipalRecord | None:
        """A live session in one of its user's accounts."""
        async with self.engine.connect() as connection:
            return await _fetch_one(
                connection, PrincipalRecord, _PRINCIPAL_BY_SESSION, session=session_id, account=account_id
            )

    async def by_secret(self, session_id: UUID, digest: bytes) -> PrincipalRecord | None:
        """A live session by its secret; this updates when it was last seen."""
        async with self.engine.begin() as connection:
            return await _fetch_one(
                connection, PrincipalRecord, _PRINCIPAL_BY_SECRET, session=session_id, digest=digest
            )

    async def by_access_token(self, digest: bytes) -> PrincipalRecord | None:
        """A live access token; this updates when it was last used."""
        async with self.engine.begin() as connection:
            return await _fetch_one(connection, PrincipalRecord, _PRINCIPAL_BY_TOKEN, digest=digest)

    async def by_reset(self, digest: bytes) -> ResetTarget | None:
        """The user whose password a link may set; None when it was used or is too old."""
        async with self.engine.connect() as connection:
            return await _fetch_one(connection, ResetTarget, _USER_BY_RESET, digest=digest)

    async def add_reset(self, user_id: UUID, digest: bytes, until: datetime) -> None:
        """Makes a link live and ends the earlier ones of the user."""
        async with self.engine.begin() as connection:
            await connection.execute(
                _CREATE_RESET, {"made": uuid7(), "person": user_id, "digest": digest, "until": until}
            )

    async def use_reset(self, digest: bytes, password_hash: str) -> UUID | None:
        """Sets a password with a link and ends every session of the user; None when the link is no longer
        valid."""
        async with self.engine.begin() as connection:
            user_id: UUID | None = await connection.scalar(
                _USE_RESET, {"digest": digest, "hash": password_hash}
            )
            return user_id

    async def by_invitation(self, digest: bytes) -> OpenInvitation | None:
        """The invitation of a link, None when it was accepted or withdrawn, or has expired."""
        async with self.engine.connect() as connection:
            return await _fetch_one(connection, OpenInvitation, _INVITATION_BY_TOKEN, digest=digest)

    async def accept_invitation(
        self, digest: bytes, person: UUID | None, name: str, password_hash: str | None
    ) -> UUID | None:
        """Accepts the invitation of a link and returns the new member; None when the link is no longer valid.
        `person` is the signed-in user who was invited; without it, a user with this name and password is
        created."""
        values = {"digest": digest, "person": person, "made": uuid7(), "name": name, "hash": password_hash}
        async with self.engine.begin() as connection:
            member: UUID | None = await connection.scalar(_ACCEPT_INVITATION, values)
            return member


async def _fetch_one(
    connection: AsyncConnection, kind: type[T], statement: Executable, **values: UUID | str | bytes
) -> T | None:
    row = (await connection.execute(statement, values)).mappings().one_or_none()
    if row is None:
        return None
    columns = dict(row)
    if "memberships" in columns:
        columns["memberships"] = columns["memberships"] or ()
    return msgspec.convert(columns, kind)
