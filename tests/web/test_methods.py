"""PATCH and DELETE do what the forms do with POST, under the same checks."""

from typing import Any

import pytest

from tests.support.builder_kit import insert, new_workflow
from tests.support.sample_account import cast_of
from tests.support.web_kit import BASE, HTML, JSON, PARTIAL
from tests.support.world import World

NO_FIELD = "There is no such field. Remove it."


async def test_patch_changes_what_it_sends_and_answers_the_resource(world: World) -> None:
    cast = await cast_of(world)
    async with world.script(cast.owner) as script:
        contact = f"/contacts/{cast.contact}"
        before = (await script.get(contact)).json()["contact"]
        patched = await script.patch(contact, json={"city": "Bergen", "rev": before["rev"]})
        assert (patched.status_code, "location" in patched.headers) == (200, False)
        after = (await script.get(contact)).json()["contact"]
        assert (after["city"], after["last_name"]) == ("Bergen", before["last_name"])
        outdated = await script.patch(contact, json={"city": "Rome", "rev": before["rev"]})
        assert (outdated.status_code, outdated.json()["current"]["city"]) == (409, "Bergen")
        unknown = await script.patch(contact, json={"town": "Rome"})
        assert (unknown.status_code, unknown.json()["errors"]) == (422, {"town": NO_FIELD})
        assert (await script.patch("/account", json={"name": "Acme & Co"})).json()["account"][
            "name"
        ] == "Acme & Co"
        assert (await script.patch(f"/tags/{cast.tag}", json={"name": "gold"})).json()["tag"][
            "name"
        ] == "gold"


async def test_patch_changes_the_role_of_a_member(world: World) -> None:
    owner = await world.person()
    viewer = await world.person("viewer", owner.account_id)
    async with world.script(owner) as script:
        for method, path in (
            ("PATCH", f"/members/{viewer.user_id}"),
            ("POST", f"/members/{viewer.user_id}/role"),
        ):
            role = "operator" if method == "PATCH" else "viewer"
            changed = await script.request(method, path, json={"role": role})
            assert (changed.status_code, changed.json()["member"]["role"]) == (200, role)


async def test_delete_answers_as_the_form_does(world: World) -> None:
    """With what can be restored, or with 204."""
    cast = await cast_of(world)
    async with world.script(cast.owner) as script:
        contact = f"/contacts/{cast.contact}"
        deleted = await script.delete(contact)
        assert deleted.status_code == 200
        assert "restore" in [action["name"] for action in deleted.json()["actions"]]
        assert (await script.get(contact)).json()["contact"]["deleted_at"] is not None
        tag = (await script.post("/tags", json={"name": "short-lived"})).json()["tag"]["id"]
        gone = await script.delete(f"/tags/{tag}")
        assert (gone.status_code, gone.content) == (204, b"")
        assert (await script.delete(f"/tags/{tag}")).status_code == 404


async def test_delete_takes_its_fields_in_the_query(world: World) -> None:
    async with world.script(await world.person()) as script:
        at = await new_workflow(script)
        page = await insert(script, at, 0, "exit")
        step, rev = f"{at}/steps/{page['sheet']['key']}", page["workflow"]["rev"]
        assert (await script.delete(step)).json()["errors"].keys() == {"rev"}
        assert (await script.delete(step, params={"rev": "one"})).json()["errors"].keys() == {"rev"}
        unknown = await script.delete(step, params={"rev": rev, "revision": 1})
        assert (unknown.status_code, unknown.json()["errors"].keys()) == (422, {"revision"})
        assert (await script.delete(step, params={"rev": rev - 1})).status_code == 409
        assert (await script.delete(step, params={"rev": rev})).json()["steps"] == []
        tag = (await script.post("/tags", json={"name": "vip"})).json()["tag"]["id"]
        refused = await script.delete(f"/tags/{tag}", params={"expected": 5})
        assert refused.status_code == 409
        assert (await script.delete(f"/tags/{tag}", params={"expected": 0})).status_code == 204


@pytest.mark.parametrize("body", [{"json": {"expected": 0}}, {"data": {"expected": 0}}, {"content": b"x"}])
async def test_delete_refuses_a_body(world: World, body: dict[str, Any]) -> None:
    """Some proxies drop it, and a confirmation would be lost with it."""
    cast = await cast_of(world)
    async with world.script(cast.owner) as script:
        refused = await script.request("DELETE", f"/tags/{cast.tag}", **body)
        assert (refused.status_code, "in the query" in refused.json()["detail"]) == (415, True)
        headers = {"content-type": "application/json"}
        assert (await script.delete(f"/notes/{cast.note}", headers=headers)).status_code == 200


async def test_browsers_and_htmx_may_send_them_too(world: World) -> None:
    cast = await cast_of(world)
    async with world.browser(cast.owner) as browser:
        tag = f"/tags/{cast.tag}"
        saved = await browser.patch(tag, data={"name": "gold"}, headers=HTML)
        assert (saved.status_code, saved.headers["location"]) == (303, "/tags")
        refused = await browser.patch(tag, data={"name": ""}, headers=HTML)
        assert (refused.status_code, "1 to 60 characters" in refused.text) == (422, True)
        path = f"/contacts/{cast.contact}/fields/city"
        drawn = await browser.patch(path, data={"value": "Bergen"}, headers=PARTIAL)
        assert (drawn.status_code, "Bergen" in drawn.text) == (200, True)
        away = await browser.delete(f"/notes/{cast.note}", headers=HTML)
        assert (away.status_code, away.headers["location"]) == (303, f"/contacts/{cast.contact}")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_foreign_origin_is_refused_and_asks_in_vain(world: World, method: str) -> None:
    cast = await cast_of(world)
    path = f"/tags/{cast.tag}"
    async with world.browser(cast.owner) as browser:
        foreign = {"origin": "https://evil.example"}
        assert (await browser.request(method, path, headers=foreign)).status_code == 403
        ask = foreign | {"access-control-request-method": method}
        assert (await browser.request("OPTIONS", path, headers=ask)).status_code == 403
        own = await browser.request("OPTIONS", path, headers=ask | {"origin": BASE})
        assert method in own.headers["access-control-allow-methods"]
        assert (await browser.get(path, headers=JSON)).json()["tag"]["name"] == "vip"


async def test_no_header_or_field_replaces_the_method(world: World) -> None:
    cast = await cast_of(world)
    async with world.script(cast.owner) as script:
        path = f"/tags/{cast.tag}"
        override = {"x-http-method-override": "DELETE"}
        assert (await script.post(path, json={"name": "still"}, headers=override)).status_code == 200
        refused = await script.post(path, data={"name": "still", "_method": "DELETE"})
        assert (refused.status_code, refused.json()["errors"]) == (422, {"_method": NO_FIELD})
        assert (await script.get(path)).json()["tag"]["name"] == "still"


async def test_allow_names_the_methods_of_an_address(world: World) -> None:
    cast = await cast_of(world)
    async with world.script(cast.owner) as script:
        refused = await script.put(f"/tags/{cast.tag}", json={})
        assert refused.status_code == 405
        assert {"GET", "POST", "PATCH", "DELETE"} <= set(refused.headers["allow"].replace(",", " ").split())


async def test_the_body_of_a_patch_has_the_limits_of_the_form(world: World) -> None:
    cast = await cast_of(world)
    async with world.script(cast.owner) as script:
        for method in ("POST", "PATCH"):
            large = await script.request(method, f"/tags/{cast.tag}", data={"name": "x" * 70_000})
            assert large.status_code == 413, method
