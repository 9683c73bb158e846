"""Clients that send their bodies slowly to a real `litestar web`: they hold no connection to the database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import Settings
from app.web.body_arrival import SMALL, announced_body, arrived
from app.web.request import ClientGone
from tests.support.web_kit import JSON
from tests.support.web_process import WebProcess, serving
from tests.support.world import PASSWORD, World

SENDERS = 8  # the pool below has six connections, of which one account may use three
LEASE_SECONDS = 1.0  # PostgreSQL ends a transaction that idles for so long
PATIENCE = 30.0  # for a busy machine; nothing here waits so long by itself
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"
CSV = b"email,first_name\r\n" + b"".join(b"slow%d@acme.example,Ann\r\n" % row for row in range(8_000))
FILE = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n'
    b"Content-Type: text/csv\r\n\r\n" + CSV + b"\r\n--x--\r\n"
)


@asynccontextmanager
async def site(
    settings: Settings, world: World, folder: Path
) -> AsyncIterator[tuple[WebProcess, httpx.AsyncClient, str]]:
    """A web process with few connections to the database, a client who is signed in, and their token."""
    who = await world.person()
    narrow = {"DATABASE_POOL_SIZE": "1", "LEASE_SECONDS": str(LEASE_SECONDS)}
    async with (
        serving(settings, folder, **narrow) as server,
        httpx.AsyncClient(base_url=server.url, headers=JSON, timeout=PATIENCE) as client,
    ):
        answer = await client.post("/sessions", json={"email": who.email, "password": PASSWORD})
        token: str = answer.json()["token"]
        client.headers["authorization"] = f"Bearer {token}"
        yield server, client, token


class SlowSender:
    """A request by hand: its head and the beginning of its body, and the rest when the test says so."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rest: bytes) -> None:
        self.reader, self.writer, self.rest = reader, writer, rest

    async def answer(self) -> bytes:
        """What the server says, also before the body is complete."""
        async with asyncio.timeout(PATIENCE):
            received = await self.reader.readuntil(b"\r\n\r\n")
            while received.startswith(b"HTTP/1.1 100"):
                received = await self.reader.readuntil(b"\r\n\r\n")
        return received

    async def finish(self) -> bytes:
        self.writer.write(self.rest)
        await self.writer.drain()
        head = await self.answer()
        self.writer.close()
        return head


async def begin(
    server: WebProcess, path: str, token: str, headers: dict[str, str], body: bytes
) -> SlowSender:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    every = JSON | {"host": server.url.removeprefix("http://"), "authorization": f"Bearer {token}"} | headers
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in every.items()), "", ""]
    if "transfer-encoding" in headers:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    half = len(body) // 2
    writer.write("\r\n".join(lines).encode() + body[:half])
    await writer.drain()
    return SlowSender(reader, writer, body[half:])


def length(body: bytes) -> dict[str, str]:
    return {"content-length": str(len(body))}


Build = Callable[[int], tuple[str, dict[str, str], bytes]]


def small_json(number: int) -> tuple[str, dict[str, str], bytes]:
    body = b'{"name":"json %d"}' % number
    return "/tags", {"content-type": "application/json"} | length(body), body


def small_form(number: int) -> tuple[str, dict[str, str], bytes]:
    body = b"name=form%d" % number
    return "/tags", {"content-type": FORM} | length(body), body


def chunked_json(number: int) -> tuple[str, dict[str, str], bytes]:
    body = b'{"name":"chunked %d"}' % number
    return "/tags", {"content-type": "application/json", "transfer-encoding": "chunked"}, body


def large_file(_: int) -> tuple[str, dict[str, str], bytes]:
    assert len(FILE) > 2 * SMALL
    return "/imports", {"content-type": MULTIPART} | length(FILE), FILE


@pytest.mark.parametrize("build", [small_json, small_form, chunked_json, large_file])
async def test_slow_senders_hold_no_connection_and_succeed(
    settings: Settings, world: World, tmp_path: Path, build: Build
) -> None:
    async with site(settings, world, tmp_path) as (server, client, token):
        senders = []
        for number in range(SENDERS):
            path, headers, body = build(number)
            senders.append(await begin(server, path, token, headers, body))
        await asyncio.sleep(LEASE_SECONDS * 1.5)
        for _ in range(3):
            assert (await client.get("/tags")).status_code == 200, "others are served meanwhile"
        heads = [await sender.finish() for sender in senders]
    assert [head[:12] for head in heads] == [b"HTTP/1.1 201"] * SENDERS


async def test_refusals_need_no_body(settings: Settings, world: World, tmp_path: Path) -> None:
    """By the headers alone, whatever the length; before a large body also by what the database says."""
    small, large = {"content-length": "500"}, {"content-length": str(SMALL + 1)}
    as_json = {"content-type": "application/json"}
    async with site(settings, world, tmp_path) as (server, client, token):
        forged = token[:-8] + "AAAAAAAA"
        viewer = (await client.post("/tokens", json={"name": "x", "scopes": ["view"]})).json()["token"]
        for who, path, headers, status in (
            (forged, "/tags", small | as_json, b"401"),
            (forged, "/tags", large | as_json, b"401"),
            ("swy_unknown", "/tags", large | as_json, b"401"),
            ("swy_unknown", "/tags", small | as_json | {"expect": "100-continue"}, b"401"),
            (viewer, "/tags", large | as_json, b"403"),
            (token, "/tags", {"content-type": FORM} | large, b"413"),
            (token, "/imports", {"content-type": MULTIPART, "content-length": "99000000"}, b"413"),
        ):
            sender = await begin(server, path, who, headers, b"")
            assert (await sender.answer())[9:12] == status, (who[:8], path, headers)
            sender.writer.close()


async def test_client_that_waits_for_100_continue_is_told_to_send(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    body = b'{"name":"asked"}'
    headers = {"content-type": "application/json", "expect": "100-continue"} | length(body)
    async with site(settings, world, tmp_path) as (server, _, token):
        sender = await begin(server, "/tags", token, headers, b"")
        sender.rest = body
        async with asyncio.timeout(PATIENCE):
            assert (await sender.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        assert (await sender.finish()).startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize(
    ("method", "headers", "kind"),
    [
        ("POST", {}, "none"),
        ("POST", {"content-length": "0"}, "none"),
        ("GET", {"content-length": "5"}, "none"),
        ("DELETE", {"content-length": "5"}, "none"),
        ("PATCH", {"content-length": str(SMALL)}, "small"),
        ("POST", {"content-length": str(SMALL + 1)}, "large"),
        ("POST", {"content-length": "five"}, "large"),
        ("POST", {"content-length": "5", "expect": "100-continue"}, "large"),
        ("POST", {"content-length": "5", "transfer-encoding": "chunked"}, "large"),
    ],
)
def test_announced_body(method: str, headers: dict[str, str], kind: str) -> None:
    scope: Any = {
        "method": method,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    assert announced_body(scope) == kind


def giving(*messages: dict[str, Any]) -> Callable[[], Awaitable[Any]]:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    return receive


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


async def test_a_body_that_arrived_is_given_again_as_one_message() -> None:
    parts = part(b"a", more=True), part(b"", more=True), part(b"b", more=False)
    receive: Any = await arrived(giving(*parts, GONE))
    assert [await receive(), await receive()] == [part(b"ab", more=False), GONE]


async def test_no_more_than_a_small_body_is_kept() -> None:
    rest = part(b"z", more=False)
    receive: Any = await arrived(giving(part(b"y" * (SMALL + 1), more=True), rest))
    assert [await receive(), await receive()] == [part(b"y" * (SMALL + 1), more=True), rest]


async def test_a_body_that_breaks_off() -> None:
    with pytest.raises(ClientGone):
        await arrived(giving(part(b"a", more=True), GONE))
