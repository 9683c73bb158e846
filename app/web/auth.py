"""Authentication (401), as middleware."""

import time
from collections.abc import Hashable
from typing import Protocol
from urllib.parse import quote
from uuid import UUID

from litestar import Response
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.credentials import ACCESS_PREFIX, digest, session_of
from app.web import content_negotiation
from app.web.cookies import Cookies, set_cookies
from app.web.request import Request
from app.web.tokens import BadToken, Tokens
from app.work import Principal

FRESH_SECONDS = 1.0
REMEMBERED = 4096


class Directory(Protocol):
    """Looks up users before the account is known, through security definer functions. Digests are SHA-256."""

    async def by_session(self, session_id: UUID, account_id: UUID) -> Principal | None:
        """The user of a live session, with their current role in that account."""
        ...

    async def by_secret(self, session_id: UUID, digest: bytes) -> Principal | None:
        """The user of a live session, by its secret; updates when the session was last seen."""
        ...

    async def by_access_token(self, digest: bytes) -> Principal | None:
        """The user of a live personal access token, limited to the token's scopes."""
        ...


class Identity:
    """Finds the principal of a request by its token or cookies. A principal is cached for at most one second,
    or until `forget`."""

    def __init__(self, directory: Directory, tokens: Tokens, cookies: Cookies) -> None:
        self.directory, self.tokens, self.cookies = directory, tokens, cookies
        self._principals: dict[Hashable, tuple[float, Principal]] = {}

    def forget(self) -> None:
        """Empties the cache, after a session ended or a role changed."""
        self._principals.clear()

    async def principal(self, scope: Scope) -> Principal:
        """The caller. The Authorization header takes precedence over cookies. Raises `BadToken` with the
        reason."""
        authorization = content_negotiation.header(scope, b"authorization")
        if authorization:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise BadToken("The Authorization header must be “Bearer” followed by a token.")
            return await self._bearer(token.strip())
        return await self._cookie(scope)

    async def _bearer(self, token: str) -> Principal:
        if not token.startswith(ACCESS_PREFIX):
            return await self._session(token)
        token_digest = digest(token)
        principal = self._fresh(token_digest) or self._keep(
            token_digest, await self.directory.by_access_token(token_digest)
        )
        if principal is None:
            raise BadToken("The token is unknown, has expired or was revoked.")
        return principal

    async def _session(self, token: str) -> Principal:
        claims = self.tokens.read(token)
        key = (claims.sid, claims.account_id)
        principal = self._fresh(key) or self._keep(key, await self.directory.by_session(*key))
        if principal is None or principal.user_id != claims.sub:
            raise BadToken("The session has ended.")
        return principal

    async def _cookie(self, scope: Scope) -> Principal:
        """The principal of the token in the cookie; the session secret renews a token that only expired."""
        token, secret = self.cookies.read(scope)
        problem = BadToken("You're not signed in.", renewable=True)
        if token:
            try:
                return await self._session(token)
            except BadToken as error:
                problem = error
        if not secret or not problem.renewable:
            raise problem
        session = session_of(secret)
        principal = await self.directory.by_secret(session, digest(secret)) if session else None
        if principal is None or principal.session_id is None:
            raise BadToken("The session has ended.")
        fresh = self.tokens.issue(principal.user_id, principal.session_id, principal.account_id)
        set_cookies(scope, self.cookies.signed_in(fresh))
        return principal

    def _fresh(self, key: Hashable) -> Principal | None:
        until, principal = self._principals.get(key, (0.0, None))
        return principal if until > time.monotonic() else None

    def _keep(self, key: Hashable, principal: Principal | None) -> Principal | None:
        if principal is not None:
            if len(self._principals) >= REMEMBERED:
                self._principals.clear()
            self._principals[key] = (time.monotonic() + FRESH_SECONDS, principal)
        return principal


class Authenticate(ASGIMiddleware):
    """Sets `request.auth`, or answers 401. A browser that opens a page is redirected to the sign-in page, and
    back afterward."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if scope["state"].get("again"):
            await next_app(scope, receive, send)
            return
        scope["auth"] = scope["user"] = None
        if not scope["route_handler"].opt.get("public"):
            try:
                scope["auth"] = scope["user"] = await self.identity.principal(scope)
            except BadToken as error:
                await self._refuse(scope, receive, send, str(error))
                return
        await next_app(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, reason: str) -> None:
        page = (
            scope.get("method") == "GET"
            and content_negotiation.wants_html(scope)
            and not content_negotiation.wants_partial(scope)
        )
        if not page or content_negotiation.header(scope, b"authorization"):
            raise NotAuthorizedException(reason, headers={"WWW-Authenticate": 'Bearer realm="switchyard"'})
        target = f"/sign-in?next={quote(path_and_query(scope), safe='/')}"
        response = Response(b"", status_code=303, headers={"Location": target}, media_type="text/plain")
        await response.to_asgi_response(None, Request(scope))(scope, receive, send)


def path_and_query(scope: Scope) -> str:
    """The path and query of a request."""
    query = scope["query_string"].decode("latin-1")
    return scope["path"] + (f"?{query}" if query else "")


def local_path(target: str) -> str:
    """`target` if it is a path on this site, else "/", so that no link can redirect to another site."""
    plain = target.isprintable() and "\\" not in target
    return target if plain and target.startswith("/") and not target.startswith("//") else "/"
