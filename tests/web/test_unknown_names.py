"""A name that a route does not know is refused, wherever it is sent: nothing is done without it."""

import re
from typing import Any

import pytest

from app.engine.core.steps import KINDS
from app.engine.core.triggers import TRIGGERS
from tests.support.builder_kit import new_workflow
from tests.support.pages import Page
from tests.support.routes import routes_of
from tests.support.sample_account import Cast, cast_of
from tests.support.web_kit import HTML, JSON, OWN, PARTIAL
from tests.support.world import World

NO_FIELD = "There is no such field. Remove it."
GROUP = (
    '{"type":"group","match":"all","items":[{"type":"predicate","field":"city","op":"is","value":"Oslo"}]}'
)


async def jobs(world: World, cast: Cast) -> int:
    [row] = await world.sql("select count(*) from jobs where account_id = $1", cast.account)
    return int(row["count"])


@pytest.mark.parametrize("encoding", ["json", "urlencoded", "multipart"])
@pytest.mark.parametrize("wrong", ["filter", "query", "ids.0", "f.0", "inputs.x"])
async def test_misnamed_condition_changes_no_contact(world: World, encoding: str, wrong: str) -> None:
    """`all` with a condition that is not read would tag every contact."""
    cast = await cast_of(world)
    body = {"all": "true", "tag": "vip", wrong: "city:is:Oslo"}
    async with world.script(cast.owner) as script:
        before = await jobs(world, cast)
        ways: dict[str, dict[str, Any]] = {
            "json": {"json": body | {"all": True}},
            "urlencoded": {"data": body},
            "multipart": {"files": [(name, (None, text)) for name, text in body.items()]},
        }
        refused = await script.post("/contacts/bulk/tags", **ways[encoding])
        assert (refused.status_code, refused.json()["errors"]) == (422, {wrong: NO_FIELD})
        assert await jobs(world, cast) == before


@pytest.mark.parametrize("headers", [HTML, PARTIAL])
async def test_browser_form_with_an_unknown_name_is_refused(world: World, headers: dict[str, str]) -> None:
    cast = await cast_of(world)
    async with world.browser(cast.owner) as browser:
        refused = await browser.post(
            f"/workflows/{cast.workflow}", data={"name": "New", "descripton": "typo"}, headers=headers
        )
        assert (refused.status_code, NO_FIELD in refused.text) == (422, True)
    [row] = await world.sql("select name from workflows where id = $1", cast.workflow)
    assert row["name"] != "New"


async def test_permission_is_checked_before_names(world: World) -> None:
    cast = await cast_of(world)
    viewer, stranger = await world.person("viewer", cast.account), await world.person("owner")
    for who, status in ((viewer, 403), (stranger, 422)):
        async with world.script(who) as script:
            for way in ("data", "json"):
                body: dict[str, Any] = {way: {"nam": "x"}}
                refused = await script.post(f"/tags/{cast.tag}", **body)
                assert refused.status_code == status, way


@pytest.mark.parametrize("query", ["f=city:is:Oslo", "ids=1", "name=x"])
async def test_query_string_of_a_change_is_refused(world: World, query: str) -> None:
    cast = await cast_of(world)
    async with world.script(cast.owner) as script:
        before = await jobs(world, cast)
        refused = await script.post(f"/contacts/bulk/deletion?{query}", json={"all": True})
        name = query.partition("=")[0]
        assert (refused.status_code, set(refused.json()["errors"])) == (422, {name})
        assert "Send it in the body" in refused.json()["errors"][name]
        assert await jobs(world, cast) == before


@pytest.mark.parametrize("body", [{"json": {"until": "tomorrow"}}, {"data": {"until": "tomorrow"}}])
async def test_a_route_without_a_body_takes_no_field(world: World, body: dict[str, Any]) -> None:
    cast = await cast_of(world)
    async with world.script(cast.owner) as script:
        at = f"/enrollments/{cast.enrollment}/pause"
        refused = await script.post(at, **body)
        assert (refused.status_code, refused.json()["errors"]) == (422, {"until": NO_FIELD})
        assert (await script.post(at, data={"account": str(cast.account)})).status_code == 200


def test_only_foreign_routes_accept_any_name(world: World) -> None:
    foreign = {path for _, path, handler in routes_of(world.app) if handler.opt.get("foreign")}
    assert foreign == {
        "/hooks/{token}", "/unsubscribe/{token}", "/.well-known/jwks.json", "/static/{name}", "/metrics",
        "/health/live", "/health/ready", "/health/workers",
    }  # fmt: skip


async def test_json_part_fills_the_field_it_names(world: World) -> None:
    """Sent without a file name, as curl does with `;type=application/json`, or as a blob, as browsers do."""
    owner = await world.person()
    async with world.script(owner) as script:
        at = await new_workflow(script)
        for rev, name in enumerate([None, "blob"]):
            parts: Any = [("rev", (None, str(rev))), ("filter", (name, GROUP, "application/json"))]
            saved = await script.post(f"{at}/entry", files=parts)
            assert saved.status_code == 200, saved.text
            assert saved.json()["entry"] == "City is Oslo", name
        config = b'{"kind":"send_email","subject":"Hi","body":"Hello"}'
        parts = [("kind", (None, "send_email")), ("rev", (None, "2"))]
        response = await script.post(
            f"{at}/steps", files=[*parts, ("config", ("c", config, "application/json"))]
        )
        assert response.status_code == 201, response.text
        assert response.json()["steps"][0]["config"]["subject"] == "Hi"
        wrong: Any = ("config", (None, '{"kind":"send_email","subjekt":"x"}', "application/json"))
        refused = await script.post(response.headers["location"], files=[("rev", (None, "3")), wrong])
        assert (refused.status_code, refused.json()["errors"]) == (422, {"config.subjekt": NO_FIELD})


@pytest.mark.parametrize(
    "text", ["city:is:Oslo", "[]", "1", "{", '{"a":' * 40 + "1" + "}" * 40, "[" * 100_000, "\ud800"]
)
async def test_impossible_names_are_refused_with_a_hint(world: World, text: str) -> None:
    async with world.script(await world.person()) as script:
        at = await new_workflow(script)
        body = text.encode("utf-8", "surrogatepass")
        refused = await script.post(
            f"{at}/entry", files=[("rev", (None, "0")), ("filter", ("f", body, "application/json"))]
        )
        assert (refused.status_code, set(refused.json()["errors"])) == (422, {"filter"})
        assert refused.json()["errors"]["filter"].startswith(
            "Send JSON here, or each field under its own name"
        )


async def test_json_part_and_its_fields_conflict(world: World) -> None:
    async with world.browser(await world.person()) as browser:
        response = await browser.post("/workflows", data={"name": "Both"})
        both = {"rev": "0", "filter": GROUP, "filter.type": "rows"}
        refused = await browser.post(f"{response.headers['location']}/entry", data=both)
        assert refused.status_code == 422, "and the page is drawn again"
        assert "Send JSON here" in refused.text


async def test_an_upload_refuses_a_misnamed_field(world: World) -> None:
    async with world.script(await world.person()) as script:
        files: Any = [("file", ("a.csv", b"email\na@acme.example\n", "text/csv")), ("tags", (None, "vip"))]
        refused = await script.post("/imports", files=files)
        assert refused.status_code == 422, refused.text
        assert (await script.post("/imports", files=files[:1])).status_code == 201


async def test_the_list_of_inputs_names_only_inputs(world: World) -> None:
    async with world.script(await world.person()) as script:
        at = await new_workflow(script)
        body = {"rev": "0", "inputs": "leave_when_unmatched nonsense " + ".".join("a" * 5000)}
        refused = await script.post(f"{at}/settings", data=body)
        assert (refused.status_code, refused.json()["errors"]) == (422, {"nonsense": NO_FIELD})


# Rows of a list that a form acts on: none ticked is no selection, which is refused.
SELECTIONS = {"id", "all"}


async def test_every_check_box_and_list_is_named_by_its_form(world: World) -> None:
    """Else unticking it would change nothing. Walks over all pages with forms, and every kind of step."""
    cast = await cast_of(world)
    named: set[str] = set()
    async with world.browser(cast.owner) as browser, world.script(cast.owner) as script:
        at = await new_workflow(script)
        paths = ["/", "/contacts", f"/contacts/{cast.contact}", f"/contacts/{cast.contact}/edit",
                 "/contacts/new", "/account", "/members", "/tokens", "/fields", f"/fields/{cast.field}",
                 f"/segments/{cast.segment}", f"/tasks/{cast.task}", f"{at}/entry", f"{at}/settings",
                 f"/imports/{cast.upload}", f"/workflows/{cast.workflow}/publication"]  # fmt: skip
        for place, kinds in (("steps", KINDS), ("triggers", TRIGGERS)):
            for kind in kinds:
                rev = (await script.get(at)).json()["workflow"]["rev"]
                response = await script.post(f"{at}/{place}", json={"kind": kind, "rev": rev})
                paths.append(response.headers["location"])
        for path in paths:
            page = Page((await browser.get(path)).text, path)
            for form in page.forms:
                if form.method == "POST":
                    assert form.switches - form.inputs - SELECTIONS == set(), f"{path}: {form.action}"
                    named |= form.inputs
    assert {"config.transactional", "config.window.days", "config.sources", "leave_when_unmatched"} <= named


async def test_forms_beside_the_crawl_send_only_names_that_are_read(world: World) -> None:
    """The password form, and the pages for signed-out users: each form is sent as it is rendered."""
    cast = await cast_of(world)
    async with world.client(**JSON) as client:
        await client.post("/password-reset", json={"email": cast.owner.email})
    [reset] = re.findall(r"http://[^/\s]+(/password-reset/\S+)", world.mails[-1][2])
    async with world.browser(cast.owner) as browser, world.client(**HTML, **OWN) as anonymous:
        pages = [
            (browser, "/password"),
            (anonymous, reset),
            (anonymous, "/password-reset"),
            (anonymous, "/sign-in"),
        ]
        for client, path in pages:
            drawn = Page((await client.get(path)).text, path)
            [form] = [item for item in drawn.forms if item.method == "POST" and item.inside_main]
            refused = await client.post(
                form.action, data=dict.fromkeys([*form.names, "wrong"], ""), headers=JSON
            )
            errors = refused.json()["errors"]
            assert [name for name, text in errors.items() if text == NO_FIELD] == ["wrong"], (path, errors)
