"""One handler, three formats: depending on `Accept`, the struct that a handler returns becomes a page, a
fragment or JSON.

A route declares its templates as keywords: `page=` and `fragment=` are templates that read the struct as
`page`. `form=` answers a refused form: a template, or the path of the page that contains the form, which is
rendered again with the typed values and the status of the refusal. `foreign=True` accepts any query string
and body, for callers that are other systems.

A request passes `prepare`, the handler reads it through `Request`, and the result leaves as `Shaped` or,
after a change, as `Saved`."""

from collections.abc import AsyncGenerator
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
from litestar import Request as LitestarRequest
from litestar import Response
from litestar.datastructures import Cookie, FormMultiDict, State
from litestar.enums import MediaType
from litestar.exceptions import ClientException, HTTPException
from litestar.exceptions.http_exceptions import InternalServerException, RequestEntityTooLarge
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Empty

from app.errors import Conflict, Invalid
from app.web import body_limits, content_negotiation, forms
from app.web.body_limits import TooLarge, limits_of, longest, oversized
from app.web.disclosure import may_read
from app.work import Principal

T = TypeVar("T")
EMPTY_BODY = b"{}"
PARTS_REFUSED = "Request Entity Too Large"  # Litestar's 400 for too many parts, or too much before one
UTF8 = frozenset({"utf-8", "utf8"})
CREATED, OK, SEE_OTHER = 201, 200, 303


class UnsupportedMedia(HTTPException):
    """The body has a media type that this route cannot read (415)."""

    status_code = 415


class ClientGone(HTTPException):
    """The client closed the connection before its body was complete, so no response reaches it (499)."""

    status_code = 499


class NotAcceptable(HTTPException):
    """The client accepts none of the media types that this route can return (406)."""

    status_code = 406


class Request(LitestarRequest[Principal | None, Principal | None, State]):
    """A request whose body becomes one struct, from JSON (strictly) or an urlencoded or multipart form."""

    @property
    def wants_html(self) -> bool:
        """Whether the response is a page or a fragment rather than JSON."""
        return content_negotiation.wants_html(self.scope)

    @property
    def wants_partial(self) -> bool:
        """Whether htmx wants only a fragment, without the page around it."""
        return content_negotiation.wants_partial(self.scope)

    @property
    def principal(self) -> Principal | None:
        """The signed-in caller; None on public routes."""
        me: Principal | None = self.scope.get("auth")
        return me

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body in chunks. Raises `TooLarge` when it exceeds the limit of its type, whatever its
        Content-Length, and `ClientGone` when it breaks off."""
        most, length = longest(self.route_handler, self.content_type[0]), 0
        try:
            async for chunk in super().stream():
                length += len(chunk)
                if length > most:
                    raise oversized(most)
                yield chunk
        except RequestEntityTooLarge as error:
            raise oversized(most) from error
        except InternalServerException:
            if self.scope["state"].get("client_gone"):
                raise ClientGone("The client closed the connection.") from None
            raise

    async def form(self) -> FormMultiDict:
        """The fields of a form. Raises 400 for text that is not UTF-8, in which Litestar would replace
        characters."""
        connection = self._connection_state
        fresh = connection.form is Empty
        try:
            if fresh and self.content_type[0] == content_negotiation.URLENCODED:
                connection.form = dict(
                    body_limits.read_urlencoded(await self.body(), limits_of(self.route_handler).fields)
                )
            form = await super().form()
        except (UnicodeDecodeError, LookupError) as error:
            raise ClientException("The form can't be read: send its text as UTF-8.") from error
        except ClientException as error:
            if error.detail == PARTS_REFUSED:
                raise TooLarge(f"{body_limits.PARTS:,} fields with short headers") from error
            raise
        if fresh:
            body_limits.check_names(form, limits_of(self.route_handler).fields)
        return form

    async def body(self) -> bytes:
        """The body; a missing body is `{}`, which fills a struct of defaults. JSON over the limits of the
        route is refused before it is decoded."""
        connection = self._connection_state
        if connection.form is not Empty and connection.body is Empty:
            return EMPTY_BODY  # a multipart form was read as a stream; json() takes the form
        fresh = connection.body is Empty
        body = await super().body() or EMPTY_BODY
        if fresh and self.content_type[0] not in content_negotiation.FORMS:
            body_limits.check_json(body, limits_of(self.route_handler))
        return body

    async def json(self) -> Any:
        """The body as the type of the handler's `data`. Raises `Invalid`, or 400 for invalid JSON."""
        field = self.route_handler.parsed_fn_signature.parameters.get("data")
        return await self.read(Any if field is None else field.annotation)

    async def read(self, kind: Any) -> Any:
        """The body as `kind`. Raises `Invalid`, or 400 for invalid JSON."""
        if self.content_type[0] in content_negotiation.FORMS:
            return forms.read_form(await self.form(), kind)
        try:
            return forms.read_json(await self.body(), kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ClientException(f"The body isn't valid JSON: {error}") from error

    def typed(self) -> dict[str, Any]:
        """The typed texts of the form, to show them again; empty when no form was read."""
        form = self._connection_state.form
        return forms.typed_values(self._form_dict(form)) if isinstance(form, dict) else {}

    @staticmethod
    def _form_dict(form: dict[str, Any]) -> Any:
        from litestar.datastructures.multi_dicts import FormMultiDict

        return FormMultiDict.from_form_data(form)


async def prepare(request: Request) -> None:
    """App-wide `before_request`. Refuses a request before the handler runs if the route can't answer or read
    it (406, 413, 415), if its form belongs to another account than the current one (409), or if it has
    unknown names in the query string or in the body of a route that reads none (422)."""
    handler = request.route_handler
    if not content_negotiation.acceptable(request.scope, offers(handler)):
        raise NotAcceptable(f"This URL can return {' or '.join(offers(handler))}.")
    if request.method not in content_negotiation.UNSAFE:
        return
    _refuse_query(request)
    kind, options = request.content_type
    if (
        not kind
        and not request.content_length
        and not content_negotiation.header(request.scope, b"transfer-encoding")
    ):
        return
    if kind not in readable(handler):
        raise UnsupportedMedia(f"Send {' or '.join(readable(handler))}.")
    if (
        kind != content_negotiation.MULTIPART
        and options.get("charset", "utf-8").strip("'\"").lower() not in UTF8
    ):
        raise UnsupportedMedia("Send the text as UTF-8; other encodings aren't supported.")
    if check_first := handler.opt.get("before_body"):
        await check_first(request)
    most = longest(handler, kind)
    if (request.content_length or 0) > most:
        raise oversized(most)
    if kind in content_negotiation.FORMS:
        _same_account(request, (await request.form()).get("account"))
    if reads_nothing(handler):
        await request.read(Nothing)


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a route that reads none."""


def reads_nothing(handler: HTTPRouteHandler) -> bool:
    """Whether a route reads no body; routes for foreign callers read it themselves."""
    return not handler.opt.get("foreign") and "data" not in handler.parsed_fn_signature.parameters


def _refuse_query(request: Request) -> None:
    """Refuses query parameters of a change: they would have no effect, and belong in the body."""
    if request.route_handler.opt.get("foreign"):
        return
    parameters = request.route_handler.parsed_fn_signature.parameters.keys()
    if unknown := [name for name in dict(request.query_params) if name not in parameters]:
        raise Invalid(dict.fromkeys(unknown, "This URL takes no such parameter. Send it in the body."))


def _same_account(request: Request, account: Any) -> None:
    me = request.principal
    if me is not None and account and str(account) != str(me.account_id):
        raise Conflict(
            f"This form belongs to another account. You're now in {me.account_name}. "
            "Nothing was saved. Switch back, or open the page again.",
            current={"account_id": str(me.account_id), "account_name": me.account_name},
        )


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


def readable(handler: HTTPRouteHandler) -> tuple[str, ...]:
    """The media types that a route can read a body from."""
    if handler.opt.get("reads"):
        return (str(handler.opt["reads"]),)
    field = handler.parsed_fn_signature.parameters.get("data")
    declared = getattr(field.kwarg_definition, "media_type", None) if field else None
    if declared == content_negotiation.MULTIPART:
        return (content_negotiation.MULTIPART,)
    return (content_negotiation.JSON, content_negotiation.URLENCODED, content_negotiation.MULTIPART)


class Shaped(Response[T], Generic[T]):
    """Returned data in the format that the client asked for. Litestar wraps every plain return value in it; a
    handler returns one itself to choose other templates or headers than the route's."""

    def __init__(self, content: T, *, page: str = "", fragment: str = "", **options: Any) -> None:
        super().__init__(content, **options)
        self.page = page
        self.fragment = fragment

    def to_asgi_response(self, app: Any, request: Any, **options: Any) -> ASGIResponse:
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
        **options: Any,
    ) -> None:
        super().__init__(content, **options)
        self.see = see
        self.created = created
        self.note = note
        self.undo = undo
        self.push = push

    def to_asgi_response(self, app: Any, request: Any, **options: Any) -> ASGIResponse:
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

    def _as_json(self, options: dict[str, Any], *, readable: bool) -> None:
        defaults_to_created = options.get("status_code") == CREATED if self.created is None else self.created
        created = self.content is not None and defaults_to_created
        if self.content is None or not (readable or created):
            self.content = None  # type: ignore[assignment]  # -- 204 has no body, whatever T is
            self.status_code, self.media_type = 204, MediaType.JSON
            return
        self.status_code = CREATED if created else OK
        if created:
            self.headers["Location"] = self.see


def pick(fragment: Any, request: Request) -> str:
    """The fragment of a route: one template, or one for each id of htmx's target, with "" for other
    targets."""
    if isinstance(fragment, str):
        return fragment
    target = content_negotiation.header(request.scope, b"hx-target").rpartition("#")[2]
    return str(fragment.get(target, fragment.get("", "")))
