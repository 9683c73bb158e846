"""Checks which origins may call from a browser (CSRF and CORS). Because of it, forms need no hidden
tokens."""

from urllib.parse import urlsplit

from litestar.types import HTTPScope, Scope

from app.settings import Settings
from app.web import content_negotiation

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# Routes that other systems call with a secret in the URL; they ignore cookies.
OPEN = ("/hooks/", "/unsubscribe/")
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
HEADERS = "Authorization, Content-Type, Accept, Idempotency-Key"
EXPOSED = "Location, Retry-After, RateLimit, RateLimit-Policy, X-Request-ID"


class Origins:
    """The allowed origins: the app's own, and those in the setting ALLOWED_ORIGINS."""

    def __init__(self, settings: Settings) -> None:
        self.own = own_origins(settings.base_url)
        self.allowed = self.own | {origin.strip().rstrip("/").lower() for origin in settings.allowed_origins}

    def refusal(self, scope: HTTPScope) -> str:
        """Why a request is refused, as a message; "" when it may pass. Refused are a foreign `Origin`, and an
        unsafe method that a browser sends from another site. A request with a bearer token needs no origin,
        because no browser adds the token by itself."""
        if scope["path"].startswith(OPEN):
            return ""
        origin = content_negotiation.header(scope, b"origin").lower()
        if origin and origin not in self.allowed:
            return "This origin isn't allowed to call here."
        if scope["method"] not in content_negotiation.UNSAFE or origin:
            return ""
        site = content_negotiation.header(scope, b"sec-fetch-site")
        if site:
            return "" if site in ("same-origin", "none") else "This request comes from another site."
        if content_negotiation.header(scope, b"cookie") and not bearer(scope):
            return "A request with a cookie must state its origin: send Origin or Sec-Fetch-Site."
        return ""

    def preflight(self, scope: HTTPScope) -> dict[str, str] | None:
        """The headers that answer a preflight; None when the request isn't one."""
        requested_method = content_negotiation.header(scope, b"access-control-request-method")
        if scope["method"] != "OPTIONS" or not requested_method:
            return None
        return {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": HEADERS,
            "Access-Control-Max-Age": "600",
        }

    def headers(self, scope: Scope) -> dict[str, str]:
        """The headers that an allowed foreign origin needs to read the response. They never allow
        credentials, because such an origin sends a token instead of cookies."""
        origin = content_negotiation.header(scope, b"origin").lower()
        if not origin or origin in self.own or origin not in self.allowed:
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": EXPOSED,
            "Vary": "Origin",
        }


def bearer(scope: Scope) -> bool:
    """Whether the request authenticates itself with an `Authorization: Bearer` header."""
    return content_negotiation.header(scope, b"authorization")[:7].lower() == "bearer "


def own_origins(base_url: str) -> frozenset[str]:
    """The origin of the app; on loopback with each of its names, because users type any of them."""
    parts = urlsplit(base_url)
    port = f":{parts.port}" if parts.port else ""
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    names = LOOPBACK if host in LOOPBACK else (host,)
    return frozenset(f"{parts.scheme}://{name}{port}".lower() for name in names)
