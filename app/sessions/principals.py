"""Loads the principal of a session or token, with its current permissions."""

from uuid import UUID

from app.permissions import Role, allowed
from app.work import Principal
from db.auth_lookup import AccountMembership, AuthLookup, PrincipalRecord


class SignedInPrincipal(Principal, frozen=True, kw_only=True):
    """A principal with the user's accounts, for the account switcher of the layout."""

    memberships: tuple[AccountMembership, ...] = ()
    time_zone: str = "UTC"


class Principals:
    """Looks up principals for the web server; implements `app.web.auth.Directory`."""

    def __init__(self, directory: AuthLookup) -> None:
        self.directory = directory

    async def by_session(self, session_id: UUID, account_id: UUID) -> Principal | None:
        """See `app.web.auth.Directory`."""
        return _principal(await self.directory.by_session(session_id, account_id))

    async def by_secret(self, session_id: UUID, digest: bytes) -> Principal | None:
        """See `app.web.auth.Directory`."""
        return _principal(await self.directory.by_secret(session_id, digest))

    async def by_access_token(self, digest: bytes) -> Principal | None:
        """See `app.web.auth.Directory`."""
        return _principal(await self.directory.by_access_token(digest))


def _principal(row: PrincipalRecord | None) -> Principal | None:
    if row is None:
        return None
    role = Role(row.role)
    return SignedInPrincipal(
        user_id=row.user_id,
        email=row.email,
        name=row.name,
        account_id=row.account_id,
        account_name=row.account_name,
        role=role,
        session_id=row.session_id,
        token_id=row.token_id,
        permissions=allowed(role, row.scopes),
        memberships=row.memberships,
        time_zone=row.time_zone,
    )
