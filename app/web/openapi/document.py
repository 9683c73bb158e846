"""Builds the document: `config` for Litestar, `build_document` from its routes and `operations`."""

from collections.abc import Iterator
from typing import cast

from litestar import Litestar, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ControllerRouterHandler

from app.json_types import JsonObject
from app.web.openapi.operations import (
    body_of,
    headers,
    is_public,
    operation_id,
    read_by,
    refusals,
    responses_of,
    summary_of,
    types_of,
)
from app.web.openapi.params import parameters_of
from app.web.openapi.schemas import component_schemas
from app.web.problems import Problem

TITLE = "Switchyard"
VERSION = "0.1.0"
DESCRIPTION = (
    "Every URL returns JSON to a script and a page to a browser; this document describes the JSON. "
    "In an edit a missing field doesn't change, null clears a field, and unknown names are refused. "
    "Sign in with `POST /sessions`, or create a personal access token under *Access tokens*, and send it as "
    "`Authorization: Bearer`. Send `Accept: application/json`, or no `Accept`. A method that a URL doesn't "
    "have is refused with 405, and `Allow` names those that it has."
)
BEARER: JsonObject = {
    "type": "http",
    "scheme": "bearer",
    "description": "The `token` of `POST /sessions`, or a personal access token.",
}


def config(controller: ControllerRouterHandler) -> OpenAPIConfig:
    """What Litestar needs to know; `controller` serves the document."""
    return OpenAPIConfig(
        title=TITLE,
        version=VERSION,
        use_handler_docstrings=True,
        operation_id_creator=operation_id,
        render_plugins=[JsonRenderPlugin()],  # without one Litestar prepares its viewers
        openapi_router=SchemaRouter("/", route_handlers=[controller]),
    )


class SchemaRouter(Router):
    """Serves the controller of this package and nothing else: Litestar would add its own viewers and error
    page here."""

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        return super().register(value) if getattr(value, "path", "") == "/schema" else []


def build_document(app: Litestar) -> JsonObject:
    """The OpenAPI document of every route of the app, built once."""
    built: JsonObject | None = app.state.get("openapi")
    if built is None:
        built = app.state["openapi"] = _build(app)
    return built


def _build(app: Litestar) -> JsonObject:
    listed = cast("dict[str, dict[str, JsonObject]]", app.openapi_schema.to_schema()["paths"])
    paths: dict[str, JsonObject] = {}
    bodies: list[object] = []
    answers: list[object] = [Problem]
    for path, method, handler in _routes(app):
        if litestars := listed.get(path, {}).get(method.lower()):
            operations = paths.setdefault(path, {})
            operations[method.lower()] = _operation(litestars, handler, method, path)
            bodies += [kind for kind in (read_by(handler, method),) if kind is not None]
            answers += types_of(handler)
    return {
        "openapi": "3.1.0",
        "info": _info(),
        "servers": [{"url": "/"}],
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {
            "schemas": _schemas(bodies, answers),
            "responses": refusals(),
            "headers": headers(),
            "securitySchemes": {"bearer": BEARER},
        },
    }


def _schemas(bodies: list[object], answers: list[object]) -> JsonObject:
    schemas = component_schemas(bodies, answers)
    problem = schemas["Problem"]
    if isinstance(problem, dict) and isinstance(fields := problem["properties"], dict):
        del fields["headers"]  # they leave as headers
    return schemas


def _info() -> JsonObject:
    license_: JsonObject = {"name": "MIT", "identifier": "MIT"}
    return {"title": TITLE, "version": VERSION, "description": DESCRIPTION, "license": license_}


def _routes(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                yield route.path_format or "/", method, handler


def _operation(litestars: JsonObject, handler: HTTPRouteHandler, method: str, path: str) -> JsonObject:
    description = " ".join(str(litestars.get("description", "")).split())
    operation: JsonObject = {
        "operationId": litestars["operationId"],
        "summary": summary_of(description),
        "description": description,
        "tags": litestars.get("tags", []),
        "security": [] if is_public(handler) else [{"bearer": []}],
        "responses": responses_of(handler, method, path),
    }
    if parameters := parameters_of(handler, method, litestars.get("parameters")):
        operation["parameters"] = parameters
    if body := body_of(handler, method):
        operation["requestBody"] = body
    return operation
