"""Members of one account, and the caller's own sessions, access tokens and password."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import uuid7
from db.models import AccessToken, Account, Membership, Session, User

IDLE = timedelta(hours=8)
SESSION_IS_LIVE = (
    Session.revoked_at.is_(None)
    & (Session.expires_at > func.clock_timestamp())
    & (Session.last_seen_at > func.clock_timestamp() - IDLE)
)
ACCOUNT: BindParameter[UUID] = bindparam("account")
PERSON: BindParameter[UUID] = bindparam("person")

LAST_SEEN = (
    select(func.max(Session.last_seen_at))
    .where(Session.user_id == Membership.user_id, Session.account_id == Membership.account_id)
    .scalar_subquery()
)
SELECT_MEMBERS = (
    select(
        Membership.user_id,
        User.name,
        User.email,
        Membership.role,
        Membership.created_at.label("joined_at"),
        LAST_SEEN.label("last_seen_at"),
        User.password_hash.is_(None).label("invited"),
    )
    .join(User, User.id == Membership.user_id)
    .where(Membership.account_id == ACCOUNT)
    .order_by(User.name, Membership.user_id)
    .limit(1000)
)
SELECT_SESSIONS = (
    select(
        Session.id,
        Account.name.label("account_name"),
        Session.user_agent,
        Session.network,
        Session.created_at,
        Session.last_seen_at,
        Session.expires_at,
    )
    .join(Account, Account.id == Session.account_id)
    .where(Session.user_id == PERSON, SESSION_IS_LIVE)
    .order_by(Session.last_seen_at.desc(), Session.id)
    .limit(200)
)
SELECT_TOKENS = (
    select(
        AccessToken.id,
        AccessToken.name,
        AccessToken.token_prefix,
        AccessToken.scopes,
        AccessToken.created_at,
        AccessToken.expires_at,
        AccessToken.last_used_at,
        AccessToken.revoked_at,
    )
    .where(AccessToken.user_id == PERSON, AccessToken.account_id == ACCOUNT)
    .order_by(AccessToken.id.desc())
    .limit(200)
)


class MemberRepository:
    """Members of the session's account; sessions and tokens of the session's user."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.account_id: UUID = session.info["account_id"]

    # members

    async def rows(self) -> Sequence[Any]:
        """All members of the account: user_id, name, email, role, joined_at, last_seen_at, invited."""
        return (await self.session.execute(SELECT_MEMBERS, {"account": self.account_id})).all()

    async def membership(self, user_id: UUID) -> Membership | None:
        """One membership, locked until the transaction ends; None for a user who is not a member."""
        membership: Membership | None = await self.session.scalar(
            select(Membership)
            .where(Membership.account_id == self.account_id, Membership.user_id == user_id)
            .with_for_update()
        )
        return membership

    async def owners(self) -> int:
        """The number of owners; they are locked, so that two requests cannot remove the last two."""
        rows = await self.session.scalars(
            select(Membership.user_id)
            .where(Membership.account_id == self.account_id, Membership.role == "owner")
            .order_by(Membership.user_id)
            .with_for_update()
        )
        return len(rows.all())

    async def name_of(self, user_id: UUID) -> tuple[str, str] | None:
        """Name and email address of a member."""
        row = (
            await self.session.execute(
                select(User.name, User.email)
                .join(Membership, Membership.user_id == User.id)
                .where(Membership.account_id == self.account_id, User.id == user_id)
            )
        ).one_or_none()
        return (row[0], row[1]) if row else None

    async def name_of_email(self, email: str) -> str | None:
        """The name of the member with this email address; None when the account has none."""
        name: str | None = await self.session.scalar(
            select(User.name)
            .join(Membership, Membership.user_id == User.id)
            .where(Membership.account_id == self.account_id, User.email == email)
        )
        return name

    async def has_password(self, user_id: UUID) -> bool:
        """Whether a member has chosen a password."""
        return bool(
            await self.session.scalar(select(User.password_hash.is_not(None)).where(User.id == user_id))
        )

    async def change_role(self, user_id: UUID, role: str, now: datetime) -> None:
        """Gives a member another role."""
        await self.session.execute(
            update(Membership)
            .where(Membership.account_id == self.account_id, Membership.user_id == user_id)
            .values(role=role, updated_at=now)
        )

    async def leave(self, user_id: UUID) -> None:
        """Ends a membership."""
        await self.session.execute(
            delete(Membership).where(Membership.account_id == self.account_id, Membership.user_id == user_id)
        )

    # the caller's own sessions, tokens and password

    async def sessions(self, user_id: UUID) -> Sequence[Any]:
        """Live sessions: id, account_name, user_agent, network, created_at, last_seen_at, expires_at."""
        return (await self.session.execute(SELECT_SESSIONS, {"person": user_id})).all()

    def add_session(self, **columns: Any) -> None:
        """Inserts a session; the columns of `db.models.Session`."""
        self.session.add(Session(**columns))

    async def end_session(self, user_id: UUID, session_id: UUID, now: datetime) -> bool:
        """Ends one live session of a user; False when the user has no such session."""
        ended = await self.session.scalar(
            update(Session)
            .where(Session.id == session_id, Session.user_id == user_id, Session.revoked_at.is_(None))
            .values(revoked_at=now)
            .returning(Session.id)
        )
        return ended is not None

    async def end_sessions(self, user_id: UUID, but: UUID | None, now: datetime) -> int:
        """Ends every session of a user except one; returns how many."""
        ended = await self.session.scalars(
            update(Session)
            .where(Session.user_id == user_id, Session.id.is_distinct_from(but), Session.revoked_at.is_(None))
            .values(revoked_at=now)
            .returning(Session.id)
        )
        return len(ended.all())

    async def move_session(self, user_id: UUID, session_id: UUID, account_id: UUID) -> None:
        """Makes another account the current one of a session."""
        await self.session.execute(
            update(Session)
            .where(Session.id == session_id, Session.user_id == user_id)
            .values(account_id=account_id)
        )

    async def password_hash(self, user_id: UUID) -> str | None:
        """The password hash of the caller."""
        stored_hash: str | None = await self.session.scalar(
            select(User.password_hash).where(User.id == user_id)
        )
        return stored_hash

    async def set_password(self, user_id: UUID, password_hash: str, now: datetime) -> None:
        """Replaces the caller's password."""
        await self.session.execute(
            update(User).where(User.id == user_id).values(password_hash=password_hash, updated_at=now)
        )

    async def tokens(self, user_id: UUID) -> Sequence[Any]:
        """The caller's access tokens in this account, newest first, including expired and revoked ones."""
        return (
            await self.session.execute(SELECT_TOKENS, {"person": user_id, "account": self.account_id})
        ).all()

    def add_token(self, **columns: Any) -> UUID:
        """Inserts an access token; the columns of `db.models.AccessToken` except its id and account."""
        token = AccessToken(id=uuid7(), account_id=self.account_id, **columns)
        self.session.add(token)
        return token.id

    async def revoke_token(self, user_id: UUID, token_id: UUID, now: datetime) -> str | None:
        """Revokes one access token; returns its name, or None when there is no such live token."""
        name: str | None = await self.session.scalar(
            update(AccessToken)
            .where(AccessToken.id == token_id, AccessToken.user_id == user_id)
            .where(AccessToken.account_id == self.account_id, AccessToken.revoked_at.is_(None))
            .values(revoked_at=now)
            .returning(AccessToken.name)
        )
        return name
