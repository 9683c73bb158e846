"""What a request must fulfill before its handler runs: media types, query string, account, body.

`prepare` is the entry point. It refuses with 406, 413, 415, 409 or 422."""

import msgspec
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from app.errors import Conflict
from app.web import content_negotiation
from app.web.body_limits import longest, oversized
from app.web.form_decoder import FieldValue
from app.web.params import check_query
from app.web.request import Request
from app.web.responses import offers

UTF8 = frozenset({"utf-8", "utf8"})


class UnsupportedMedia(HTTPException):
    """The body has a media type that this route cannot read (415)."""

    status_code = 415


class NotAcceptable(HTTPException):
    """The client accepts none of the media types that this route can return (406)."""

    status_code = 406


async def prepare(request: Request) -> None:
    """App-wide `before_request`. Refuses a request before the handler runs if the route can't answer or read
    it (406, 413, 415), if its form belongs to another account than the current one (409), or if it has
    unknown names in the query (`params`) or in the body of a route that reads none (422)."""
    handler = request.route_handler
    if not content_negotiation.acceptable(request.scope, offers(handler)):
        raise NotAcceptable(f"This URL can return {' or '.join(offers(handler))}.")
    check_query(request)
    if request.method not in content_negotiation.UNSAFE:
        return
    kind, sends_body = request.content_type[0], _sends_body(request)
    if request.method == "DELETE":
        if sends_body:
            raise UnsupportedMedia("DELETE has no body here. Send the fields in the query: ?name=value.")
        return
    if not kind and not sends_body:
        return
    _check_media_type(request)
    if check_first := handler.opt.get("before_body"):
        await check_first(request)
    most = longest(handler, kind)
    if (request.content_length or 0) > most:
        raise oversized(most)
    if kind in content_negotiation.FORMS:
        _same_account(request, (await request.form()).get("account"))
    if reads_nothing(handler):
        await request.read(Nothing)


def _sends_body(request: Request) -> bool:
    return bool(request.content_length or content_negotiation.header(request.scope, b"transfer-encoding"))


def _check_media_type(request: Request) -> None:
    """Raises 415 for a body that the route cannot read."""
    (kind, options), kinds = request.content_type, readable(request.route_handler)
    if kind not in kinds:
        raise UnsupportedMedia(f"Send {' or '.join(kinds)}.")
    if (
        kind != content_negotiation.MULTIPART
        and options.get("charset", "utf-8").strip("'\"").lower() not in UTF8
    ):
        raise UnsupportedMedia("Send the text as UTF-8; other encodings aren't supported.")


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a route that reads none."""


def reads_nothing(handler: HTTPRouteHandler) -> bool:
    """Whether a route reads no body; routes for foreign callers read it themselves."""
    return not handler.opt.get("foreign") and "data" not in handler.parsed_fn_signature.parameters


def _same_account(request: Request, account: FieldValue | None) -> None:
    me = request.principal
    if me is not None and account and str(account) != str(me.account_id):
        raise Conflict(
            f"This form belongs to another account. You're now in {me.account_name}. "
            "Nothing was saved. Switch back, or open the page again.",
            current={"account_id": str(me.account_id), "account_name": me.account_name},
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
