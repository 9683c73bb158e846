"""Reads from the raw headers what a client accepts and sends. The common cases need no parsing."""

import re
from collections.abc import Iterable
from functools import lru_cache

from litestar.datastructures.headers import Accept
from litestar.types import HTTPScope, Scope

HTML = "text/html"
JSON = "application/json"
PROBLEM = "application/problem+json"
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
FORMS = frozenset({URLENCODED, MULTIPART})
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
REFUSED_PART = re.compile(r";\s*q=0(\.0*)?\s*$")
VARY = "Accept, HX-Request, HX-Request-Type, HX-History-Restore-Request"


def header(scope: Scope | HTTPScope, name: bytes) -> str:
    """The first value of a header, "" when it was not sent. `name` is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return ""


def wants_html(scope: Scope | HTTPScope) -> bool:
    """Whether the client prefers a page or a fragment to JSON."""
    accept = header(scope, b"accept")
    if accept in ("", "*/*"):
        # For the browser's back button, htmx sends only the second of these headers.
        return bool(header(scope, b"hx-request") or header(scope, b"hx-history-restore-request"))
    if accept in (JSON, PROBLEM):
        return False
    if accept == HTML or accept.startswith("text/html,"):
        return True
    return _best(accept, (JSON, HTML, PROBLEM)) == HTML


def wants_partial(scope: Scope | HTTPScope) -> bool:
    """Whether htmx asks for a fragment; a boosted link or a history restore needs the whole page."""
    return (
        header(scope, b"hx-request-type") == "partial"
        and header(scope, b"hx-boosted") != "true"
        and header(scope, b"hx-history-restore-request") != "true"
    )


def acceptable(scope: Scope | HTTPScope, offers: Iterable[str]) -> bool:
    """Whether the client accepts any of the media types that a route can answer with."""
    accept = header(scope, b"accept")
    return not accept or "*/*" in accept or _best(accept, tuple(offers)) is not None


@lru_cache(maxsize=512)
def _best(accept: str, offers: tuple[str, ...]) -> str | None:
    accepted = ",".join(part for part in accept.split(",") if not REFUSED_PART.search(part))
    best = Accept(accepted).best_match(list(offers)) if accepted else None
    return str(best).partition(";")[0] if best else None
