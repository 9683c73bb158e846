"""The app's `Request`: reads a body into one struct, from JSON (strictly) or a form (leniently).

Litestar calls `json` for the `data` of a handler; a handler that needs something else calls `read`. The text
of a body passes the limits of its route (`body_limits`) before anything is decoded."""

from collections.abc import AsyncGenerator, Iterable
from typing import TypeVar

import msgspec
from litestar import Request as LitestarRequest
from litestar.datastructures import FormMultiDict, State
from litestar.exceptions import ClientException, HTTPException
from litestar.exceptions.http_exceptions import InternalServerException, RequestEntityTooLarge
from litestar.types import Empty

from app.web import body_limits, content_negotiation, forms
from app.web.body_limits import TooLarge, limits_of, longest, oversized
from app.work import Principal

T = TypeVar("T")
EMPTY_BODY = b"{}"
PARTS_REFUSED = "Request Entity Too Large"  # Litestar's 400 for too many parts, or too much before one


class ClientGone(HTTPException):
    """The client closed the connection before its body was complete, so no response reaches it (499)."""

    status_code = 499


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

    async def json(self) -> msgspec.Struct:
        """The body as the struct of the handler's `data`. Raises `Invalid`, or 400 for invalid JSON."""
        struct: type[msgspec.Struct] = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        return await self.read(struct)

    async def read(self, kind: type[T]) -> T:
        """The body as `kind`, the query as `kind` for DELETE. Raises `Invalid`, or 400 for invalid JSON."""
        if self.method == "DELETE":
            return forms.read_form(FormMultiDict(self.query_params.multi_items()), kind)
        if self.content_type[0] in content_negotiation.FORMS:
            return forms.read_form(await self.form(), kind)
        try:
            return forms.read_json(await self.body(), kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ClientException(f"The body isn't valid JSON: {error}") from error

    def replace_query(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Makes these the query parameters that the handler gets."""
        self._parsed_query = self._connection_state.parsed_query = tuple(pairs)

    def typed(self) -> dict[str, str | list[str]]:
        """The typed texts of the form, to show them again; empty when no form was read."""
        form = self._connection_state.form
        return forms.typed_values(FormMultiDict.from_form_data(form)) if isinstance(form, dict) else {}
