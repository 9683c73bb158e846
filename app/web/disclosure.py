"""Limits the response to a change to data that the caller may read.

Permission to write does not include permission to read. The response to a change contains the struct of a
page; a caller who may not open that page gets the status and `Location` without a body."""

from litestar import Litestar
from litestar.response import Response
from litestar.routes import HTTPRoute

from app.permissions import Permission
from app.web import content_negotiation
from app.web.request import Request

Readers = dict[type, frozenset[Permission]]


def may_read(request: Request, content: object) -> bool:
    """Whether the caller may read the content of a response. Routes with `receipt=True` are exempt: they
    return a secret that is shown only once, or only what the caller sent."""
    me, handler = request.principal, request.route_handler
    if me is None or request.method not in content_negotiation.UNSAFE or handler.opt.get("receipt"):
        return True
    needed = readers(request.app).get(type(content), frozenset({Permission.VIEW}))
    return bool(needed & me.permissions)


def readers(app: Litestar) -> Readers:
    """For each struct that a GET route returns, the permissions that open such a route. Computed from the
    routes at first use."""
    cached: Readers | None = app.state.get("readers")
    if cached is None:
        cached = app.state["readers"] = _readers(app)
    return cached


def _readers(app: Litestar) -> Readers:
    permissions_by_struct: Readers = {}
    for route in app.routes:
        entry = route.route_handler_map.get("GET") if isinstance(route, HTTPRoute) else None
        if entry is None:
            continue
        handler = entry[0]
        answer = handler.parsed_fn_signature.return_type
        kind = answer.inner_types[0] if answer.is_subclass_of(Response) and answer.inner_types else answer
        permissions = {guard.permission for guard in handler.resolve_guards() if hasattr(guard, "permission")}
        permissions_by_struct[kind.annotation] = (
            permissions_by_struct.get(kind.annotation, frozenset()) | permissions
        )
    return permissions_by_struct
