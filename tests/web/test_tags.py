"""Tags on the real app."""

from typing import Any

import pytest

from tests.support.crm_kit import MISSING_ID, use
from tests.support.web_kit import HTML, JSON
from tests.support.world import World


async def test_tags_are_created_renamed_counted_and_deleted(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        assert "No tags yet" in (await client.get("/tags")).text
        response = await client.post("/tags", data={"name": "  VIP  guests "})
        assert response.status_code == 303
        href = response.headers["location"]
        again = await client.post("/tags", data={"name": "vip guests"})
        assert (again.status_code, "There is already a tag named “VIP guests”." in again.text) == (422, True)
        contact = (await client.post("/contacts", json={"first_name": "Ann"}, headers=JSON)).json()["contact"]
        await client.post(f"/contacts/{contact['id']}/tags", data={"name": "Vip Guests"})
        line = (await client.get("/tags", headers=JSON)).json()["items"][0]
        assert (line["name"], line["contacts"]) == ("VIP guests", 1)
        assert (await client.get(line["href"], headers=JSON)).json()["total"] == 1
        assert (await client.post(href, data={"name": "vip Guests"})).status_code == 303
        assert "vip Guests" in (await client.get(href)).text
        await client.post("/tags", data={"name": "other"})
        assert (await client.post(href, data={"name": "OTHER"})).status_code == 422
        assert (await client.post(f"{href}/deletion")).headers["location"] == "/tags"
        page = (await client.get(f"/contacts/{contact['id']}", headers=JSON)).json()
        assert page["contact"]["tags"] == []
    assert [entry for entry in await world.audit(who.account_id) if entry[1] == "tag"] == [
        ("tag.created", "tag"), ("tag.renamed", "tag"), ("tag.created", "tag"), ("tag.deleted", "tag"),
    ]  # fmt: skip


@pytest.mark.parametrize("live", [True, False])
async def test_tag_used_by_a_live_workflow_cannot_be_deleted(world: World, live: bool) -> None:
    who = await world.person()
    async with world.script(who) as client:
        tag = (await client.post("/tags", json={"name": "vip"})).json()["tag"]
        await use(world, who, "tag", tag["id"], live=live)
        refused = await client.post(f"/tags/{tag['id']}/deletion")
        assert refused.status_code == (409 if live else 204)
        if live:
            assert refused.json()["current"][0]["name"] == "Welcome"
            page: dict[str, Any] = (await client.get(f"/tags/{tag['id']}")).json()
            assert [action["name"] for action in page["actions"]] == ["rename"]
            assert "Welcome" in (await client.get(f"/tags/{tag['id']}", headers=HTML)).text


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\u0000b", "a\tb\u200b"])
async def test_an_invalid_name_is_refused(world: World, name: str) -> None:
    async with world.script(await world.person()) as client:
        answer = await client.post("/tags", json={"name": name})
        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["name"])


async def test_viewers_read_only_and_other_accounts_find_nothing(world: World) -> None:
    owner, stranger = await world.person(), await world.person()
    viewer = await world.person("viewer", owner.account_id)
    async with world.script(owner) as client:
        tag = (await client.post("/tags", json={"name": "vip"})).json()["tag"]["id"]
    async with world.browser(viewer) as client:
        for path in ("/tags", f"/tags/{tag}", f"/tags/{tag}/deletion"):
            assert (await client.post(path, data={"name": "x"})).status_code == 403
        for path in ("/tags", f"/tags/{tag}"):
            page = await client.get(path)
            assert (page.status_code, 'method="post"' in page.text.partition("<main")[2]) == (200, False)
            assert (await client.get(path, headers=JSON)).json()["actions"] == []
    async with world.script(stranger) as client:
        assert (await client.get("/tags")).json()["items"] == []
        for tag_id in (tag, MISSING_ID, "1"):
            assert (await client.get(f"/tags/{tag_id}")).status_code == 404
            assert (await client.post(f"/tags/{tag_id}", json={"name": "x"})).status_code == 404
            assert (await client.post(f"/tags/{tag_id}/deletion")).status_code == 404
