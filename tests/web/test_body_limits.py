"""Bodies that are too long, hold too many fields or nest too deep: refused before anything decodes them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.types import HTTPScope
from msgspec import inspect
from structlog.testing import capture_logs

from app.web import content_negotiation as media
from app.web.body_limits import DEFAULT, PARTS, check_json, limits_of, longest
from app.web.form_decoder import bare
from app.web.middleware import client_of, network
from tests.support.web_kit import HTML, JSON, OWN, Kit
from tests.support.world import PASSWORD, World

BOTH = pytest.mark.parametrize("shape", [HTML, JSON], ids=["html", "json"])
URLENCODED = {"content-type": media.URLENCODED}
AS_JSON = {"content-type": media.JSON}


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    kit = Kit(tmp_path)
    for route in kit.app.routes:
        for handler in getattr(route, "route_handlers", []):
            handler._resolved_request_max_body_size = 25_000_000
    return kit


@pytest.fixture
async def client(kit: Kit) -> AsyncIterator[httpx.AsyncClient]:
    async with kit.client(**kit.bearer(), **OWN) as client:
        yield client


def parts(count: int) -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n1\r\n'
    return b"".join(part % number for number in range(count)) + b"--x--\r\n"


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 16_384):
        yield body[start : start + 16_384]


@BOTH
@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize(
    ("kind", "body", "status", "detail"),
    [
        (media.URLENCODED, b"name=" + b"y" * 64_000, 413, "Send at most 64 kB."),
        ("multipart/form-data; boundary=x", parts(1)[:-9] + b"y" * 64_000, 413, "Send at most 64 kB."),
        (media.JSON, b'{"name":"' + b"y" * 1_000_000, 413, "Send at most 1.0 MB."),
        (media.URLENCODED, b"a=1&" * 1000 + b"a=1", 413, "Send at most 1,000 fields."),
        ("multipart/form-data; boundary=x", parts(PARTS + 1), 413, "Send at most 1,000 fields with short"),
        (media.JSON, b'{"a":1,"b":[%s{"c":1}]}' % (b'{"c":1},' * 1000), 413, "Send at most 1,000 fields."),
        (media.JSON, b'{"tags":[' + b"[]," * 10_000 + b"[]]}", 413, "Send at most 10,000 lists and objects."),
        (media.JSON, b'{"name":' + b"[" * 40 + b"]" * 40 + b"}", 400, "nested more than 32 levels"),
        (media.URLENCODED, b"address" + b".x" * 40 + b"=1", 400, "more than 32 parts"),
        (media.URLENCODED, b"".join(b"a.%d%s=1&" % (n, b".x" * 9) for n in range(600)), 400, "5,000 parts"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a%s"\r\n\r\n1\r\n--x--\r\n' % (b".x" * 40),
            400,
            "more than 32 parts",
        ),
    ],
)  # fmt: skip
async def test_each_type_has_its_limits(
    client: httpx.AsyncClient,
    shape: dict[str, str],
    announced: bool,
    kind: str,
    body: bytes,
    status: int,
    detail: str,
) -> None:
    headers = shape | {"content-type": kind}
    answer = await client.post("/things", headers=headers, content=body if announced else chunked(body))
    assert (answer.status_code, detail in answer.text) == (status, True), answer.text


async def test_bodies_below_the_limits_are_read(client: httpx.AsyncClient) -> None:
    colons = json.dumps({"name": "x", "tags": [":{[" * 60_000]}).encode()
    many = json.dumps({"name": "x", "tags": ["y"] * 50_000}).encode()
    check_json(b"[" + b"[1,2]," * 9_990 + b"0]", DEFAULT)  # pairs of numbers, and their list
    form = b"name=x&" + b"tags=%C3%A9&" * 900 + b"active=on"
    for kind, body in ((AS_JSON, colons), (AS_JSON, many), (URLENCODED, form)):
        answer = await client.post("/things", headers=JSON | kind, content=body)
        assert answer.status_code == 201, answer.text[:200]


@pytest.mark.parametrize(
    "body",
    [b'"' + b'\\"' * 400_000, b'["' + b"\\\\" * 400_000 + b'":', b'"' * 900_001, b"{" * 33 + b":" * 900_000],
)
def test_hostile_strings_are_scanned_once(body: bytes) -> None:
    """A pattern that backs up would take minutes for these."""
    with pytest.raises(HTTPException, match=r"1,000 fields|nested more"):
        check_json(b"{" * 20 + b"[" * 20 + body, DEFAULT)


@BOTH
async def test_at_most_twenty_errors_with_a_note_about_more(
    client: httpx.AsyncClient, shape: dict[str, str]
) -> None:
    body = json.dumps({"name": "x", **{f"{number}{'long' * 60}": 1 for number in range(900)}}).encode()
    answer = await client.post("/things", headers=shape | AS_JSON, content=body)
    assert answer.status_code == 422
    assert "There are more than 20 errors" in answer.text
    assert len(answer.content) < 10_000
    if shape is JSON:
        assert len(answer.json()["errors"]) == 20
    few = await client.post("/things", headers=JSON | AS_JSON, content=b'{"x":1}')
    assert few.json()["detail"] == "Please correct: name, x."


async def test_body_of_a_refused_request_is_not_read(kit: Kit) -> None:
    viewer = kit.bearer(kit.people.viewer)
    for headers, path, method, status in (
        ({}, "/things", "POST", 401),
        (viewer, "/things", "POST", 403),
        (kit.bearer(), "/nothing", "POST", 404),
        (kit.bearer(), "/things", "PUT", 405),
        (kit.bearer(), "/things", "POST", 413),
        (kit.bearer() | {"content-type": "text/xml"}, "/things", "POST", 415),
    ):
        sent, _ = await call(kit.app, method, path, URLENCODED | {"content-length": "24000000"} | headers, [])
        assert sent == status


async def call(
    app: Litestar, method: str, path: str, headers: dict[str, str], messages: list[Any]
) -> tuple[int, bytes]:
    """A request straight to the app. `messages` is what `receive` gives; to ask for more fails the test."""
    sent: list[Any] = []

    async def receive() -> Any:
        assert messages, "the body was read"
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": b"",
        "client": ("192.0.2.7", 5000), "server": ("127.0.0.1", 8000), "state": {},
        "headers": [(name.encode(), value.encode()) for name, value in {**JSON, **headers}.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("kind", [media.JSON, media.URLENCODED, "multipart/form-data; boundary=x"])
async def test_disconnected_client_is_not_a_server_error(kit: Kit, kind: str) -> None:
    first_part = {"type": "http.request", "body": b'{"name":', "more_body": True}
    headers = kit.bearer() | {"content-type": kind, "content-length": "500"}
    with capture_logs() as logs:
        status, _ = await call(kit.app, "POST", "/things", headers, [first_part, {"type": "http.disconnect"}])
    assert status == 499
    assert [(entry["event"], entry["log_level"], entry.get("status")) for entry in logs] == [
        ("request", "info", 499)
    ]


def test_every_route_accepts_its_largest_valid_body(app: Litestar) -> None:
    """A text of its longest length, escaped as two bytes a letter, fits; so does a list of most items."""
    short = []
    for route in app.routes:
        for handler in getattr(route, "route_handlers", []):
            data = handler.parsed_fn_signature.parameters.get("data")
            if data is None:
                continue
            texts, items = extremes(inspect.type_info(data.annotation), set())
            form, fields = longest(handler, media.URLENCODED), limits_of(handler).fields
            if texts * 6 + 1000 > form or items > fields:
                short.append((handler.handler_name, route.path, texts, form, items, fields))
    assert short == []


def extremes(kind: Any, visited: set[type]) -> tuple[int, int]:
    """The longest text and the longest list in a type, by what it declares."""
    kind = bare(kind)
    inner: list[Any] = []
    if isinstance(kind, inspect.StructType) and kind.cls not in visited:
        visited.add(kind.cls)
        inner = [field.type for field in kind.fields]
    elif isinstance(kind, inspect.UnionType):
        inner = list(kind.types)
    elif isinstance(kind, inspect.ListType):
        inner = [kind.item_type]
    inner_extremes = [extremes(inner_type, visited) for inner_type in inner]
    own = (getattr(kind, "max_length", 0) or 0) if isinstance(kind, inspect.StrType) else 0
    most = (kind.max_length or 0) if isinstance(kind, inspect.ListType) else 0
    return max([own, *(text for text, _ in inner_extremes)]), max(
        [most, *(items for _, items in inner_extremes)]
    )


@BOTH
@pytest.mark.parametrize("path", ["/sessions", "/password-reset", "/password-reset/some-token"])
async def test_throttled_network_is_refused_before_the_body_is_read(
    world: World, shape: dict[str, str], path: str
) -> None:
    """The throttle works without Redis. Other networks are not affected, and bodies do not matter."""
    headers = URLENCODED | OWN | shape | {"content-length": "300"}
    for _ in range(60):
        status, _ = await call(world.app, "POST", path, headers, body_of(b"x=1"))
        assert status in (404, 415, 422), status
    status, text = await call(world.app, "POST", path, headers, [])
    assert (status, b"Too many attempts. Wait " in text) == (429, True)
    async with world.client(**shape, **OWN) as other:
        answer = await other.post(path, data={"email": "a@b.example", "password": PASSWORD})
    assert answer.status_code != 429


def body_of(body: bytes) -> list[Any]:
    return [{"type": "http.request", "body": body, "more_body": False}]


async def test_refusal_has_retry_after(world: World) -> None:
    async with world.client(**JSON) as client:
        for _ in range(60):
            await client.post("/sessions", json={})
        for shape in (HTML, JSON):
            answer = await client.post("/sessions", json={}, headers=shape)
            assert (answer.status_code, 1 <= int(answer.headers["retry-after"]) <= 600) == (429, True)


def test_network_is_the_one_the_last_trusted_proxy_saw() -> None:
    """A proxy that adds a header of its own must not be overruled by the one that the client sent."""
    headers = [(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"192.0.2.9")]
    scope = cast("HTTPScope", {"client": ("10.0.0.1", 1), "headers": headers})
    assert [network(scope, hops) for hops in (0, 1, 2, 3)] == ["10.0.0.1", "192.0.2.9", "6.6.6.6", "10.0.0.1"]


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:51000", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("192.0.2.9:51000", "192.0.2.9"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_client_address_behind_proxies(address: str, client: str) -> None:
    assert client_of(address) == client
