"""Adds to Litestar's OpenAPI 3.1 document what content negotiation adds: forms, pages and problems.

`config` makes Litestar build the document from the types of the handlers, `build_document` completes it, and
`SchemaController` serves it as a page and as JSON."""

from dataclasses import replace
from typing import Any

import msgspec
from litestar import Controller, Litestar, Router, get
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    License,
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    PathItem,
    Reference,
    RequestBody,
    Responses,
    Schema,
    SecurityScheme,
)
from litestar.response import Response
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ControllerRouterHandler, Method
from litestar.types.internal_types import PathParameterDefinition

from app.web import content_negotiation
from app.web.guards import signed_in
from app.web.request import Request
from app.web.request_checks import readable
from app.web.responses import Saved, Shaped, offers

VERSION = "0.1.0"
DESCRIPTION = (
    "Every URL returns a page to a browser and JSON with the same data to a script. "
    "Send changes as JSON or as a form. Missing fields don't change, null (an empty input of a form) clears "
    "a field, and unknown names are refused. A form lists its check boxes and lists in `inputs`: a listed "
    "one that isn't sent is off or empty. "
    "Sign in with `POST /sessions`, or create a personal access token under *Access tokens*, and send it as "
    "`Authorization: Bearer`."
)
TEXT = Schema(type=OpenAPIType.STRING)
PROBLEM = Schema(
    type=OpenAPIType.OBJECT,
    required=["title", "status"],
    properties={
        "type": Schema(type=OpenAPIType.STRING, default="about:blank"),
        "title": TEXT,
        "status": Schema(type=OpenAPIType.INTEGER),
        "detail": TEXT,
        "code": TEXT,
        "instance": TEXT,
        "request_id": TEXT,
        "errors": Schema(type=OpenAPIType.OBJECT, additional_properties=TEXT),
        "current": Schema(description="The current state, for a conflict."),
    },
)
REFUSALS = {
    "401": "Not signed in.",
    "403": "Not allowed, or called from a foreign origin.",
    "404": "Not found in this account.",
    "406": "The route can't return any of the accepted types.",
    "409": "The current state doesn't allow it, or the form belongs to another account.",
    "413": "The body is too large.",
    "415": "The route can't read a body of this type.",
    "422": "Invalid fields; `errors` has a message for each.",
    "429": "The account sent too many requests.",
    "503": "The database is unavailable. Try again.",
}
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"cookie": []}]


def config() -> OpenAPIConfig:
    """The title, description and security schemes of the document."""
    schemes: dict[str, SecurityScheme | Reference] = {
        "bearer": SecurityScheme(
            type="http", scheme="bearer", description="A session's JWT or a personal token."
        ),
        "cookie": SecurityScheme(type="apiKey", security_scheme_in="cookie", name="switchyard-token"),
    }
    return OpenAPIConfig(
        title="Switchyard",
        version=VERSION,
        description=DESCRIPTION,
        license=License(name="MIT", identifier="MIT"),
        components=Components(security_schemes=schemes),
        use_handler_docstrings=True,
        operation_id_creator=_operation_id,
        render_plugins=[JsonRenderPlugin()],  # without one Litestar prepares its viewers
        openapi_router=SchemaRouter("/", route_handlers=[SchemaController]),
    )


def _operation_id(_: HTTPRouteHandler, method: Method, path: list[str | PathParameterDefinition]) -> str:
    return "_".join([method.lower(), *(part if isinstance(part, str) else part.name for part in path)])


class SchemaRouter(Router):
    """Serves `SchemaController` and nothing else: Litestar would add its own viewers and error page here."""

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        return super().register(value) if value is SchemaController else []


def build_document(app: Litestar) -> OpenAPI:
    """The OpenAPI document of every route of the app, built once."""
    if "openapi" not in app.state:
        document = app.openapi_schema
        document.components.schemas["Problem"] = PROBLEM
        for route in app.routes:
            if isinstance(route, HTTPRoute):
                _complete_path(document, route)
        app.state["openapi"] = document
    built: OpenAPI = app.state["openapi"]
    return built


def _complete_path(document: OpenAPI, route: HTTPRoute) -> None:
    item = (document.paths or {}).get(route.path_format or "/")
    for method, (handler, _) in route.route_handler_map.items():
        operation = _operations(item).get(method) if item else None
        if operation is not None:
            _complete(operation, handler, method)
            if method == "DELETE":
                _put_fields_in_query(document, operation)


def _put_fields_in_query(document: OpenAPI, operation: Operation) -> None:
    """DELETE takes the fields of its struct in the query instead of a body."""
    body, operation.request_body = operation.request_body, None
    if not isinstance(body, RequestBody):
        return
    schema = body.content[content_negotiation.JSON].schema
    if isinstance(schema, Reference):
        schema = document.components.schemas[schema.ref.rpartition("/")[2]]
    if isinstance(schema, Schema):
        needed, fields = schema.required or [], schema.properties or {}
        operation.parameters = [
            *(operation.parameters or []),
            *(Parameter(name, "query", kind, required=name in needed) for name, kind in fields.items()),
        ]


def _operations(item: PathItem) -> dict[str, Operation]:
    """The operations of a path by method."""
    by_method = {
        "GET": item.get,
        "POST": item.post,
        "PUT": item.put,
        "PATCH": item.patch,
        "DELETE": item.delete,
    }
    return {method: operation for method, operation in by_method.items() if operation is not None}


def _complete(operation: Operation, handler: HTTPRouteHandler, method: str) -> None:
    responses = operation.responses = dict(operation.responses or {})
    responses.pop("400", None)
    _add_pages(responses, handler, method)
    _add_forms(operation, handler)
    public = bool(handler.opt.get("public"))
    operation.security = [{}] if public else SECURITY
    for status in _refusals(handler, method, public):
        media = OpenAPIMediaType(schema=Reference(ref="#/components/schemas/Problem"))
        responses[status] = OpenAPIResponse(REFUSALS[status], content={content_negotiation.PROBLEM: media})


def _add_pages(responses: Responses, handler: HTTPRouteHandler, method: str) -> None:
    """Adds the responses for browsers: a page, a fragment, or a redirect."""
    answer = handler.parsed_fn_signature.return_type
    if answer.is_subclass_of(Saved):
        success = responses.get("201") or responses.get("200")
        if isinstance(success, OpenAPIResponse):
            responses.setdefault("200", replace(success, description="Saved."))
            if handler.opt.get("fragment"):
                _add_html(responses["200"])
        responses["204"] = OpenAPIResponse("Done, without data.")
        responses["303"] = OpenAPIResponse("Saved; redirects a browser to the next page.")
        return
    if content_negotiation.HTML in offers(handler) and (
        not answer.is_subclass_of(Response) or answer.is_subclass_of(Shaped)
    ):
        for status, response in responses.items():
            if status.startswith("2"):
                _add_html(response)
    if method == "GET" and handler.opt.get("public"):
        responses.pop("401", None)


def _add_html(response: OpenAPIResponse | Reference) -> None:
    if isinstance(response, OpenAPIResponse):
        page = OpenAPIMediaType(schema=TEXT)
        response.content = {**(response.content or {}), content_negotiation.HTML: page}


def _add_forms(operation: Operation, handler: HTTPRouteHandler) -> None:
    """Adds the media types of forms, which fill the same struct as JSON."""
    content = operation.request_body.content if isinstance(operation.request_body, RequestBody) else {}
    if content_negotiation.JSON in content:
        for kind in readable(handler):
            content.setdefault(kind, content[content_negotiation.JSON])


def _refusals(handler: HTTPRouteHandler, method: str, public: bool) -> list[str]:
    statuses = ["406", "503"] if public else ["401", "403", "406", "429", "503"]
    signature = handler.parsed_fn_signature.parameters
    if any("{" in path for path in handler.paths) or method != "GET":
        statuses.append("404")
    if method in content_negotiation.UNSAFE:
        statuses += ["403", "409", "413", "415", "422"]
    elif any(name not in ("work", "request", "scope") for name in signature):
        statuses.append("422")
    return sorted(set(statuses))


class RouteLine(msgspec.Struct):
    """One operation of the API in one line."""

    method: str
    path: str
    summary: str
    description: str
    body: list[str]
    public: bool


class SchemaPage(msgspec.Struct):
    """All routes, grouped by their first path segment."""

    title: str
    version: str
    groups: dict[str, list[RouteLine]]


class SchemaController(Controller):
    """Describes the API: a page for members, the document for programs."""

    path = "/schema"
    tags = ("schema",)

    @get(page="schema/index.html", guards=[signed_in], sync_to_thread=False)
    def index(self, request: Request) -> SchemaPage:
        """Every route of the API."""
        return page_of(build_document(request.app))

    @get("/openapi.json", guards=[signed_in], sync_to_thread=False, produces=content_negotiation.JSON)
    def openapi(self, request: Request) -> Response[dict[str, Any]]:  # Any: a document without a schema
        """This API as an OpenAPI 3.1 document."""
        return Response(build_document(request.app).to_schema(), media_type=MediaType.JSON)


def page_of(document: OpenAPI) -> SchemaPage:
    """The page that lists the operations of the document."""
    groups: dict[str, list[RouteLine]] = {}
    for path, item in sorted((document.paths or {}).items()):
        group = path.split("/")[1] or "overview"
        for method, operation in _operations(item).items():
            body = operation.request_body
            line = RouteLine(
                method=method,
                path=path,
                summary=operation.summary or "",
                description=operation.description or "",
                body=sorted(body.content) if isinstance(body, RequestBody) else [],
                public=operation.security == [{}],
            )
            groups.setdefault(group, []).append(line)
    return SchemaPage(document.info.title, document.info.version, groups)
