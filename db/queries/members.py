"""The members of the session's account with their names, and the password of a user."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Membership, Session, User
from db.queries.statements import execute, fetch_all, fetch_one, fetch_scalar, fetch_scalars

_MOST = 1000


class MemberRow(msgspec.Struct, frozen=True):
    """A member; `invited` is true until they choose a password."""

    user_id: UUID
    name: str
    email: str
    role: str
    joined_at: datetime
    last_seen_at: datetime | None
    invited: bool


class MemberIdentity(msgspec.Struct, frozen=True):
    """Who a member is."""

    name: str
    email: str
    has_password: bool


_LAST_SEEN = (
    select(func.max(Session.last_seen_at))
    .where(Session.user_id == Membership.user_id, Session.account_id == Membership.account_id)
    .scalar_subquery()
)
_MEMBERS = (
    select(
        Membership.user_id,
        User.name,
        User.email,
        Membership.role,
        Membership.created_at.label("joined_at"),
        _LAST_SEEN.label("last_seen_at"),
        User.password_hash.is_(None).label("invited"),
    )
    .join(User, User.id == Membership.user_id)
    .order_by(User.name, Membership.user_id)
    .limit(_MOST)
)
_IDENTITIES = select(User.name, User.email, User.password_hash.is_not(None).label("has_password")).join(
    Membership, Membership.user_id == User.id
)


async def list_members(session: AsyncSession) -> list[MemberRow]:
    """All members, sorted by name."""
    mine = Membership.account_id == session.info["account_id"]
    return await fetch_all(session, MemberRow, _MEMBERS.where(mine))


async def lock_owners(session: AsyncSession) -> int:
    """The number of owners; they are locked, so that two requests cannot remove the last two."""
    owners = (
        select(Membership.user_id)
        .where(Membership.account_id == session.info["account_id"], Membership.role == "owner")
        .order_by(Membership.user_id)
        .with_for_update()
    )
    return len(await fetch_scalars(session, UUID, owners))


async def find_member(session: AsyncSession, user_id: UUID) -> MemberIdentity | None:
    """One member."""
    mine = Membership.account_id == session.info["account_id"]
    return await fetch_one(session, MemberIdentity, _IDENTITIES.where(mine, User.id == user_id))


async def find_member_by_email(session: AsyncSession, email: str) -> MemberIdentity | None:
    """The member with this normalized email address."""
    mine = Membership.account_id == session.info["account_id"]
    return await fetch_one(session, MemberIdentity, _IDENTITIES.where(mine, User.email == email))


async def find_password_hash(session: AsyncSession, user_id: UUID) -> str | None:
    """The password hash of a user."""
    return await fetch_scalar(session, str, select(User.password_hash).where(User.id == user_id))


async def set_password_hash(session: AsyncSession, user_id: UUID, password_hash: str, now: datetime) -> None:
    """Replaces a user's password."""
    changed = update(User).where(User.id == user_id).values(password_hash=password_hash, updated_at=now)
    await execute(session, changed)


async def insert_user(
    session: AsyncSession, user_id: UUID, email: str, name: str, password_hash: str
) -> None:
    """A new user. Nothing is returned, as the model would: row-level security hides a user who is not a
    member yet."""
    user = {"id": user_id, "email": email, "name": name, "password_hash": password_hash}
    await execute(session, insert(User).values(user))
