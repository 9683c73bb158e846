"""What a request may cost the database. Each route has a kind: how long one of its statements may take, and
whether it needs one of the few places for heavy queries of its account.

    @get(kind=COUNT)                       always
    @get(kind=search_with("q", "f"))       a SEARCH when the query string has one of these, otherwise a READ

Without `kind`, a GET is a READ and everything else a WRITE. `kind_of` is the entry point."""

from typing import Literal, cast
from urllib.parse import parse_qsl

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.types import HTTPScope, Scope

from app.account_places import RequestCost
from app.settings import Settings
from app.web import content_negotiation

READS = frozenset({"GET", "HEAD"})


class RequestKind(msgspec.Struct, frozen=True):
    """A kind of request. `slow` is the first half of the answer when a statement took too long, and `advice`
    what to do then; `heavy` requests wait for a place."""

    name: Literal["read", "search", "write", "bulk"]
    slow: str
    advice: str
    heavy: bool = False

    def seconds(self, settings: Settings) -> float:
        """How long a statement may take; 0 is no limit."""
        return {
            "read": settings.read_timeout_seconds,
            "search": settings.search_timeout_seconds,
            "write": settings.write_timeout_seconds,
            "bulk": settings.bulk_timeout_seconds,
        }[self.name]

    def too_slow(self, settings: Settings) -> str:
        """The answer when a statement took too long."""
        return f"{self.slow} took longer than {self.seconds(settings):g} s and was stopped. {self.advice}"


READ = RequestKind("read", "Reading this", "Try again in a moment.")
SEARCH = RequestKind(
    "search",
    "This search",
    "Narrow it: use a longer search text, fewer conditions, or the default sort order. Numbers and dates are "
    "fast when their field is indexed.",
    heavy=True,
)
COUNT = RequestKind("search", "Counting this", "Try again in a moment.", heavy=True)
WRITE = RequestKind("write", "Saving this", "Nothing was saved. Try again in a moment.")
# Bulk edits, imports, exports and publications
BULK = RequestKind(
    "bulk", "This", "Nothing was saved. Select fewer contacts, or try again in a moment.", heavy=True
)


class SearchWith(msgspec.Struct, frozen=True):
    """A list that is cheap as it is, and a search with one of these query parameters."""

    parameters: tuple[str, ...]

    def of(self, query_string: bytes) -> RequestKind:
        """The kind of a request with this query string. Parameters without a value don't count."""
        pairs = parse_qsl(query_string.decode("latin-1")) if query_string else []
        return SEARCH if any(name in self.parameters and value.strip() for name, value in pairs) else READ


def search_with(*parameters: str) -> SearchWith:
    """The kind of a list: a SEARCH with one of these query parameters, otherwise a READ."""
    return SearchWith(parameters)


def declared_kind(handler: HTTPRouteHandler, method: str) -> RequestKind | SearchWith:
    """What a route declares, or the default of the method."""
    default = READ if method in READS else WRITE
    kind: RequestKind | SearchWith = handler.opt.get("kind", default)
    return kind


def kind_of(handler: HTTPRouteHandler, method: str, query_string: bytes) -> RequestKind:
    """The kind of a request."""
    kind = declared_kind(handler, method)
    return kind.of(query_string) if isinstance(kind, SearchWith) else kind


def cost_of(scope: Scope) -> RequestCost:
    """What a request may use. Deliveries of inbound webhooks and other calls from outside count as scripts:
    they must leave a place to the account's people."""
    http = cast("HTTPScope", scope)
    handler = cast("HTTPRouteHandler", http["route_handler"])
    kind = kind_of(handler, http["method"], http["query_string"])
    script = bool(content_negotiation.header(scope, b"authorization") or handler.opt.get("foreign"))
    return RequestCost(kind.heavy, kind.seconds(http["litestar_app"].state.settings), script)
