"""The document of the API is valid, whole, and made for generators."""

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.web.content_negotiation import UNSAFE
from app.web.openapi.document import VERSION, build_document
from app.web.responses import Saved
from tests.support.routes import PUBLIC, routes_of
from tests.support.web_kit import HTML, JSON
from tests.support.world import World


@pytest.fixture(scope="module")
def document(app: Litestar) -> dict[str, Any]:
    return build_document(app)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of the document, at any depth."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from parts(inner)


def handlers(app: Litestar) -> dict[tuple[str, str], HTTPRouteHandler]:
    return {(method, path): handler for method, path, handler in routes_of(app)}


def test_the_document_is_valid_and_covers_every_route(world: World, document: dict[str, Any]) -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert document["openapi"].startswith("3.1")
    documented = {(method, path) for method, path, _ in operations(document)}
    assert handlers(world.app).keys() - documented == {("GET", "/static/{name}")}, "the files of the pages"
    assert documented <= handlers(world.app).keys()


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
    "/contacts/filter": "it answers a URL; to make a tag it asks for contacts:edit",
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


def test_delete_takes_its_fields_in_the_query(world: World, document: dict[str, Any]) -> None:
    taken = {}
    for method, path, operation in operations(document):
        if method == "DELETE":
            handler = handlers(world.app)[method, path]
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
        if path in ASKED_BY_NAME and method in UNSAFE:
            assert (method, names) == ("POST", ["view"]), f"{path} is no exception anymore"
        elif method in UNSAFE and not handler.opt.get("public"):
            assert names != ["view"], f"{method} {path} changes something with no more than view"


def test_names_are_unique_short_and_speakable(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {name: schema["title"] for name, schema in schemas.items()} == {name: name for name in schemas}
    assert [name for name in schemas if not re.fullmatch(r"[A-Z][A-Za-z0-9]+", name)] == [], (
        "two structs have this name; rename one"
    )
    assert len({name.lower() for name in schemas}) == len(schemas), "files on some systems ignore case"
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert [name for name, count in Counter(map(str.lower, ids)).items() if count > 1] == []
    assert [name for name in ids if not re.fullmatch(r"[a-z]+[A-Za-z0-9]{1,40}", name)] == []


def test_ids_say_what_an_operation_does(document: dict[str, Any]) -> None:
    ids = {(method, path): operation["operationId"] for method, path, operation in operations(document)}
    assert ids["GET", "/"] == "getOverview"
    assert ids["GET", "/contacts"] == "getContacts"
    assert ids["GET", "/contacts/{contact_id}"] == "getContact"
    assert ids["POST", "/contacts/{contact_id}/tags/{tag_id}/deletion"] == "postContactTagDeletion"
    assert ids["GET", "/password-reset/{token}"] == "getPasswordResetToken"


def test_there_is_one_body_and_one_answer_for_scripts(document: dict[str, Any]) -> None:
    """Generators choose the first of several media types, or refuse them."""
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        if body := operation.get("requestBody"):
            uploads = path == "/imports"
            assert list(body["content"]) == ["multipart/form-data" if uploads else "application/json"], where
        successes = {status: answer for status, answer in operation["responses"].items() if status < "300"}
        assert successes, where
        assert all(len(answer.get("content", {})) <= 1 for answer in successes.values()), where
    text = str(document)
    assert "text/html" not in text
    assert "urlencoded" not in text


def test_schemas_are_what_generators_understand(document: dict[str, Any]) -> None:
    for part in parts(document):
        pattern = part.get("pattern")
        if isinstance(pattern, str):
            assert "\\Z" not in pattern, "the end of a text is $ in ECMAScript"
            assert "\\A" not in pattern
            assert "(?P" not in pattern
        assert "prefixItems" not in part, "openapi-fetch makes an array of a tuple"
        if part.get("type") == "object":
            assert "properties" in part or "additionalProperties" in part
        assert "oneOf" not in part, "values overlap: 3 is an integer and a number"
        if isinstance(part.get("discriminator"), dict):
            mapping = part["discriminator"]["mapping"]
            assert sorted(mapping.values()) == sorted(choice["$ref"] for choice in part["anyOf"])
        if isinstance(part.get("$ref"), str):
            kind, name = part["$ref"].removeprefix("#/components/").split("/")
            assert name in document["components"][kind]


def test_a_filter_value_is_valid_and_tagged_unions_have_discriminators(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    reader = OAS31Validator({"$ref": "#/components/schemas/Group", "components": document["components"]})
    condition = {"type": "predicate", "field": "fields.age", "op": "is", "value": 3}
    assert list(reader.iter_errors({"type": "group", "items": [condition]})) == []
    assert list(reader.iter_errors({"type": "group", "items": [condition | {"color": 1}]})) != []
    filters = schemas["Group"]["properties"]["items"]["items"]
    assert filters["discriminator"]["propertyName"] == "type"
    for name in ("InsertForm", "AddTriggerForm"):
        configs = [part for part in parts(schemas[name]) if "discriminator" in part]
        assert configs, f"{name} has its configs by kind"
        assert len(configs[0]["anyOf"]) > 10


def test_bodies_say_what_is_refused_and_answers_what_is_always_there(
    world: World, document: dict[str, Any]
) -> None:
    schemas = document["components"]["schemas"]
    strict = {
        cls.__name__
        for handler in handlers(world.app).values()
        if (field := handler.parsed_fn_signature.parameters.get("data"))
        and (cls := field.annotation).__struct_config__.forbid_unknown_fields
    }
    assert len(strict) > 30
    for name in strict & schemas.keys():
        assert schemas[name]["additionalProperties"] is False, name
    assert "actions" in schemas["ContactPage"]["required"]
    assert schemas["ContactForm"].get("required", []) == []
    assert schemas["ContactView"]["properties"]["created_at"] == {"type": "string", "format": "date-time"}
    assert "options" not in schemas["Field"]["required"], "the struct leaves out defaults"
    for name, part in (
        ("SelectedContacts", "actions"),
        ("SelectedContact", "actions"),
        ("ContactList", "editor"),
    ):
        assert part not in schemas[name]["required"], "it may be UNSET"
    position = schemas["InsertForm"]["properties"]["position"]
    assert position["description"] == "Default: 10000."
    fields = [field for schema in schemas.values() for field in schema.get("properties", {}).values()]
    assert [field for field in fields if "default" in field] == [], "they are words"


def test_each_operation_has_its_statuses_headers_and_security(world: World, document: dict[str, Any]) -> None:
    components = document["components"]
    for method, path, operation in operations(document):
        where, handler = f"{method} {path}", handlers(world.app)[method, path]
        answers = operation["responses"]
        assert operation["description"], f"{where} has no docstring"
        assert {"406", "500", "503"} <= set(answers), where
        if method in UNSAFE:
            assert {"403", "409", "415", "422"} <= set(answers), where
        if "requestBody" in operation:
            assert "400" in answers, where
        if handler.opt.get("public"):
            assert operation["security"] == [], where
        else:
            assert {"401", "403", "429"} <= set(answers), where
            assert operation["security"] == [{"bearer": []}], where
        if "201" in answers and handler.parsed_fn_signature.return_type.is_subclass_of(Saved):
            assert "Location" in answers["201"]["headers"], where
        for status, answer in answers.items():
            if status < "300":
                assert "X-Request-ID" in answer["headers"], where
                assert ("RateLimit" in answer["headers"]) is not handler.opt.get("public", False), where
            elif "$ref" in answer:
                refusal = components["responses"][answer["$ref"].rpartition("/")[2]]
                assert list(refusal["content"]) == ["application/problem+json"], where
    assert "Retry-After" in components["responses"]["TooManyRequests"]["headers"]
    assert "Retry-After" in components["responses"]["Unavailable"]["headers"]
    assert "WWW-Authenticate" in components["responses"]["Unauthorized"]["headers"]
    assert document["servers"] == [{"url": "/"}]


def test_a_route_that_creates_nothing_declares_200(world: World) -> None:
    """The document has the declared status; what `Saved` answers at run time has to be the same."""
    for (method, path), handler in handlers(world.app).items():
        source = inspect.getsource(handler.fn)
        helped = re.search(r"\b_?saved\(", source) and "created=True" not in source
        if helped or "created=False" in source:
            assert handler.status_code == 200, f"{method} {path}"


def test_parameters_of_lists_are_described(document: dict[str, Any]) -> None:
    shared = {"f", "match", "q", "sort", "limit", "after", "before"}
    for method, path, operation in operations(document):
        for parameter in operation.get("parameters", []):
            where = f"{method} {path} {parameter['name']}"
            assert "null" not in str(parameter["schema"]), f"{where}: a parameter is absent, not null"
            if parameter["in"] == "query" and parameter["name"] in shared:
                assert parameter.get("description"), where
    conditions = document["paths"]["/contacts"]["get"]["parameters"][1]
    assert conditions["name"] == "f"
    assert "field:operator:value" in conditions["description"]
    assert conditions["examples"]


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
