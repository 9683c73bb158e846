"""Revokes access tokens."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import AccessToken
from db.queries.statements import fetch_scalar


async def revoke_live_token(
    session: AsyncSession, user_id: UUID, token_id: UUID, now: datetime
) -> str | None:
    """Revokes one access token of a user in the session's account; returns its name, or None when there is no
    such live token."""
    revoked = (
        update(AccessToken)
        .where(
            AccessToken.account_id == session.info["account_id"],
            AccessToken.id == token_id,
            AccessToken.user_id == user_id,
            AccessToken.revoked_at.is_(None),
        )
        .values(revoked_at=now)
        .returning(AccessToken.name)
    )
    return await fetch_scalar(session, str, revoked)
