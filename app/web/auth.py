"""Authentication (401), as middleware."""

import time
from typing import Protocol, TypeAlias
from urllib.parse import quote
from uuid import UUID

import structlog
from litestar import Response
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.account_places import RequestCost
from app.credentials import ACCESS_PREFIX, digest, session_of
from app.web import content_negotiation
from app.web.body_arrival import announced_body, arrived
from app.web.cookies import Cookies, set_cookies
from app.web.request import Request
from app.web.request_kinds import cost_of
from app.web.request_limits import RequestLimits
from app.web.tokens import BadToken, Claims, Tokens
from app.work import Caller, Principal

log = structlog.get_logger("switchyard.auth")
USE_NOTED_SECONDS = 60.0
REMEMBERED = 4096
NOT_LIVE = "The token is unknown, has expired or was revoked."
# What a request says about its caller: a signed token, or the digest of an access token.
Claim: TypeAlias = Claims | bytes


class Opened(Protocol):
    """The unit of work of a request, in the caller's account: its transaction has begun."""

    @property
    def principal(self) -> Principal | None:
        """The caller."""

    async def close(self) -> None:
        """Ends it; what was not committed is rolled back. A second call does nothing."""


class Directory(Protocol):
    """Looks up users before the account is known, through security definer functions. Digests are SHA-256.

    Opening a unit of work reads what is true now, with the statement that begins its transaction. `page` says
    that the answer is a page, which also shows the user's other accounts. A request waits for its turn before
    that, without a connection; raises `Unavailable` when it takes too long."""

    async def open_session(
        self, session_id: UUID, account_id: UUID, request_id: str | None, cost: RequestCost, *, page: bool
    ) -> Opened | None:
        """A unit of work of the user of a live session, with their role in that account."""
        ...

    async def open_access_token(
        self, digest: bytes, request_id: str | None, cost: RequestCost, *, page: bool
    ) -> Opened | None:
        """A unit of work of the user of a live personal access token, limited to the token's scopes."""
        ...

    async def caller_by_digest(
        self, digest: bytes, request_id: str | None, cost: RequestCost
    ) -> Caller | None:
        """Whose access token it is; None for none that is live. Asks the database only for a token that this
        process has not let in before, or has refused since: without a place of the account, and briefly."""
        ...

    async def by_session(self, session_id: UUID, account_id: UUID) -> Principal | None:
        """The user of a live session, with their current role in that account."""
        ...

    async def by_secret(self, session_id: UUID, digest: bytes) -> Principal | None:
        """The user of a live session, by its secret; updates when the session was last seen."""
        ...

    async def note_use(self, digest: bytes) -> None:
        """Updates when a personal access token was last used, once a minute."""
        ...


class Identity:
    """Finds the caller of a request by its token or cookies."""

    def __init__(self, directory: Directory, tokens: Tokens, cookies: Cookies) -> None:
        self.directory, self.tokens, self.cookies = directory, tokens, cookies
        self._noted: dict[bytes, float] = {}  # when the use of a token was last noted, by its digest
        self._ended: set[tuple[UUID, UUID]] = set()  # sessions in accounts that were refused when last asked

    async def principal(self, scope: Scope) -> Principal:
        """The caller, for a route that is public. Raises `BadToken` with the reason."""
        opened = await self.open(scope, await self.claim(scope))
        await opened.close()
        return principal_of(opened)

    async def claim(self, scope: Scope) -> Claim:
        """What the headers say about the caller. The Authorization header takes precedence over cookies. The
        database is asked only to renew a token. Raises `BadToken` with the reason."""
        authorization = content_negotiation.header(scope, b"authorization")
        if not authorization:
            return await self._cookie(scope)
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise BadToken("The Authorization header must be “Bearer” followed by a token.")
        return digest(token) if token.startswith(ACCESS_PREFIX) else self.tokens.read(token)

    async def caller(self, scope: Scope, claim: Claim) -> Caller | None:
        """Whom the call counts for, without a unit of work. None for a session that was refused when last
        asked: its calls count for nothing unless it is let in again. Raises `BadToken` with the reason."""
        if isinstance(claim, bytes):
            request_id = scope["state"].get("request_id")
            caller = await self.directory.caller_by_digest(claim, request_id, cost_of(scope))
            if caller is None:
                raise BadToken(NOT_LIVE)
            return caller
        ended = (claim.sid, claim.account_id) in self._ended
        return None if ended else Caller(claim.account_id, claim.sid)

    async def open(self, scope: Scope, claim: Claim) -> Opened:
        """The caller's unit of work. Raises `BadToken` with the reason."""
        request_id, page = scope["state"].get("request_id"), _is_page(scope)
        if isinstance(claim, bytes):
            opened = await self.directory.open_access_token(claim, request_id, cost_of(scope), page=page)
            if opened is None:
                raise BadToken(NOT_LIVE)
            return opened
        session = (claim.sid, claim.account_id)
        opened = await self.directory.open_session(*session, request_id, cost_of(scope), page=page)
        if opened is not None and principal_of(opened).user_id != claim.sub:
            await opened.close()
            opened = None
        if opened is None:
            if len(self._ended) >= REMEMBERED:
                self._ended.clear()
            self._ended.add(session)
            raise BadToken("The session has ended.")
        self._ended.discard(session)
        return opened

    async def note_use(self, scope: Scope) -> None:
        """Notes that the request's access token was used, after the response and at most once a minute: a
        read writes nothing."""
        me = scope.get("auth")
        if me is None or me.token_id is None:
            return
        key = digest(content_negotiation.header(scope, b"authorization").partition(" ")[2].strip())
        now = time.monotonic()
        if self._noted.get(key, 0.0) < now:
            if len(self._noted) >= REMEMBERED:
                self._noted.clear()
            self._noted[key] = now + USE_NOTED_SECONDS
            try:
                await self.directory.note_use(key)
            except Exception as error:  # noqa: BLE001 -- the response was sent; the next minute notes it again
                log.warning("the use of a token was not noted", error=type(error).__name__)

    async def _cookie(self, scope: Scope) -> Claims:
        """The token in the cookie; one that only expired is renewed by the session secret."""
        token, secret = self.cookies.read(scope)
        problem = BadToken("You're not signed in.", renewable=True)
        if token:
            try:
                return self.tokens.read(token)
            except BadToken as error:
                problem = error
        if not secret or not problem.renewable:
            raise problem
        return await self._renewed(scope, secret)

    async def _renewed(self, scope: Scope, secret: str) -> Claims:
        session = session_of(secret)
        principal = await self.directory.by_secret(session, digest(secret)) if session else None
        if principal is None or principal.session_id is None:
            raise BadToken("The session has ended.")
        fresh = self.tokens.issue(principal.user_id, principal.session_id, principal.account_id)
        set_cookies(scope, self.cookies.signed_in(fresh))
        return self.tokens.read(fresh)


def principal_of(opened: Opened) -> Principal:
    """The caller of a unit of work that `Directory` opened."""
    if opened.principal is None:
        raise LookupError("A unit of work of a request has a caller.")
    return opened.principal


def _is_page(scope: Scope) -> bool:
    return content_negotiation.wants_html(scope) and not content_negotiation.wants_partial(scope)


class Authenticate(ASGIMiddleware):
    """Sets `request.auth`, or answers 401. A browser that opens a page is redirected to the sign-in page, and
    back afterward. Counts the call, or answers 429, before it waits for its turn and a connection.

    The caller's unit of work waits in `state["work"]` for the handler. It ends before the response is sent,
    so that a slow client holds no connection to the database. Nor does one that sends slowly: a small body
    arrives before the unit of work begins; before a large one it ends, and the handler gets another."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, identity: Identity, limits: RequestLimits) -> None:
        self.identity, self.limits = identity, limits

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if scope["state"].get("again"):
            await next_app(scope, receive, send)
            return
        scope["auth"] = scope["user"] = None
        if scope["route_handler"].opt.get("public"):
            await next_app(scope, receive, send)
            return
        uses_work = "work" in scope["route_handler"].parsed_fn_signature.parameters
        body = announced_body(scope) if uses_work else "none"
        try:
            claim = await self.identity.claim(scope)
            caller = await self.identity.caller(scope, claim)
            if caller is not None:
                await self.limits.count(scope, caller)
            if body == "small":
                receive = await arrived(receive)
            opened = await self.identity.open(scope, claim)
        except BadToken as error:
            await self._refuse(scope, receive, send, str(error))
            return

        async def send_after_work(message: Message) -> None:
            if message["type"] == "http.response.start":
                await opened.close()
            await send(message)

        try:
            scope["auth"] = scope["user"] = principal_of(opened)
            if uses_work and body != "large":
                scope["state"]["work"] = opened
            else:
                await opened.close()
            if caller is None:
                await self.limits.count(scope, principal_of(opened).caller)
            await next_app(scope, receive, send_after_work)
        finally:
            await opened.close()
        await self.identity.note_use(scope)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, reason: str) -> None:
        page = scope.get("method") == "GET" and _is_page(scope)
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
