"""Every route for a caller without sign-in, without permission, and of another account."""

from typing import Any

import httpx
import pytest

from app.credentials import ACCESS_PREFIX
from app.permissions import Permission, Role, allowed
from db.ids import uuid7
from jobs.turns import drain
from tests.support.filled_account import FilledAccount, scene, snapshot
from tests.support.route_permissions import NOT_JSON, Route, guarded, live, table
from tests.support.sample_account import cast_of
from tests.support.web_kit import HTML, JSON, OWN
from tests.support.world import World

__all__ = ["scene"]

VIEWER = {permission.value for permission in allowed(Role.VIEWER)} | {"signed_in", "refuse_access_tokens"}


async def call(client: httpx.AsyncClient, route: Route, path: str) -> httpx.Response:
    if route.method == "GET":
        return await client.get(path)
    if route.method == "DELETE":
        return await client.delete(path, params=route.form)
    if client.headers.get("accept") == JSON["accept"]:
        return await client.request(route.method, path, json=route.body)
    return await client.request(route.method, path, data=route.form)


def shape_of(client: httpx.AsyncClient) -> str:
    return "JSON" if client.headers.get("accept") == JSON["accept"] else "HTML"


def speaks(client: httpx.AsyncClient, route: Route) -> bool:
    """Whether the route answers in this client's shape at all."""
    return route.path not in NOT_JSON or shape_of(client) == "HTML"


async def test_every_route_has_the_listed_policy(world: World) -> None:
    assert live(world.app) == table()


async def test_anonymous_requests_are_refused(scene: FilledAccount) -> None:
    problems = []
    for headers in (JSON, HTML):
        async with scene.world.client(**headers, **OWN) as client:
            for route in guarded():
                answer = await call(client, route, route.at(scene.ids))
                to_sign_in = answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")
                fine = answer.status_code == 401 or (headers is HTML and to_sign_in)
                if not fine or (headers is HTML and route.method == "GET" and not to_sign_in):
                    problems.append(f"{route} as {headers['accept'][:9]}: {answer.status_code}")
    assert not problems, "\n".join(problems)


async def test_viewer_may_only_read(scene: FilledAccount) -> None:
    viewer = await scene.world.person("viewer", scene.cast.account)
    clients = await scene.clients(viewer)  # signing in is audited
    before = await snapshot(scene.world, scene.cast)
    problems = []
    for client in clients:
        for route in guarded():
            if route.policy not in VIEWER:
                answer = await call(client, route, route.at(scene.ids))
                if answer.status_code != 403:
                    problems.append(f"{route} as {shape_of(client)}: {answer.status_code}")
    assert not problems, "\n".join(problems)
    assert await snapshot(scene.world, scene.cast) == before


async def test_token_is_limited_to_its_scopes(scene: FilledAccount) -> None:
    """An owner's token with the scope `view`: less than its owner in everything else."""
    (script, _) = await scene.clients(scene.cast.owner)
    response = await script.post("/tokens", json={"name": "reader", "scopes": ["view"]})
    assert response.status_code == 201, response.text
    secret = next(value for value in response.json().values() if str(value).startswith(ACCESS_PREFIX))
    problems = []
    async with scene.world.client(**JSON, authorization=f"Bearer {secret}") as client:
        for route in guarded():
            if route.policy not in (Permission.VIEW.value, "signed_in"):
                answer = await call(client, route, route.at(scene.ids))
                if answer.status_code != 403:
                    problems.append(f"{route}: {answer.status_code}")
    assert not problems, "\n".join(problems)


async def test_other_account_finds_nothing_by_id(scene: FilledAccount) -> None:
    """The owner of another account, with every right there and every id of ours."""
    stranger = await scene.world.person("owner", await scene.world.account("Globex"))
    before = await snapshot(scene.world, scene.cast)
    problems = []
    for client in await scene.clients(stranger):
        for route in guarded():
            if route.has_ids and speaks(client, route):
                answer = await call(client, route, route.at(scene.ids))
                if answer.status_code != 404:
                    problems.append(f"{route} as {shape_of(client)}: {answer.status_code} {answer.text[:90]}")
    assert not problems, "\n".join(problems)
    assert await snapshot(scene.world, scene.cast) == before


async def test_pages_of_another_account_contain_nothing_of_this_one(scene: FilledAccount) -> None:
    stranger = await scene.world.person("owner", await scene.world.account("Globex"))
    cast = scene.cast
    secrets = [str(value) for value in (cast.account, *scene.ids.values()) if len(str(value)) > 30]
    secrets += ["Lovelace", "people.csv", cast.owner.email]
    problems = []
    for client in await scene.clients(stranger):
        for route in guarded():
            if route.method == "GET" and not route.has_ids and speaks(client, route):
                answer = await client.get(route.path)
                if answer.status_code != 200 or any(secret in answer.text for secret in secrets):
                    problems.append(f"{route} as {shape_of(client)}: {answer.status_code}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("kind", ["malformed", "unknown"])
async def test_unknown_ids_are_not_found(scene: FilledAccount, kind: str) -> None:
    wrong = {
        name: ("not-a-uuid" if kind == "malformed" else uuid7()) if len(str(value)) > 30 else value
        for name, value in scene.ids.items()
    }
    problems = []
    for client in await scene.clients(scene.cast.owner):
        for route in guarded():
            path = route.at(wrong)
            if route.has_ids and speaks(client, route) and path != route.at(scene.ids):
                answer = await call(client, route, path)
                if answer.status_code != 404:
                    problems.append(f"{route} as {shape_of(client)}: {answer.status_code} {answer.text[:90]}")
    assert not problems, "\n".join(problems)


async def test_other_methods_are_refused(scene: FilledAccount) -> None:
    """405 with `Allow`, in both shapes, wherever a path exists."""
    problems = []
    for client in await scene.clients(scene.cast.owner):
        for path in sorted({route.path for route in guarded()}):
            route = Route("PUT", path, "")
            answer = await call(client, route, route.at(scene.ids))
            if answer.status_code != 405 or "allow" not in answer.headers:
                problems.append(f"{route} as {shape_of(client)}: {answer.status_code}")
    assert not problems, "\n".join(problems)


async def test_other_account_reaches_nothing_by_ids_in_bodies(scene: FilledAccount) -> None:
    """Bulk edits, enrolling and imports name rows in the body: ours are as unknown there as in an address."""
    world, cast = scene.world, scene.cast
    stranger = await world.person("owner", await world.account("Globex"))
    theirs = await cast_of(world, stranger)
    (script, _) = await scene.clients(stranger)
    ours = [str(cast.contact)]
    before = await snapshot(world, cast)
    requests: list[tuple[str, dict[str, Any]]] = [
        ("/contacts/bulk/tags", {"ids": ours, "tag": "stolen"}),
        ("/contacts/bulk/deletion", {"ids": ours}),
        ("/contacts/bulk/tags", {"all": True, "f": [f"tags:any_of:{cast.tag}"], "tag": "stolen"}),
        (f"/workflows/{theirs.workflow}/enrollments", {"contact_ids": ours}),
        (f"/workflows/{theirs.workflow}/enrollments", {"contact": ours[0]}),
        (f"/workflows/{theirs.workflow}/triggers", {
            "rev": 1, "kind": "tag_added", "config": {"kind": "tag_added", "tag": str(cast.tag)},
        }),
        ("/sessions/current/account", {"account_id": str(cast.account)}),
    ]  # fmt: skip
    for path, body in requests:
        answer = await script.post(path, json=body)
        assert answer.status_code < 500, f"{path}: {answer.text}"
        assert "Lovelace" not in answer.text or path.startswith("/workflows"), path
    await drain(world.runtime, stranger.account_id)
    assert await snapshot(world, cast) == before
    rows = await world.sql(
        "select count(*) as n from enrollments where account_id = $1 and contact_id = $2",
        stranger.account_id, cast.contact,
    )  # fmt: skip
    assert rows[0]["n"] == 0
    assert (await script.get("/account")).json().get("name", "") != "Acme"
