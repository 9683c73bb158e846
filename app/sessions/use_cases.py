"""Start, switch and end sessions."""

from datetime import timedelta
from uuid import UUID

from app.credentials import digest, session_secret
from app.errors import Forbidden, NotFound
from app.permissions import Role, allowed
from app.sessions.domain import agent_name
from app.sessions.schemas import SessionView
from app.work import Principal, Work
from db.auth_lookup import AccountMembership, SignInUser
from db.ids import uuid7
from db.models import Session
from db.queries.sessions import (
    end_user_session,
    end_user_sessions,
    list_live_sessions,
    move_user_session,
)

LIFETIME = timedelta(days=14)


def principal_of(user: SignInUser, account_id: UUID | None) -> Principal:
    """The principal of a user who signs in, in the account with this id or else the one they used last. It
    has a new session id: signing in never continues an older session. Raises `Forbidden`."""
    chosen = _choose(user.memberships, account_id)
    role = Role(chosen.role)
    return Principal(
        user_id=user.user_id,
        email=user.email,
        name=user.name,
        account_id=chosen.account_id,
        account_name=chosen.account_name,
        role=role,
        session_id=uuid7(),
        token_id=None,
        permissions=allowed(role),
    )


def _choose(memberships: tuple[AccountMembership, ...], account_id: UUID | None) -> AccountMembership:
    for membership in memberships:
        if account_id in (None, membership.account_id):
            return membership
    raise Forbidden(
        "You're not a member of that account." if memberships else "You're not a member of any account."
    )


async def start_session(work: Work, agent: str, network: str) -> str:
    """Starts a session for the caller; returns the secret that renews its token."""
    me = work.require_principal()
    if me.session_id is None:
        raise Forbidden("Only a user can sign in.")
    secret = session_secret(me.session_id)
    work.session.add(
        Session(
            id=me.session_id,
            user_id=me.user_id,
            account_id=me.account_id,
            secret_hash=digest(secret),
            user_agent=agent[:200],
            network=network[:64],
            expires_at=work.now + LIFETIME,
        )
    )
    work.audit("session.started", "session", me.session_id, {"network": (None, network)})
    await work.commit()
    return secret


async def my_sessions(work: Work) -> list[SessionView]:
    """The user's sessions, newest first."""
    me = work.require_principal()
    rows = await list_live_sessions(work.session, me.user_id)
    return [
        SessionView(
            row.id,
            row.account_name,
            agent_name(row.user_agent),
            row.network,
            row.created_at,
            row.last_seen_at,
            row.expires_at,
            row.id == me.session_id,
        )
        for row in rows
    ]


async def end_session(work: Work, session_id: UUID) -> None:
    """Ends one of the user's sessions. Raises `NotFound`."""
    me = work.require_principal()
    if not await end_user_session(work.session, me.user_id, session_id, work.now):
        raise NotFound("session")
    work.audit("session.ended", "session", session_id)
    await work.commit()


async def end_other_sessions(work: Work) -> int:
    """Ends all of the user's sessions except the current one; returns how many it ended."""
    me = work.require_principal()
    count = await end_user_sessions(work.session, me.user_id, me.session_id, work.now)
    work.audit("session.others_ended", "session", me.session_id, {"count": (None, count)})
    await work.commit()
    return count


async def switch_account(work: Work, target: Principal) -> None:
    """Makes another of the user's accounts the current one of their session."""
    me = work.require_principal()
    if me.session_id is None:
        raise Forbidden("Only a signed-in user can switch accounts.")
    await move_user_session(work.session, me.user_id, me.session_id, target.account_id)
    work.audit(
        "session.switched", "session", me.session_id, {"account": (me.account_name, target.account_name)}
    )
    await work.commit()
