"""Which responses are compressed, and that no response with a secret is."""

import zlib

import brotli
import httpx
import pytest
from litestar import Response

from app.redaction import SECRET_PARAMETERS
from app.web.compression import SMALLEST
from tests.support.mail_links import link_in
from tests.support.routes import routes_of
from tests.support.web_kit import HTML, JSON, PARTIAL
from tests.support.world import World

BOTH = {"accept-encoding": "gzip, br"}
PLAIN = {"accept-encoding": "identity"}
SHAPES = {"page": HTML, "fragment": PARTIAL, "JSON": JSON}


def coding_of(answer: httpx.Response) -> str:
    return str(answer.headers.get("content-encoding", ""))


async def raw(client: httpx.AsyncClient, path: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """A response, with its body as it was sent."""
    async with client.stream("GET", path, headers=headers) as answer:
        return answer, b"".join([part async for part in answer.aiter_raw()])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("role", ["owner", "viewer"])
async def test_each_shape_of_a_page_is_compressed(world: World, shape: str, role: str) -> None:
    who = await world.person(role)
    async with world.browser(who) as browser:
        plain = await browser.get("/contacts", headers=SHAPES[shape] | PLAIN)
        assert coding_of(plain) == ""
        for coding in ("br", "gzip"):
            headers = SHAPES[shape] | {"accept-encoding": coding}
            answer, body = await raw(browser, "/contacts", **headers)
            assert coding_of(answer) == coding
            assert answer.headers["content-length"] == str(len(body))
            assert "Accept-Encoding" in answer.headers["vary"]
            assert "Accept" in answer.headers["vary"]
            content = brotli.decompress(body) if coding == "br" else zlib.decompress(body, wbits=31)
            assert len(body) < len(content) / 2
            assert content.decode() == plain.text
        assert (await browser.get("/contacts", headers=SHAPES[shape] | BOTH)).headers[
            "content-encoding"
        ] == "br"


async def test_a_stranger_gets_the_sign_in_page_compressed(world: World) -> None:
    async with world.client(**HTML) as client:
        assert coding_of(await client.get("/sign-in", headers=BOTH)) == "br"
        refused = await client.get("/contacts", headers=JSON | BOTH)
        assert (refused.status_code, coding_of(refused)) == (401, ""), "too short to compress"


async def test_head_has_the_headers_of_get_and_no_body(world: World) -> None:
    async with world.browser(await world.person()) as browser:
        full, body = await raw(browser, "/contacts/new", **BOTH)
        head = await browser.head("/contacts/new", headers=BOTH)
    assert head.content == b""
    for name in ("content-length", "content-encoding", "vary", "content-type"):
        assert head.headers[name] == full.headers[name]
    assert head.headers["content-length"] == str(len(body))


async def test_errors_outside_of_routes_are_compressed(world: World) -> None:
    async with world.browser(await world.person()) as browser:
        answer = await browser.get("/there/is/nothing", headers=HTML | BOTH)
        assert (answer.status_code, coding_of(answer)) == (404, "br")


async def test_answers_without_a_body_have_no_coding(world: World) -> None:
    async with world.script(await world.person()) as script:
        tag = (await script.post("/tags", json={"name": "vip"})).headers["location"]
        gone = await script.post(f"{tag}/deletion", json={}, headers=BOTH)
        assert (gone.status_code, gone.content, coding_of(gone)) == (204, b"", "")


async def test_a_download_is_compressed(world: World) -> None:
    async with world.browser(await world.person()) as browser:
        answer = await browser.get("/imports/sample.csv", headers=BOTH)
        plain = await browser.get("/imports/sample.csv", headers=PLAIN)
    assert answer.content == plain.content
    assert coding_of(answer) == ("br" if len(plain.content) >= SMALLEST else "")


@pytest.mark.parametrize(
    ("site", "compressed"),
    [("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False)],
)
async def test_requests_that_another_site_caused_are_not_compressed(
    world: World, site: str, compressed: bool
) -> None:
    async with world.browser(await world.person()) as browser:
        answer = await browser.get("/contacts?q=guess", headers=BOTH | {"sec-fetch-site": site})
    assert answer.status_code == 200
    assert (coding_of(answer) == "br") is compressed


async def test_a_script_of_an_allowed_origin_gets_compressed_answers(world: World) -> None:
    async with world.script(await world.person()) as script:
        answer = await script.get("/contacts", headers=BOTH | {"sec-fetch-site": "cross-site"})
    assert (answer.status_code, coding_of(answer)) == (200, "br")


async def test_pages_that_show_a_secret_are_not_compressed(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as browser:
        form = {"name": "Reports", "scopes": "view", "days": "30", "account": str(owner.account_id)}
        token = await browser.post("/tokens", data=form, headers=BOTH)
        assert "swy_" in token.text, token.text
        assert len(token.content) >= SMALLEST
        assert coding_of(token) == ""
        refused = await browser.post("/tokens", data=form | {"name": ""}, headers=BOTH)
        assert (refused.status_code, coding_of(refused)) == (422, "")
    async with world.client(**HTML) as client:
        await client.post("/password-reset", json={"email": owner.email})
        page = await client.get(link_in(world, -1), headers=BOTH)
        assert (page.status_code, coding_of(page)) == (200, "")
        assert len(page.content) >= SMALLEST


def test_every_route_that_returns_a_secret_says_so(world: World) -> None:
    shown = set()
    for method, path, handler in routes_of(world.app):
        answer = handler.parsed_fn_signature.return_type
        kind = answer.inner_types[0] if answer.is_subclass_of(Response) and answer.inner_types else answer
        if SECRET_PARAMETERS & set(getattr(kind.annotation, "__struct_fields__", ())):
            assert handler.opt.get("shows_secret"), f"{method} {path}"
            shown.add(path)
    assert shown == {"/sessions", "/sessions/current/account", "/tokens", "/workflows/{workflow_id}/hooks"}
