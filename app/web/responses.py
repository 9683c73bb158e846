"""One handler, three formats: depending on `Accept`, the struct that a handler returns becomes a page, a
fragment or JSON.

A route declares its templates as keywords: `page=` and `fragment=` are templates that read the struct as
`page`. `form=` answers a refused form: a template, or the path of the page that contains the form, which is
rendered again with the typed values and the status of the refusal. `foreign=True` accepts any query string
and body, for callers that are other systems.

A request passes `request_checks.prepare`, the handler reads it through `Request`, and the result leaves as
`Shaped` or, after a change, as `Saved`."""

from collections.abc import Iterable, Mapping
from typing import Generic, TypedDict, TypeVar, Unpack
from urllib.parse import quote

from litestar import Litestar, Response
from litestar.background_tasks import BackgroundTask, BackgroundTasks
from litestar.datastructures import Cookie
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import ResponseCookies, ResponseHeaders, TypeEncodersMap

from app.web import content_negotiation
from app.web.disclosure import may_read
from app.web.request import Request

T = TypeVar("T")
CREATED, OK, SEE_OTHER = 201, 200, 303


class ResponseOptions(TypedDict, total=False):
    """The options of every Litestar response."""

    background: BackgroundTask | BackgroundTasks | None
    cookies: "ResponseCookies | None"
    headers: "ResponseHeaders | None"
    media_type: MediaType | str | None
    status_code: int | None


class RouteOptions(TypedDict, total=False):
    """What Litestar passes to a response from the route that returned it."""

    background: BackgroundTask | BackgroundTasks | None
    cookies: Iterable[Cookie] | None
    encoded_headers: Iterable[tuple[bytes, bytes]] | None
    headers: dict[str, str] | None
    is_head_response: bool
    media_type: MediaType | str | None
    status_code: int | None
    type_encoders: "TypeEncodersMap | None"


def offers(handler: HTTPRouteHandler) -> tuple[str, ...]:
    """The media types that a route can return, best first."""
    answer = handler.parsed_fn_signature.return_type
    if declared := handler.opt.get("produces"):
        return (declared,) if isinstance(declared, str) else tuple(declared)
    if answer.is_subclass_of(Response) and not answer.is_subclass_of(Shaped):
        return ("*/*",)
    html = handler.opt.get("page") or handler.opt.get("fragment") or answer.is_subclass_of(Saved)
    return (
        (content_negotiation.JSON, content_negotiation.HTML, content_negotiation.PROBLEM)
        if html
        else (content_negotiation.JSON, content_negotiation.PROBLEM)
    )


class Shaped(Response[T], Generic[T]):
    """Returned data in the format that the client asked for. Litestar wraps every plain return value in it; a
    handler returns one itself to choose other templates or headers than the route's."""

    def __init__(
        self, content: T, *, page: str = "", fragment: str = "", **options: Unpack[ResponseOptions]
    ) -> None:
        super().__init__(content, **options)
        self.page = page
        self.fragment = fragment

    def to_asgi_response(  # type: ignore[override]  # -- the app's own request class
        self, app: Litestar | None, request: Request, **options: Unpack[RouteOptions]
    ) -> ASGIResponse:
        if self.content is not None and not may_read(request, self.content):
            self._withhold()
        template = self.template(request)
        if template and not isinstance(self.content, (str, bytes)):
            self.content = request.app.state.templates.render(template, request, page=self.content)
            self.media_type = MediaType.HTML
        return super().to_asgi_response(app, request, **options)

    def _withhold(self) -> None:
        """Empties the body, because the caller may change this but not read it."""
        self.content, self.media_type = b"", MediaType.TEXT  # type: ignore[assignment]  # -- no body, whatever T is

    def template(self, request: Request) -> str:
        """The template to render, "" when the client wants JSON or the route has no page."""
        if not request.wants_html:
            return ""
        options = request.route_handler.opt
        fragment = self.fragment or pick(options.get("fragment", ""), request)
        if fragment and request.wants_partial:
            return fragment
        return self.page or options.get("page", "") or fragment


class Saved(Shaped[T], Generic[T]):
    """The response to a change. A browser is redirected to `see` (303). htmx gets the fragment, and `see` as
    the new URL of the page. JSON gets the data: 201 with `Location`, or 200 when `created=False`; 204 without
    data.

    `note` is a message that the next page shows once. `undo` is the URL of a restoration, which the message
    offers as a button; the button sends its query string as a form."""

    def __init__(
        self,
        content: T,
        see: str,
        *,
        created: bool | None = None,
        note: str = "",
        undo: str = "",
        push: bool = True,
        **options: Unpack[ResponseOptions],
    ) -> None:
        super().__init__(content, **options)
        self.see = see
        self.created = created
        self.note = note
        self.undo = undo
        self.push = push

    def to_asgi_response(  # type: ignore[override]  # -- the app's own request class
        self, app: Litestar | None, request: Request, **options: Unpack[RouteOptions]
    ) -> ASGIResponse:
        readable = may_read(request, self.content)
        if request.wants_html:
            self._as_html(request, readable=readable)
        else:
            self._as_json(options, readable=readable)
        return super().to_asgi_response(app, request, **options)

    def template(self, request: Request) -> str:
        """The fragment for htmx; "" for a redirect and for JSON."""
        if not request.wants_html or self.status_code == SEE_OTHER:
            return ""
        return super().template(request)

    def _as_html(self, request: Request, *, readable: bool) -> None:
        fragment = self.fragment or pick(request.route_handler.opt.get("fragment", ""), request)
        if fragment and request.wants_partial and readable:
            self.status_code = OK
            if self.push:
                self.headers["HX-Push-Url"] = self.see
            request.scope["state"] |= {"note": self.note, "undo": self.undo}
            return
        self.status_code = SEE_OTHER
        self.headers["Location"] = self.see
        self.media_type = MediaType.TEXT
        self.content = b""  # type: ignore[assignment]  # -- a redirect has no body, whatever T is
        if self.note and readable:
            value = quote(self.note) + (f"|{quote(self.undo)}" if self.undo else "")
            self.set_cookie(Cookie(key="note", value=value, max_age=60, httponly=True, samesite="lax"))

    def _as_json(self, options: RouteOptions, *, readable: bool) -> None:
        defaults_to_created = options.get("status_code") == CREATED if self.created is None else self.created
        created = self.content is not None and defaults_to_created
        if self.content is None or not (readable or created):
            self.content = None  # type: ignore[assignment]  # -- 204 has no body, whatever T is
            self.status_code, self.media_type = 204, MediaType.JSON
            return
        self.status_code = CREATED if created else OK
        if created:
            self.headers["Location"] = self.see


def pick(fragment: str | Mapping[str, str], request: Request) -> str:
    """The fragment of a route: one template, or one for each id of htmx's target, with "" for other
    targets."""
    if isinstance(fragment, str):
        return fragment
    target = content_negotiation.header(request.scope, b"hx-target").rpartition("#")[2]
    return fragment.get(target, fragment.get("", ""))
