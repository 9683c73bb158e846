"""Hostile bodies against a real `litestar web`: it answers others meanwhile, and its memory stays bounded."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.support.web_kit import HTML, JSON
from tests.support.web_process import WebProcess, lives, serving
from tests.support.world import PASSWORD, World

MEMORY = 200_000_000  # bytes on top of what the idle process holds
FORM = "application/x-www-form-urlencoded"
CONNECTIONS = 40

FLOOD = b"email=a&" * 3_000_000  # 24 MB
ROWS = b"".join(b"filter.rows.%d.field=city&" % number for number in range(40_000))  # 1 MB
KEYS = b"{" + b",".join(b'"k%d":1' % number for number in range(90_000)) + b"}"  # 1 MB
MANY_KEYS = b"{" + b",".join(b'"%x":1' % number for number in range(1_700_000)) + b"}"  # 18 MB
DEEP = b'{"name":' + b"[" * 900_000


async def probe(server: WebProcess, done: asyncio.Event) -> tuple[int, int]:
    """How often the process answered, and the most memory it held, until `done`."""
    answers, most = 0, 0
    async with httpx.AsyncClient(base_url=server.url) as client:
        while not done.is_set() or answers < 5:
            assert await lives(client)
            answers, most = answers + 1, max(most, server.bytes_held)
            await asyncio.sleep(0.02)
    return answers, most


async def stream(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
async def test_hostile_bodies_delay_no_other_request(
    settings: Settings, world: World, tmp_path: Path, announced: bool
) -> None:
    who = await world.person()
    async with (
        serving(settings, tmp_path, MAX_CONNECTIONS_PER_CLIENT=str(CONNECTIONS)) as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        signed = await client.post("/sessions", headers=JSON, json={"email": who.email, "password": PASSWORD})
        token = {"authorization": f"Bearer {signed.json()['token']}"}
        response = await client.post("/workflows", headers=JSON | token, json={"name": "Welcome"})
        entry = f"{response.headers['location']}/entry"

        async def post(
            path: str, kind: str, body: bytes, statuses: set[int], shape: dict[str, str] = JSON
        ) -> None:
            headers = (
                shape | {"content-type": kind, "origin": server.url} | ({} if path == "/sessions" else token)
            )
            async with httpx.AsyncClient(base_url=server.url, timeout=120) as attacker:
                content = body if announced else stream(body)
                answer = await attacker.post(path, headers=headers, content=content)
            assert answer.status_code in statuses, answer.text[:300]
            assert len(answer.content) < 20_000

        idle, done = server.bytes_held, asyncio.Event()
        probing = asyncio.create_task(probe(server, done))
        await asyncio.gather(
            *(post("/sessions", FORM, FLOOD, {413}) for _ in range(3)),
            *(post("/sessions", "application/json", KEYS, {413}) for _ in range(3)),
            post("/sessions", "application/json", MANY_KEYS, {413}),
            *(post("/sessions", "application/json", DEEP, {413}) for _ in range(3)),
            *(post(entry, FORM, ROWS, {413}) for _ in range(3)),
            *(post(entry, FORM, ROWS[:200_000], {409, 422}) for _ in range(3)),
            *(post(entry, FORM, ROWS[:200_000], {422}, HTML) for _ in range(3)),
            *(post(entry, "application/json", KEYS, {413}) for _ in range(3)),
        )
        done.set()
        answers, most = await probing
    assert answers >= 5
    assert most - idle < MEMORY, f"{idle:,} bytes idle, {most:,} at most"


async def test_the_process_guards_its_connections_and_logs_aborts_calmly(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    async with serving(settings, tmp_path, MAX_CONNECTIONS_PER_CLIENT=str(CONNECTIONS)) as server:
        port = int(server.url.rpartition(":")[2])
        head = b"POST /sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        _, aborting = await asyncio.open_connection("127.0.0.1", port)
        aborting.write(head + b'content-length: 100\r\n\r\n{"email":')
        await aborting.drain()
        await asyncio.sleep(0.3)
        aborting.transport.abort()
        async with asyncio.timeout(30):
            while b'"status": 499' not in server.log.read_bytes():  # noqa: ASYNC110 -- as above
                await asyncio.sleep(0.05)
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
        async with asyncio.timeout(30):
            while b"holds too many" not in server.log.read_bytes():
                held.append(socket.create_connection(("127.0.0.1", port)))
                await asyncio.sleep(0.05)
        for connection in held:
            connection.close()
        log = server.log.read_text()
    assert "Traceback" not in log
    assert '"level": "error"' not in log
