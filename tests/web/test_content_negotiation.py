"""One handler, three shapes, by Accept and by htmx's headers."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.support.web_kit import HTML, JSON, OWN, PARTIAL, Kit


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    kit = Kit(tmp_path)
    async with kit.client(**kit.bearer(), **OWN) as client:
        yield client


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/json", "application/json"),
        ("text/html", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("application/json;q=0.5, text/html", "text/html"),
        ("text/html;q=0.3, application/json;q=0.9", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/html"),
    ],
)
async def test_format_follows_accept(client: httpx.AsyncClient, accept: str, kind: str) -> None:
    answer = await client.get("/things/new", headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == kind
    assert answer.headers["vary"] == "Accept, HX-Request, HX-Request-Type, HX-History-Restore-Request"
    assert answer.headers["cache-control"] == "no-store"


async def test_page_and_json_have_the_same_data(client: httpx.AsyncClient) -> None:
    page = await client.get("/things/new", headers=HTML)
    data = await client.get("/things/new", headers=JSON)
    assert "page new for Owner" in page.text
    assert data.json() == {"name": "new", "form": None}


@pytest.mark.parametrize(
    ("headers", "starts"),
    [
        (PARTIAL, "<p>fragment"),
        (PARTIAL | {"hx-target": "div#sheet"}, "<p>sheet"),
        (PARTIAL | {"hx-boosted": "true"}, "<main>"),
        (PARTIAL | {"hx-history-restore-request": "true"}, "<main>"),
        (PARTIAL | {"hx-request-type": "full"}, "<main>"),
        (HTML, "<main>"),
    ],
)
async def test_htmx_gets_a_fragment_only_for_fragment_requests(
    client: httpx.AsyncClient, headers: dict[str, str], starts: str
) -> None:
    answer = await client.get(f"/things/{uuid4()}", headers=headers)
    assert answer.text.startswith(starts)


@pytest.mark.parametrize("accept", ["image/png", "application/xml", "text/html;q=0, image/*"])
async def test_not_acceptable_is_refused_before_anything_is_done(
    client: httpx.AsyncClient, accept: str
) -> None:
    for answer in (
        await client.get("/things/new", headers={"accept": accept}),
        await client.post("/things", headers={"accept": accept}, json={"name": "taken"}),
    ):
        assert answer.status_code == 406
        assert "application/json" in answer.json()["detail"]


async def test_a_route_without_a_page_is_json_only(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live", headers={"accept": "text/html"})).status_code == 406
    assert (await client.get("/health/live", headers=HTML)).json() == {"status": "ok"}


async def test_other_responses_pass_unchanged(client: httpx.AsyncClient) -> None:
    answer = await client.get("/things/csv", headers={"accept": "text/csv"})
    assert (answer.status_code, answer.text) == (200, "a,b\n")
    assert (await client.get("/things/csv", headers={"accept": "image/png"})).status_code == 406


async def test_head_answers_like_get_without_a_body(client: httpx.AsyncClient) -> None:
    for headers in (HTML, JSON):
        got = await client.get("/things/new", headers=headers)
        head = await client.head("/things/new", headers=headers)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(got.content))
        assert head.headers["content-type"] == got.headers["content-type"]


async def test_saving_as_json(client: httpx.AsyncClient) -> None:
    response = await client.post("/things", json={"name": "Bo"})
    assert (response.status_code, response.headers["location"], response.json()["name"]) == (
        201,
        "/things/1",
        "Bo",
    )
    changed = await client.post(f"/things/{uuid4()}", json={"name": "Bo"})
    assert changed.status_code == 200
    assert "location" not in changed.headers
    dropped = await client.post(f"/things/{uuid4()}/deletion")
    assert (dropped.status_code, dropped.content) == (204, b"")


async def test_saving_in_a_browser_redirects_and_shows_a_message_once(client: httpx.AsyncClient) -> None:
    response = await client.post("/things", headers=HTML, data={"name": "Bo"})
    assert (response.status_code, response.headers["location"], response.content) == (303, "/things/1", b"")
    assert "note=It’s made; look." in (await client.get("/things/new", headers=HTML)).text
    assert "note= " in (await client.get("/things/new", headers=HTML)).text


async def test_saving_with_htmx_gives_the_fragment_and_its_address(client: httpx.AsyncClient) -> None:
    response = await client.post("/things", headers=PARTIAL, data={"name": "Bo"})
    assert (response.status_code, response.headers["hx-push-url"]) == (200, "/things/1")
    assert response.text == "<p>fragment Bo note=It’s made; look.</p>"
    plain = await client.post(f"/things/{uuid4()}", headers=PARTIAL, data={"name": "Bo"})
    assert plain.status_code == 303


@pytest.mark.parametrize("how", ["json", "urlencoded", "multipart"])
async def test_three_kinds_of_body_fill_one_struct(client: httpx.AsyncClient, how: str) -> None:
    flat = {"name": "Bo", "age": "7", "tags": ["a", "b"], "active": "on", "address.city": "Rome", "born": ""}
    nested = {"name": "Bo", "age": 7, "tags": ["a", "b"], "active": True, "address": {"city": "Rome"}}
    if how == "json":
        response = await client.post("/things", json=nested)
    elif how == "urlencoded":
        response = await client.post("/things", data=flat)
    else:
        parts = [("name", (None, "Bo")), ("age", (None, "7")), ("tags", (None, "a")), ("tags", (None, "b"))]
        parts += [("active", (None, "on")), ("address.city", (None, "Rome")), ("born", (None, ""))]
        response = await client.post("/things", files=parts)
    assert response.status_code == 201
    assert response.json()["form"] == {
        **nested,
        "kind": "small",
        "born": None,
        "address": {"city": "Rome", "zip": None},
    }


async def test_options_lists_the_methods(client: httpx.AsyncClient) -> None:
    answer = await client.options("/things")
    assert answer.status_code == 204
    assert "POST" in answer.headers["allow"]
