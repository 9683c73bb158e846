"""Serves the document: a page for members, JSON for programs."""

import msgspec
from litestar import Controller, get
from litestar.response import Response

from app.json_types import JsonObject
from app.web import content_negotiation
from app.web.guards import signed_in
from app.web.openapi.document import TITLE, VERSION, build_document
from app.web.request import Request


class DocumentBody(msgspec.Struct):
    """A body in the document, by media type."""

    content: dict[str, object]


class DocumentOperation(msgspec.Struct, rename="camel"):
    """What the page shows of an operation in the document."""

    summary: str
    description: str
    security: list[object]
    request_body: DocumentBody | None = None


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
    def openapi(self, request: Request) -> Response[dict[str, object]]:
        """This API as an OpenAPI 3.1 document."""
        document: dict[str, object] = dict(build_document(request.app))
        return Response(document, media_type=content_negotiation.JSON)


def page_of(document: JsonObject) -> SchemaPage:
    """The page that lists the operations of the document."""
    groups: dict[str, list[RouteLine]] = {}
    paths = msgspec.convert(document["paths"], dict[str, dict[str, DocumentOperation]])
    for path, operations in paths.items():
        group = path.split("/")[1] or "overview"
        groups.setdefault(group, []).extend(
            RouteLine(
                method=method.upper(),
                path=path,
                summary=operation.summary,
                description=operation.description,
                body=sorted(operation.request_body.content) if operation.request_body else [],
                public=not operation.security,
            )
            for method, operation in operations.items()
        )
    return SchemaPage(TITLE, VERSION, groups)
