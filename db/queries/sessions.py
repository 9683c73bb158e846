"""The sessions of a user, in all their accounts. Row-level security shows only those of the caller."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Account, Session
from db.queries.statements import execute, fetch_all, fetch_scalar, fetch_scalars

_IDLE = timedelta(hours=8)
_MOST = 200


class LiveSession(msgspec.Struct, frozen=True):
    """A session that is neither ended nor expired nor idle for too long."""

    id: UUID
    account_name: str
    user_agent: str
    network: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime


_LIVE_SESSIONS = (
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
    .where(
        Session.revoked_at.is_(None),
        Session.expires_at > func.clock_timestamp(),
        Session.last_seen_at > func.clock_timestamp() - _IDLE,
    )
    .order_by(Session.last_seen_at.desc(), Session.id)
    .limit(_MOST)
)


async def list_live_sessions(session: AsyncSession, user_id: UUID) -> list[LiveSession]:
    """A user's live sessions, the last used first."""
    return await fetch_all(session, LiveSession, _LIVE_SESSIONS.where(Session.user_id == user_id))


async def end_user_session(session: AsyncSession, user_id: UUID, session_id: UUID, now: datetime) -> bool:
    """Ends one session of a user; False when the user has no such session."""
    ended = (
        update(Session)
        .where(Session.id == session_id, Session.user_id == user_id, Session.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(Session.id)
    )
    return await fetch_scalar(session, UUID, ended) is not None


async def end_user_sessions(session: AsyncSession, user_id: UUID, but: UUID | None, now: datetime) -> int:
    """Ends every session of a user except one; returns how many."""
    ended = (
        update(Session)
        .where(Session.user_id == user_id, Session.id.is_distinct_from(but), Session.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(Session.id)
    )
    return len(await fetch_scalars(session, UUID, ended))


async def move_user_session(session: AsyncSession, user_id: UUID, session_id: UUID, account_id: UUID) -> None:
    """Makes another account the current one of a session."""
    mine = (Session.id == session_id, Session.user_id == user_id)
    await execute(session, update(Session).where(*mine).values(account_id=account_id))
