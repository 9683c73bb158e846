"""One operation of the document: its id, body, answers and headers, as a script with JSON sees them.

Forms, pages and redirects are left out: they are for browsers, and generators would mix them up with JSON.
What a handler alone knows it declares with Litestar's keywords: `status_code`, `responses` for further
successes, and `raises` for further refusals."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from types import NoneType
from typing import TypeAlias

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition

from app.json_types import Json, JsonObject
from app.web import content_negotiation
from app.web.openapi.schemas import alternatives, schema_of
from app.web.problems import Problem
from app.web.request_checks import readable
from app.web.responses import Saved, offers

SUCCESSES = {200: "Done.", 201: "Created; `Location` is its address.", 202: "Accepted."}
REFUSALS = {
    400: ("BadRequest", "The body can't be read."),
    401: ("Unauthorized", "Not signed in, or the token has expired."),
    403: ("Forbidden", "Not allowed for this role or token, or called from a foreign origin."),
    404: ("NotFound", "Not found in this account."),
    406: ("NotAcceptable", "The route can't return any of the accepted types."),
    409: ("Conflict", "The current state doesn't allow it; `current` says what is true now."),
    413: ("TooLarge", "The body is too large."),
    415: ("UnsupportedMediaType", "The route can't read a body of this type."),
    422: ("Invalid", "Invalid fields or parameters; `errors` has a message for each."),
    429: ("TooManyRequests", "Too many requests. Try again after `Retry-After`."),
    500: ("InternalError", "A mistake on the server's side; its log has it under this `request_id`."),
    503: ("Unavailable", "A part is down or busy. Nothing was saved. Try again after `Retry-After`."),
}
HEADERS: dict[str, tuple[str, str]] = {
    "X-Request-ID": ("The id of this request, also in the log.", "0198c0de000070008000000000000000"),
    "RateLimit": (
        "What is left of each limit that counts the caller: `r` requests now, all of them in `t` seconds.",
        '"token";r=299;t=1, "account";r=599;t=1',
    ),
    "RateLimit-Policy": (
        "The limits that count the caller: `q` requests in `w` seconds.",
        '"token";q=300;w=60, "account";q=600;w=60',
    ),
    "Retry-After": ("Seconds to wait.", "2"),
    "Location": ("The address of what was created.", "/contacts/0198c0de-0000-7000-8000-000000000000"),
    "WWW-Authenticate": ("How to authenticate.", 'Bearer realm="switchyard"'),
}
HEADERS_OF = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
ALWAYS = ("X-Request-ID", "Location", "Retry-After")  # where they are documented; the others may be absent
LIMITED = ("RateLimit", "RateLimit-Policy")
EXAMPLE: JsonObject = {
    "title": "Invalid",
    "status": 422,
    "detail": "Please correct: name.",
    "code": "invalid",
    "request_id": "0198c0de000070008000000000000000",
    "errors": {"name": "Enter a tag of 1 to 60 characters."},
    "instance": "/tags",
}
SENTENCE = re.compile(r"(?<=[.:;])\s")
Statuses: TypeAlias = dict[int, JsonObject]


def operation_id(_: HTTPRouteHandler, method: Method, path: list[str | PathParameterDefinition]) -> str:
    """The id of an operation, from its method and path alone: `getContacts`, `getContact`,
    `postContactDeletion`. A parameter names one of the things in the folder before it."""
    words: list[str] = []
    for part in path:
        if isinstance(part, str):
            words.append(part)
        elif words and words[-1].endswith("s") and not words[-1].endswith("ss"):
            words[-1] = words[-1][:-1]
        else:
            words.append(part.name.removesuffix("_id"))
    parts = re.split(r"[^a-zA-Z0-9]+", "-".join(words) or "overview")
    return method.lower() + "".join(part[:1].upper() + part[1:] for part in parts)


def read_by(handler: HTTPRouteHandler, method: str) -> object:
    """The struct of the body; None for routes that read none or read it themselves. DELETE has its fields in
    the query."""
    field = handler.parsed_fn_signature.parameters.get("data")
    return None if field is None or method == "DELETE" else field.annotation


def body_of(handler: HTTPRouteHandler, method: str) -> JsonObject | None:
    """The request body: as JSON, or as multipart where a file is sent."""
    struct = read_by(handler, method)
    if struct is None and not handler.opt.get("reads"):
        return None
    schema = schema_of(struct) if struct is not None else {}
    return {"content": {readable(handler)[0]: {"schema": schema}}, "required": True}


def answered(handler: HTTPRouteHandler) -> object:
    """The type that a handler returns; None for no content."""
    answer = handler.parsed_fn_signature.return_type
    if answer.is_subclass_of(Response):
        answer = answer.inner_types[0]
    return None if answer.annotation is NoneType else answer.annotation


def types_of(handler: HTTPRouteHandler) -> Iterator[object]:
    """The types of all successful answers of a handler."""
    for kind in (answered(handler), *_declared(handler)):
        yield from () if kind is None else alternatives(kind)


def _declared(handler: HTTPRouteHandler) -> list[object]:
    return [spec.data_container for spec in (handler.responses or {}).values()]


def responses_of(handler: HTTPRouteHandler, method: str, path: str) -> JsonObject:
    """The answers by status: the successes with their headers, the refusals as references."""
    statuses: JsonObject = {str(status): answer for status, answer in _successes(handler).items()}
    for status in sorted(_refusals(handler, method, path)):
        if str(status) not in statuses:
            statuses[str(status)] = {"$ref": f"#/components/responses/{REFUSALS[status][0]}"}
    return dict(sorted(statuses.items()))


def _successes(handler: HTTPRouteHandler) -> Statuses:
    kind, media, limits = answered(handler), _media(handler), () if is_public(handler) else LIMITED
    answer = handler.parsed_fn_signature.return_type
    statuses: Statuses = {}
    if kind is None:
        statuses[204] = _answer("Done, without data.", limits)
    else:
        created = handler.status_code == 201 and answer.is_subclass_of(Saved)
        location = ("Location",) if created else ()
        text = SUCCESSES.get(handler.status_code, HTTPStatus(handler.status_code).phrase)
        statuses[handler.status_code] = _answer(text, (*location, *limits), _content(kind, media))
    if answer.is_subclass_of(Saved) and not is_public(handler) and not handler.opt.get("receipt"):
        statuses.setdefault(204, _answer("Done; the token may not read the answer.", limits))
    for status, spec in (handler.responses or {}).items():
        content = _content(spec.data_container, media)
        statuses[status] = _answer(spec.description, limits, content)
    return statuses


def _media(handler: HTTPRouteHandler) -> str:
    """The media type of an answer to a script."""
    media = offers(handler)[0]
    return str(handler.media_type or content_negotiation.JSON) if media == "*/*" else media


def _content(kind: object, media: str) -> JsonObject:
    schema: Json = schema_of(kind) if media == content_negotiation.JSON else {"type": "string"}
    return {media: {"schema": schema}}


def _answer(description: str, headers: tuple[str, ...], content: JsonObject | None = None) -> JsonObject:
    named: JsonObject = {
        name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-ID", *headers)
    }
    answer: JsonObject = {"description": description, "headers": named}
    return answer | ({"content": content} if content else {})


def _refusals(handler: HTTPRouteHandler, method: str, path: str) -> set[int]:
    """The statuses of refusals that a route may answer with."""
    public, change = is_public(handler), method in content_negotiation.UNSAFE
    statuses = {406, 422, 500, 503} | {error.status_code for error in handler.raises or ()}
    statuses |= set() if public else {401, 403, 429}
    statuses |= {403, 404, 409, 415} if change else set()
    statuses |= {413} if change and method != "DELETE" else set()
    statuses |= {400} if body_of(handler, method) else set()
    statuses |= {404} if "{" in path else set()
    statuses |= {429} if handler.opt.get("before_body") else set()  # it counts attempts
    return statuses & REFUSALS.keys()


def refusals() -> JsonObject:
    """The answers that routes refer to."""
    problem: JsonObject = {content_negotiation.PROBLEM: {"schema": schema_of(Problem), "example": EXAMPLE}}
    answers: JsonObject = {}
    for status, (name, description) in REFUSALS.items():
        limits = () if status == 401 else LIMITED
        answers[name] = _answer(description, (*HEADERS_OF.get(status, ()), *limits), problem)
    return answers


def headers() -> JsonObject:
    """The headers that answers refer to."""
    return {
        name: {
            "description": text,
            "required": name in ALWAYS,
            "schema": {"type": "string"},
            "example": example,
        }
        for name, (text, example) in HEADERS.items()
    }


def is_public(handler: HTTPRouteHandler) -> bool:
    """Whether a route answers callers who aren't signed in."""
    return bool(handler.opt.get("public"))


def summary_of(description: str) -> str:
    """The first sentence of a docstring."""
    return SENTENCE.split(description, 1)[0].rstrip(".:;")
