"""Header values of webhook steps may be keys of other systems: members who may edit read them, others read
only the names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.support.crawler import Walk
from tests.support.sample_account import Cast, cast_of
from tests.support.web_kit import JSON
from tests.support.world import AccountMember, World

LIVE, DRAFT = "Bearer live-s3cr3t-1", "Bearer draft-s3cr3t-2"
BOTH = (LIVE, DRAFT)


def hook(value: str) -> dict[str, Any]:
    return {"kind": "webhook", "url": "https://crm.example/", "headers": {"Authorization": value}, "body": ""}


async def calling(world: World) -> Cast:
    """Version 2 is live and calls s5 with a key, in a lane; the draft calls it with another."""
    cast = await cast_of(world)
    at = f"/workflows/{cast.workflow}"
    async with world.script(cast.owner) as client:
        for rev, path, more in (
            (1, f"{at}/steps", {"kind": "webhook", "list": "s3.b1", "config": hook("Bearer first-s3cr3t-0")}),
            (2, f"{at}/steps/s5", {"config": hook(LIVE)}),
            (3, f"{at}/publication", {}),
            (3, f"{at}/steps/s5", {"config": hook(DRAFT)}),
        ):
            answer = await client.post(path, json={"rev": rev} | more)
            assert answer.status_code in (200, 201), answer.text
    return cast


def config_in(page: dict[str, Any]) -> dict[str, Any]:
    """That of s5, of the canvas."""
    [branch] = [step for step in page["steps"] if step["key"] == "s3"]
    [step] = branch["lanes"][0]["steps"]
    config: dict[str, Any] = step["config"]
    return config


@asynccontextmanager
async def listening(client: httpx.AsyncClient) -> AsyncIterator[list[httpx.Response]]:
    """All that it is answered."""
    answers: list[httpx.Response] = []

    async def keep(answer: httpx.Response) -> None:
        await answer.aread()
        answers.append(answer)

    client.event_hooks = {"response": [keep]}
    yield answers


def pages_with_secret(answers: list[httpx.Response]) -> set[str]:
    """The addresses that give a key away."""
    return {str(answer.url) for answer in answers if "-s3cr3t-" in answer.text}


async def test_a_viewer_finds_no_value_on_any_screen(world: World) -> None:
    cast = await calling(world)
    viewer = await world.person("viewer", cast.account)
    at = f"/workflows/{cast.workflow}"
    async with (
        world.browser(viewer) as page,
        world.script(viewer) as script,
        listening(page) as pages,
        listening(script) as responses,
    ):
        await Walk().all(page, script)
        builder = (await script.get(at)).json()
        sheet = (await script.get(f"{at}/steps/s5")).json()["sheet"]["values"]["config"]
        version = (await script.get(f"{at}/versions/2")).json()
        plan = (await script.get(f"{at}/publication")).json()["plan"]
        drawn = await page.get(f"{at}/steps/s5")
        await page.get(f"{at}/versions/2")
        await page.get(f"{at}/publication")
    assert len(pages) > 20
    assert pages_with_secret(pages) == pages_with_secret(responses) == set()
    for config in (config_in(builder), sheet, config_in(version)):
        assert config["headers"] == {"Authorization": "•••"}
    assert sheet["more_headers"] == [{"name": "Authorization", "value": "•••"}]
    [branch] = [step for step in version["document"]["steps"] if step["key"] == "s3"]
    assert branch["lanes"]["b1"][0]["config"]["headers"] == {"Authorization": "•••"}
    assert "Authorization" in drawn.text
    assert "•••" in drawn.text
    hidden = "headers: {'Authorization': '•••'}"
    assert [(line["key"], line["before"], line["after"]) for line in plan] == [("s5", hidden, hidden)]


@pytest.mark.parametrize("role", ["operator", "owner"])
async def test_editor_reads_and_keeps_the_value(world: World, role: str) -> None:
    cast = await calling(world)
    who = cast.owner if role == "owner" else await world.person(role, cast.account)
    at = f"/workflows/{cast.workflow}"
    async with world.browser(who) as page, world.script(who) as script:
        builder = (await script.get(at)).json()
        assert config_in(builder)["headers"] == {"Authorization": DRAFT}
        version = (await script.get(f"{at}/versions/2")).json()
        assert config_in(version)["headers"] == {"Authorization": LIVE}
        assert LIVE in str(version["document"])
        plan = (await script.get(f"{at}/publication")).text
        assert all(value in plan for value in BOTH)
        drawn = (await page.get(f"{at}/steps/s5")).text
        assert f'value="{DRAFT}"' in drawn
        assert "•••" not in drawn


async def test_no_log_keeps_a_value(world: World) -> None:
    cast = await calling(world)
    async with (
        world.browser(cast.owner) as page,
        world.script(cast.owner) as script,
        listening(page) as pages,
        listening(script) as responses,
    ):
        await page.get("/audit")
        entries = (await script.get("/audit")).json()["items"]
    assert pages_with_secret(pages) == pages_with_secret(responses) == set()
    noted = [change for entry in entries for change in entry["changes"] if change["field"] == "headers"]
    hidden = {"Authorization": "•••"}
    assert [(change["before"], change["after"]) for change in noted] == [(hidden, hidden)] * 2
    rows = await world.sql(
        "select changes::text as changes from audit_logs where account_id = $1", cast.account
    )
    assert not any("-s3cr3t-" in row["changes"] for row in rows)


async def test_a_token_that_may_only_publish_reads_no_value(world: World) -> None:
    """Not even of the draft that a refused publication answers with."""
    cast = await calling(world)
    token = await scoped_token(world, cast.owner, "view", "workflows:publish")
    async with world.client(**JSON, authorization=f"Bearer {token}") as client:
        stale = await client.post(f"/workflows/{cast.workflow}/publication", json={"rev": 1})
        assert stale.status_code == 409
        assert "-s3cr3t-" not in stale.text
        assert "•••" in stale.text
    async with world.script(cast.owner) as client:
        stale = await client.post(f"/workflows/{cast.workflow}/publication", json={"rev": 1})
        assert DRAFT in stale.text


async def scoped_token(world: World, who: AccountMember, *scopes: str) -> str:
    """A personal access token that may no more than this."""
    async with world.script(who) as client:
        response = await client.post("/tokens", json={"name": "narrow", "scopes": scopes})
        assert response.status_code == 201, response.text
        token: str = response.json()["token"]
        return token
