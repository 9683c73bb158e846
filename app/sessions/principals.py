"""Begins the unit of work of a request, for the caller of its session or token."""

from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.account_places import AccountKey, AccountPlaces, RequestCost, Turn
from app.permissions import Role, allowed
from app.runtime import Runtime
from app.work import Caller, Principal, Work, close_session
from db.auth_lookup import (
    AccountMembership,
    AuthLookup,
    PrincipalRecord,
    session_credential,
    sign_in,
    token_credential,
)
from db.tenancy import Credential

REMEMBERED = 4096


class SignedInPrincipal(Principal, frozen=True, kw_only=True):
    """A principal with the user's accounts, for the account switcher of the layout."""

    memberships: tuple[AccountMembership, ...] = ()


class Principals:
    """Looks up callers for the web server; implements `app.web.auth.Directory`."""

    def __init__(self, runtime: Runtime, lookup: AuthLookup, places: AccountPlaces) -> None:
        self.runtime, self.lookup, self.places = runtime, lookup, places
        self._callers: dict[bytes, Caller] = {}  # by the digest of an access token

    async def open_session(
        self, session_id: UUID, account_id: UUID, request_id: str | None, cost: RequestCost, *, page: bool
    ) -> Work | None:
        """See `app.web.auth.Directory`."""
        credential = session_credential(session_id, account_id, memberships=page)
        return await self._open(account_id, cost, credential, request_id)

    async def open_access_token(
        self, digest: bytes, request_id: str | None, cost: RequestCost, *, page: bool
    ) -> Work | None:
        """See `app.web.auth.Directory`."""
        caller = await self.caller_by_digest(digest, request_id, cost)
        if caller is None:
            return None
        credential = token_credential(digest, memberships=page)
        work = await self._open(caller.account_id, cost, credential, request_id)
        if work is None:
            self._callers.pop(digest, None)
        return work

    async def caller_by_digest(
        self, digest: bytes, request_id: str | None, cost: RequestCost
    ) -> Caller | None:
        """See `app.web.auth.Directory`. The request then waits for the places of that account."""
        caller = self._callers.get(digest)
        if caller is not None:
            return caller
        light = msgspec.structs.replace(cost, heavy=False)
        work = await self._open(None, light, token_credential(digest, memberships=False), request_id)
        if work is None:
            return None
        await work.close()
        if len(self._callers) >= REMEMBERED:
            self._callers.clear()
        caller = self._callers[digest] = work.require_principal().caller
        return caller

    async def _open(
        self, account: AccountKey, cost: RequestCost, credential: Credential, request_id: str | None
    ) -> Work | None:
        turn = await self.places.take_turn(account, heavy=cost.heavy, script=cost.script)
        session, work = self.runtime.sessions(), None
        try:
            session.info["statement_seconds"] = cost.statement_seconds
            record = await sign_in(session, credential)
            if record is not None:
                session.info["catalogs"] = self.runtime.catalogs
                me = _principal(record)
                work = Work(self.runtime, session, me.actor, principal=me, request_id=request_id)
                work.turn = turn
            return work
        finally:
            if work is None:
                await _abandon(session, turn)

    async def by_session(self, session_id: UUID, account_id: UUID) -> Principal | None:
        """See `app.web.auth.Directory`."""
        record = await self.lookup.by_session(session_id, account_id)
        return _principal(record) if record else None

    async def by_secret(self, session_id: UUID, digest: bytes) -> Principal | None:
        """See `app.web.auth.Directory`. Anybody can send a secret: those who do share the places of callers
        whose account is not known yet."""
        async with self.places.connections.place(None):
            record = await self.lookup.by_secret(session_id, digest)
        return _principal(record) if record else None

    async def note_use(self, digest: bytes) -> None:
        """See `app.web.auth.Directory`."""
        await self.lookup.by_access_token(digest)


async def _abandon(session: AsyncSession, turn: Turn) -> None:
    try:
        await close_session(session)
    finally:
        turn.give_back()


def _principal(row: PrincipalRecord) -> Principal:
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
        time_zone=row.time_zone,
        memberships=row.memberships,
    )
