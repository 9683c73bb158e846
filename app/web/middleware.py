"""The outermost middleware, in this order: request id, origin check, compression, HEAD, security headers,
access log and metrics."""

import ipaddress
import re
import time
from uuid import UUID

import structlog
from litestar import Response
from litestar.enums import ScopeType
from litestar.exceptions import PermissionDeniedException
from litestar.types import (
    ASGIApp,
    HTTPResponseStartEvent,
    HTTPScope,
    Message,
    Receive,
    ReceiveMessage,
    Scope,
    Send,
)

from app.redaction import redact
from app.settings import Settings
from app.web import content_negotiation
from app.web.compression import CompressingSend
from app.web.csrf_cors import Origins
from app.web.errors import handle_exception
from app.web.metrics import REQUESTS, SECONDS
from app.web.request import Request
from app.web.tracing import span
from db.ids import uuid7

log = structlog.get_logger("switchyard.access")
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
FIXED = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
}
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
WITH_PORT = re.compile(r"^(?:\[(?P<v6>[^\]]*)\](?::\d+)?|(?P<v4>[\d.]+):\d+)$")
HSTS = "max-age=31536000; includeSubDomains"


class ResponseMiddleware:
    """The outermost layer of the web server. It wraps the routing, so that it handles 404 and 405 too."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.origins = Origins(settings)
        fixed = FIXED | ({"strict-transport-security": HSTS} if settings.secure else {})
        self.fixed = [(name.encode(), value.encode()) for name, value in fixed.items()]
        self.hops = settings.trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        inner: HTTPScope = {**scope, "method": "GET" if head else scope["method"]}
        inner["state"] = {"request_id": uuid7().hex, "network": network(scope, self.hops)}
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=inner["state"]["request_id"])
        exchange = Exchange(self, inner, send, scope["method"])
        with span(inner):
            try:
                await self._inside(inner, exchange.watched(receive), CompressingSend(exchange.send, inner))
            finally:
                exchange.finish()

    async def _inside(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        response: Response[bytes] | Response[None]
        if reason := self.origins.refusal(scope):
            response = handle_exception(Request(scope), PermissionDeniedException(reason))
        elif (preflight_headers := self.origins.preflight(scope)) is not None:
            response = Response(None, status_code=204, headers=preflight_headers)
        else:
            await self.app(scope, receive, send)
            return
        await response.to_asgi_response(None, Request(scope))(scope, receive, send)


class Exchange:
    """One request and its response."""

    def __init__(self, edge: ResponseMiddleware, scope: HTTPScope, send: Send, method: str) -> None:
        self.edge, self.scope, self._send, self.method = edge, scope, send, method
        self.started = time.perf_counter()
        self.status = 500

    def watched(self, receive: Receive) -> Receive:
        """`receive` that records when the client disconnects, so that the error does not count as the
        server's."""

        async def watch() -> ReceiveMessage:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.scope["state"]["client_gone"] = True
            return message

        return watch

    async def send(self, message: Message) -> None:
        """Adds the headers. For HEAD it drops the body but keeps the length."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._headers(message)
        elif message["type"] == "http.response.body" and self.method == "HEAD":
            message["body"] = b""
        await self._send(message)

    def _headers(self, message: HTTPResponseStartEvent) -> None:
        headers = list(message["headers"])
        present = {name.lower() for name, _ in headers}
        headers += [pair for pair in self.edge.fixed if pair[0] not in present]
        headers.append((b"x-request-id", self.scope["state"]["request_id"].encode()))
        cors = self.edge.origins.headers(self.scope)
        vary = [content_negotiation.VARY, cors.pop("Vary")] if cors else [content_negotiation.VARY]
        headers += [(name.lower().encode(), value.encode()) for name, value in cors.items()]
        if b"cache-control" not in present:
            headers.append((b"cache-control", b"no-store"))
            headers.append((b"vary", ", ".join(vary).encode()))
        headers += self.scope["state"].get("extra", [])
        if self.scope["state"].get("note_shown"):
            headers.append((b"set-cookie", b"note=; Path=/; Max-Age=0; HttpOnly; SameSite=lax"))
        message["headers"] = headers

    def finish(self) -> None:
        """Counts and logs the request: never a query string, a body or a header. Secrets are removed from the
        path, also when no route handled the request (404, 405, a foreign origin)."""
        seconds = time.perf_counter() - self.started
        route = self.scope.get("path_template", "")
        REQUESTS.labels(self.method if self.method in METHODS else "OTHER", route, str(self.status)).inc()
        SECONDS.labels(route).observe(seconds)
        me = self.scope.get("auth")
        log.info(
            "request",
            method=self.method,
            path=redact(self.scope["path"]),
            status=self.status,
            milliseconds=round(seconds * 1000, 1),
            network=self.scope["state"]["network"],
            account_id=_text(me.account_id) if me else None,
            user_id=_text(me.user_id) if me else None,
        )


def _text(value: UUID) -> str:
    return str(value)


def network(scope: HTTPScope, hops: int) -> str:
    """The IP address of the client: the peer, or the address that the trusted proxies report (`hops` is their
    number). A proxy may add its own header after the client's, so all of them are read, in order."""
    peer = client[0] if (client := scope.get("client")) else ""
    if not hops:
        return peer
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    forwarded = [part.strip() for part in ",".join(lines).split(",") if part.strip()]
    return forwarded[-hops] if len(forwarded) >= hops else peer


def client_of(address: str) -> str:
    """The key under which a client is counted: the /64 network of an IPv6 address, since one client owns all
    of it; the IPv4 address inside a mapped IPv6 address; any other address unchanged. Some proxies report
    an address with the client's port, which changes with each connection: it is left out."""
    host = WITH_PORT.sub(lambda match: match["v6"] or match["v4"], address)
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    inner = parsed.ipv4_mapped
    return str(inner or ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
