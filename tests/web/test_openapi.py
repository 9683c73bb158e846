"""The document of the API is valid, whole, and says what negotiation adds."""

from collections.abc import Iterator
from typing import Any

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.web.content_negotiation import UNSAFE
from app.web.openapi import VERSION, build_document
from tests.support.routes import PUBLIC, routes_of
from tests.support.web_kit import HTML, JSON
from tests.support.world import World


def operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler, dict[str, Any]]]:
    paths = build_document(app).to_schema()["paths"]
    for method, path, handler in routes_of(app):
        yield method, path, handler, paths[path][method.lower()]


def test_the_document_is_valid_and_covers_every_route(world: World) -> None:
    built = build_document(world.app).to_schema()
    assert [str(error) for error in OpenAPIV31SpecValidator(built).iter_errors()] == []
    assert built["openapi"].startswith("3.1")
    for method, path, _ in routes_of(world.app):
        assert method.lower() in built["paths"][path], f"{method} {path}"


def test_every_route_has_a_policy_and_the_public_ones_are_named(world: World) -> None:
    public = set()
    for method, path, handler in routes_of(world.app):
        if handler.opt.get("public"):
            public.add((method, path))
            assert not handler.resolve_guards(), f"{method} {path} is public and guarded"
        else:
            assert handler.resolve_guards(), f"{method} {path} has no guard"
    assert public == PUBLIC


# Changes something with no more than `view`, with the reason.
ASKED_BY_NAME = {
    "/approvals/{approval_id}/answer": "whoever a step asks by name may answer; its use case says who else",
    "/notifications/reading": "one's own",
    "/notifications/{notification_id}/reading": "one's own",
}


def test_every_change_can_be_made_with_a_form(world: World) -> None:
    """Forms without a script can only GET and POST: the function of a PATCH or DELETE also has a POST."""
    posted = {function_of(handler) for method, _, handler in routes_of(world.app) if method == "POST"}
    for method, path, handler in routes_of(world.app):
        assert method in ("GET", "POST") or function_of(handler) in posted, f"{method} {path}"


# Deletions of more than one thing, which take a selection in the body and start a job.
MANY = {"/contacts/bulk/deletion"}


def test_every_update_has_a_patch_and_every_deletion_a_delete(world: World) -> None:
    routes = {(method, path): function_of(handler) for method, path, handler in routes_of(world.app)}
    for (method, path), function in routes.items():
        if method != "POST" or (method, path) in PUBLIC or path in MANY:
            continue
        if path.endswith("}"):
            assert routes.get(("PATCH", path)) is function, f"{path} has no PATCH"
        if path.endswith(("/deletion", "/revocation")):
            assert routes.get(("DELETE", path.rpartition("/")[0])) is function, f"{path} has no DELETE"


def function_of(handler: HTTPRouteHandler) -> object:
    return getattr(handler.fn, "__func__", handler.fn)


def test_delete_takes_its_fields_in_the_query(world: World) -> None:
    taken = {}
    for method, path, handler, operation in operations(world.app):
        if method == "DELETE":
            assert "requestBody" not in operation, path
            names = {field["name"] for field in operation.get("parameters", []) if field["in"] == "query"}
            form = handler.parsed_fn_signature.parameters.get("data")
            assert names == set(form.annotation.__struct_fields__ if form else ()), path
            taken[path] = names
    assert taken["/tags/{tag_id}"] == {"expected"}
    assert taken["/workflows/{workflow_id}/steps/{key}"] == {"rev"}


def test_every_change_has_a_permission(world: World) -> None:
    for method, path, handler in routes_of(world.app):
        names = [getattr(guard, "permission", None) or guard.__name__ for guard in handler.resolve_guards()]
        if path in ASKED_BY_NAME:
            assert (method, names) == ("POST", ["view"]), f"{path} is no exception anymore"
        elif method in UNSAFE and not handler.opt.get("public"):
            assert names != ["view"], f"{method} {path} changes something with no more than view"


def test_document_has_bodies_pages_errors_and_security(world: World) -> None:
    for method, path, handler, operation in operations(world.app):
        where = f"{method} {path}"
        assert operation.get("description"), f"{where} has no docstring"
        answers = operation["responses"]
        if method in UNSAFE:
            assert {"409", "415", "422"} <= set(answers), where
        if "data" in handler.parsed_fn_signature.parameters and "requestBody" in operation:
            kinds = set(operation["requestBody"]["content"])
            assert "multipart/form-data" in kinds, where
            if "application/json" in kinds:
                assert "application/x-www-form-urlencoded" in kinds, where
        if handler.opt.get("page") and method == "GET":
            assert "text/html" in answers["200"]["content"], where
        if handler.opt.get("public"):
            assert operation["security"] == [{}], where
        else:
            assert {"401", "403", "429"} <= set(answers), where
            assert operation["security"] == [{"bearer": []}, {"cookie": []}], where
        for status, answer in answers.items():
            if status >= "400":
                assert "application/problem+json" in answer["content"], f"{where} {status}"


async def test_document_requires_sign_in(world: World) -> None:
    owner = await world.person("viewer")
    async with world.script(owner) as client:
        served = await client.get("/schema/openapi.json")
        assert served.json()["info"]["version"] == VERSION
        page = await client.get("/schema", headers=HTML)
    assert "/password-reset/{token}" in page.text
    assert "http://" not in page.text.replace("http://127.0.0.1:8000", ""), "nothing from elsewhere"
    async with world.client(**JSON) as client:
        assert (await client.get("/schema/openapi.json")).status_code == 401


def test_the_version_is_the_projects() -> None:
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
