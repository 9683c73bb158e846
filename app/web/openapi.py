"""Builds the OpenAPI 3.1 document from the types of the handlers, and adds what content negotiation adds:
forms, pages and problems. `SchemaController` serves it as a page and as JSON."""

from typing import Any

import msgspec
from litestar import Controller, Litestar, get
from litestar._openapi.datastructures import OpenAPIContext
from litestar._openapi.path_item import create_path_item_for_route
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, License, Reference, SecurityScheme
from litestar.response import Response
from litestar.routes import HTTPRoute

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
PROBLEM = {
    "type": "object",
    "required": ["title", "status"],
    "properties": {
        "type": {"type": "string", "default": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": {"type": "string"}},
        "current": {"description": "The current state, for a conflict."},
    },
}
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
    )


def build_document(app: Litestar) -> dict[str, Any]:
    """The OpenAPI document of every route of the app."""
    settings = config()
    context = OpenAPIContext(openapi_config=settings, plugins=app.plugins.openapi)
    root = settings.to_openapi_schema()
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    root.paths = {route.path_format or "/": create_path_item_for_route(context, route) for route in routes}
    root.components.schemas = context.schema_registry.generate_components_schemas()
    built: dict[str, Any] = root.to_schema()
    built["components"].setdefault("schemas", {})["Problem"] = PROBLEM
    for route in routes:
        for method, (handler, _) in route.route_handler_map.items():
            operation = built["paths"][route.path_format or "/"].get(method.lower())
            if operation is not None:
                _complete(operation, handler, method)
    built["paths"] = {path: item for path, item in built["paths"].items() if item}
    return built


def _complete(operation: dict[str, Any], handler: HTTPRouteHandler, method: str) -> None:
    responses = operation.setdefault("responses", {})
    responses.pop("400", None)
    _pages(responses, handler, method)
    _bodies(operation, handler)
    public = bool(handler.opt.get("public"))
    operation["security"] = [{}] if public else SECURITY
    for status in _refusals(handler, method, public):
        responses[status] = {
            "description": REFUSALS[status],
            "content": {content_negotiation.PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }


def _pages(responses: dict[str, Any], handler: HTTPRouteHandler, method: str) -> None:
    """Adds the responses for browsers: a page, a fragment, or a redirect."""
    answer = handler.parsed_fn_signature.return_type
    if answer.is_subclass_of(Saved):
        success = responses.get("201") or responses.get("200")
        if success:
            responses.setdefault("200", {**success, "description": "Saved."})
            if handler.opt.get("fragment"):
                responses["200"].setdefault("content", {})[content_negotiation.HTML] = {
                    "schema": {"type": "string"}
                }
        responses["204"] = {"description": "Done, without data."}
        responses["303"] = {"description": "Saved; redirects a browser to the next page."}
        return
    if content_negotiation.HTML in offers(handler) and (
        not answer.is_subclass_of(Response) or answer.is_subclass_of(Shaped)
    ):
        for status, response in responses.items():
            if status.startswith("2"):
                response.setdefault("content", {})[content_negotiation.HTML] = {"schema": {"type": "string"}}
    if method == "GET" and handler.opt.get("public"):
        responses.pop("401", None)


def _bodies(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    """Adds the media types of forms, which fill the same struct as JSON."""
    content = operation.get("requestBody", {}).get("content", {})
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
        return page_of(openapi_document(request.app))

    @get("/openapi.json", guards=[signed_in], sync_to_thread=False, produces=content_negotiation.JSON)
    def openapi(self, request: Request) -> Response[dict[str, Any]]:
        """This API as an OpenAPI 3.1 document."""
        return Response(openapi_document(request.app), media_type=MediaType.JSON)


def openapi_document(app: Litestar) -> dict[str, Any]:
    """The document, built once for each app."""
    if "openapi" not in app.state:
        app.state["openapi"] = build_document(app)
    built: dict[str, Any] = app.state["openapi"]
    return built


def page_of(built: dict[str, Any]) -> SchemaPage:
    """The page that lists the operations of the document."""
    groups: dict[str, list[RouteLine]] = {}
    for path, item in sorted(built["paths"].items()):
        group = path.split("/")[1] or "overview"
        for method, operation in item.items():
            if method in ("get", "post", "put", "patch", "delete"):
                body = sorted(operation.get("requestBody", {}).get("content", {}))
                public = operation.get("security") == [{}]
                line = RouteLine(
                    method.upper(), path, operation["summary"], operation.get("description", ""), body, public
                )
                groups.setdefault(group, []).append(line)
    return SchemaPage(built["info"]["title"], built["info"]["version"], groups)
