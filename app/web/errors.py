"""Turns exceptions into responses: problem+json, an error page, or the form again with the submitted values.
`handle_exception` is the entry point."""

from collections.abc import Sequence
from html import escape
from typing import Unpack, cast
from urllib.parse import quote

import msgspec
import structlog
from litestar import Litestar, Response
from litestar.exceptions import HTTPException
from litestar.types import (
    ASGIApp,
    ExceptionHandler,
    ExceptionHandlersMap,
    HTTPRequestEvent,
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
)

from app.errors import Conflict
from app.permissions import Permission
from app.redaction import redact
from app.web import content_negotiation
from app.web.forms import Form
from app.web.problems import TOO_SLOW, Problem, problem_of
from app.web.request import Request
from app.web.request_kinds import kind_of
from app.web.responses import RouteOptions

log = structlog.get_logger("switchyard.web")
SHOWN_AGAIN = frozenset({400, 401, 409, 413, 415, 422, 428, 429})
MOST_SHOWN_AGAIN = 1000  # fields; each row of a condition is rendered as several kilobytes
PAGE = "errors/problem.html"
FRAGMENT = "errors/_problem.html"


def handle_exception(request: Request, error: Exception) -> Response[bytes] | Response[None]:
    """Answers any exception of a request; logs those of the server (500 and up)."""
    problem = problem_of(error)
    scope = request.scope
    problem.request_id = scope["state"].get("request_id", "")
    problem.instance = redact(scope["path"])
    if problem.status == 500:
        log.error("request failed", path=scope["path"], exc_info=error)
    elif problem.status > 500:
        log.warning("request could not be served", path=scope["path"], error=type(error).__name__)
    if problem.code == TOO_SLOW and "route_handler" in scope:
        kind = kind_of(request.route_handler, request.method, scope["query_string"])
        problem.detail = kind.too_slow(request.app.state.settings)
    _conceal(request, problem)
    if not content_negotiation.wants_html(scope):
        return _as_json(problem)
    untouched = error.untouched if isinstance(error, Conflict) else ()
    if problem.status in SHOWN_AGAIN and (again := _form_again(request, problem, untouched)):
        return again
    return _as_page(request, problem)


def _conceal(request: Request, problem: Problem) -> None:
    """Removes the current state and the message from a conflict, if the caller may not read them."""
    me = request.principal
    if problem.current is not None and me is not None and Permission.VIEW not in me.permissions:
        problem.current, problem.conflicts = None, []
        problem.detail = "This was changed in the meantime, or is in use. Nothing was saved."


def _headers(problem: Problem) -> dict[str, str]:
    return dict(problem.headers) if isinstance(problem.headers, dict) else {}


def _as_json(problem: Problem) -> Response[bytes]:
    headers, problem.headers = _headers(problem), msgspec.UNSET
    body = msgspec.json.encode(problem)
    return Response(body, status_code=problem.status, media_type=content_negotiation.PROBLEM, headers=headers)


def _as_page(request: Request, problem: Problem) -> Response[bytes]:
    headers, templates = _headers(problem), request.app.state.templates
    if request.method == "GET" and problem.errors:  # of the address: no form shows them at their fields
        problem.detail = " ".join(dict.fromkeys(problem.errors.values()))
    if problem.status == 401 and content_negotiation.wants_partial(request.scope):
        headers["HX-Redirect"] = sign_in_again(request.scope)
    try:
        # htmx shows no page of a failed server: app.js takes the message from the fragment
        failed_part = problem.status >= 500 and content_negotiation.wants_partial(request.scope)
        body = templates.render(FRAGMENT if failed_part else PAGE, request, page=problem)
    except Exception as error:
        log.exception("the error page cannot be drawn", exc_info=error)
        body = (
            f"<!doctype html><title>{escape(problem.title)}</title><p>{escape(problem.detail)}</p>".encode()
        )
    return Response(body, status_code=problem.status, media_type=content_negotiation.HTML, headers=headers)


def sign_in_again(scope: Scope) -> str:
    """The URL of the sign-in page, which leads back to the page of the member. htmx sends that page in a
    header."""
    current = content_negotiation.header(scope, b"hx-current-url")
    current_path = "/" + current.split("/", 3)[3] if current.count("/") >= 3 else scope["path"]
    if not current and scope["query_string"]:
        current_path += "?" + scope["query_string"].decode("latin-1")
    return f"/sign-in?next={quote(current_path, safe='/')}"


def _form_again(
    request: Request, problem: Problem, untouched: Sequence[str]
) -> Response[bytes] | Response[None] | None:
    """The refused form with its values (without those of `untouched` fields) and errors; None if the route
    has no form, or the body was not a form or too large."""
    matched = "route_handler" in request.scope  # not for a 404
    template_or_path = request.route_handler.opt.get("form") if matched else None
    values = request.typed()
    if not template_or_path or not values or len(values) > MOST_SHOWN_AGAIN:
        return None
    message = problem.errors.get("") or ("" if problem.errors else problem.detail)
    values = {name: value for name, value in values.items() if name not in untouched}
    request.scope["state"]["form"] = Form(values, problem.errors, message, problem.conflicts, problem.links)
    if template_or_path.startswith("/"):
        return PageAgain(template_or_path, problem.status)
    try:
        body = request.app.state.templates.render(template_or_path, request, page=problem)
    except Exception as error:
        log.exception("the form cannot be drawn again", template=template_or_path, exc_info=error)
        return None
    status = 200 if problem.status == 428 else problem.status  # a confirmation page is not a refusal
    return Response(body, status_code=status, media_type=content_negotiation.HTML, headers=_headers(problem))


class PageAgain(Response[None]):
    """The page that contains a form, rendered by its own handler, with the status of the refusal."""

    def __init__(self, path: str, status: int) -> None:
        super().__init__(None, status_code=status)
        self.path = path

    def to_asgi_response(  # type: ignore[override]  # -- an app of our own, and the app's own request class
        self,
        app: Litestar | None,  # noqa: ARG002 -- Litestar's signature
        request: Request,
        **_: Unpack[RouteOptions],
    ) -> ASGIApp:
        path = self.path.format_map(request.scope["path_params"])
        return _run_page(request.app.asgi_router, path, self.status_code or 422)


def _run_page(router: ASGIApp, path: str, status: int) -> ASGIApp:
    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        inherited = {name: value for name, value in scope["state"].items() if name in INHERITED_STATE}
        unrouted = {name: value for name, value in scope.items() if name not in ROUTED}
        inner = {
            **unrouted,
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "path_params": {},
            "headers": [
                (name, value) for name, value in scope["headers"] if not name.startswith(b"content-")
            ],
            "state": {**inherited, "again": True},
        }

        async def refused(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                message["status"] = status
            await send(message)

        try:
            await router(cast("HTTPScope", inner), _empty, refused)
        except HTTPException as error:
            log.exception("a route names a page for its form that does not exist", form=path, exc_info=error)
            response = _as_json(problem_of(error))
            await response.to_asgi_response(None, Request(scope))(scope, receive, send)

    return run


ROUTED = frozenset({"route_handler", "path_template", "_litestar"})  # what routing adds to a scope
INHERITED_STATE = frozenset({"request_id", "form", "started", "work"})


async def _empty() -> HTTPRequestEvent:
    return {"type": "http.request", "body": b"", "more_body": False}


# Litestar types the handlers of exceptions for any request; it passes them the app's own class.
EXCEPTION_HANDLERS: ExceptionHandlersMap = dict.fromkeys(
    (HTTPException, 500), cast("ExceptionHandler[Exception]", handle_exception)
)
