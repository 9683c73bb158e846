"""Limits the size of bodies by content type, and checks them before decoding.

A route that needs more declares it: `@post(limits=BodyLimits(form=1_000_000, fields=10_000))`. The checks
search and count bytes without building anything, so they cost about as much as reading the body once."""

import re
from array import array
from collections.abc import Iterable
from itertools import accumulate
from urllib.parse import parse_qs

import msgspec
from litestar.exceptions import ClientException, HTTPException
from litestar.handlers import HTTPRouteHandler

from app.web import content_negotiation
from app.web.formatting import size

DEPTH = 32
PER_FIELD = 10  # JSON lists and objects per field of the route: each costs more than its bytes suggest
PARTS = 1000  # parts of a multipart body, whatever the route declares
PER_NAME = 5  # dotted parts of the names in a form, per field of the route
# A JSON string, also an unterminated one. Possessive quantifiers, so that no text is scanned twice.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
OPENED, CLOSED = b"[{", b"]}"
NOT_BRACKETS = bytes(set(range(256)) - set(OPENED + CLOSED))
STEPS = bytes.maketrans(OPENED + CLOSED, b"\x01\x01\xff\xff")  # +1 and -1 as signed bytes


class TooLarge(HTTPException):
    """The body is longer, or holds more fields, than this route accepts (413)."""

    status_code = 413

    def __init__(self, most: str) -> None:
        super().__init__(detail=f"Send at most {most}.")


class BodyLimits(msgspec.Struct, frozen=True):
    """The limits of a route: bytes of a form and of JSON, the number of named fields, and the nesting depth
    of JSON. `files` allows multipart bodies up to MAX_BODY_BYTES."""

    form: int = 64_000
    json: int = 1_000_000
    fields: int = 1000
    depth: int = DEPTH
    files: bool = False


DEFAULT = BodyLimits()
LONG_TEXT = BodyLimits(form=1_000_000)  # a character of a form can take twelve bytes when escaped
DOCUMENT = BodyLimits(form=1_000_000, fields=10_000)  # a part of a workflow, with rows of conditions


def limits_of(handler: HTTPRouteHandler) -> BodyLimits:
    """The limits that a route declares, or the defaults."""
    limits: BodyLimits = handler.opt.get("limits", DEFAULT)
    return limits


def longest(handler: HTTPRouteHandler, kind: str) -> int:
    """The maximum bytes of a body of this media type."""
    most = handler.resolve_request_max_body_size() or 0
    limits = limits_of(handler)
    if kind == content_negotiation.MULTIPART and limits.files:
        return most
    by_kind = limits.form if kind in content_negotiation.FORMS else limits.json
    return min(by_kind, most) if most else by_kind


def oversized(length: int) -> TooLarge:
    """The error for a body that is longer than `length` bytes."""
    return TooLarge(size(length))


def check_json(body: bytes, limits: BodyLimits) -> None:
    """Refuses JSON that has too many keys, lists and objects in total (413) or is nested too deep (400). Most
    bodies have so few colons and brackets that counting them is enough."""
    fields, depth = limits.fields, limits.depth
    many = body.count(b":") > fields
    nested = _containers(body) > depth
    if not (many or nested):
        return
    bare = STRING.sub(b"", body)
    if many and bare.count(b":") > fields:
        raise TooLarge(f"{fields:,} fields")
    if _containers(bare) > fields * PER_FIELD:
        raise TooLarge(f"{fields * PER_FIELD:,} lists and objects")
    if nested and _depth(bare) > depth:
        raise ClientException(f"The body can't be read: it is nested more than {depth} levels deep.")


def _containers(body: bytes) -> int:
    """The number of lists and objects that the JSON opens."""
    return body.count(b"[") + body.count(b"{")


def _depth(bare: bytes) -> int:
    """The nesting depth of JSON; its strings must be removed."""
    steps = array("b", bare.translate(STEPS, NOT_BRACKETS))
    return max(accumulate(steps), default=0)


def read_urlencoded(body: bytes, fields: int) -> dict[str, list[str]]:
    """The names and values of an urlencoded form. Raises `TooLarge` for more than `fields` of them, before
    decoding; 400 for names with too many parts; `UnicodeDecodeError` for text that is not UTF-8."""
    if body.count(b"&") >= fields:
        raise TooLarge(f"{fields:,} fields")
    form = parse_qs(body.decode(), keep_blank_values=True, errors="strict")
    check_names(form, fields)
    return form


def check_names(form: Iterable[str], fields: int) -> None:
    """Refuses a form (400) with a name of more than `DEPTH` dotted parts, or with too many parts in all names
    for a route with this many fields. Call it before the form is decoded into nested values."""
    dots = [name.count(".") for name in form]
    if max(dots, default=0) >= DEPTH:
        raise ClientException(f"The form can't be read: a name has more than {DEPTH} parts.")
    if sum(dots) > fields * PER_NAME:
        raise ClientException(f"The form can't be read: its names have over {fields * PER_NAME:,} parts.")
