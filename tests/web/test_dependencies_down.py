"""The real app without its database, without Redis, and with connections that are cut under it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest

from app.main import create_app
from app.runtime import open_runtime
from app.settings import Settings
from app.web import rate_limit
from tests.support.web_kit import BASE, HTML, JSON, OWN
from tests.support.world import PASSWORD, World

NOWHERE = "postgresql://app_user:x@127.0.0.1:1/switchyard"


@pytest.fixture
async def disconnected_client(settings: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    alone = msgspec.structs.replace(
        settings, database_url=NOWHERE, redis_url="redis://127.0.0.1:1/0", data_dir=tmp_path
    )
    runtime = open_runtime(alone, pool_size=2)
    app = create_app(alone, runtime)
    transport = httpx.ASGITransport(cast("Any", app))
    async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=OWN) as client:
        yield client
    await app.state.counter.aclose()
    await runtime.close()


async def test_without_the_database_every_response_is_503_with_retry_after(
    disconnected_client: httpx.AsyncClient,
) -> None:
    form = {"email": "ana@acme.example", "password": PASSWORD}
    answers = [
        await disconnected_client.post("/sessions", headers=JSON, json=form),
        await disconnected_client.post("/sessions", headers=HTML, data=form),
        await disconnected_client.get("/", headers=JSON | {"authorization": "Bearer swy_x"}),
    ]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert "127.0.0.1" not in answer.text
        assert "asyncpg" not in answer.text
    ready = await disconnected_client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "down", "database": "down", "redis": "down"})
    workers = await disconnected_client.get("/health/workers")
    assert (workers.status_code, workers.json()["status"]) == (503, "unknown"), "cannot tell is never well"
    assert (await disconnected_client.get("/health/live")).status_code == 200
    assert (await disconnected_client.get("/sign-in", headers=HTML)).status_code == 200


async def test_a_silent_redis_costs_a_sign_in_one_wait(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that gets no answer closes its connection, so each call would be a new one."""
    connections = 0

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read(-1)
        writer.close()

    monkeypatch.setattr(rate_limit, "OPEN_SECONDS", 3600)
    owner = await world.person()
    async with await asyncio.start_server(stay_silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        frozen = msgspec.structs.replace(settings, redis_url=f"redis://127.0.0.1:{port}/0")
        app = create_app(frozen, world.runtime)
        transport = httpx.ASGITransport(cast("Any", app))
        async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=OWN | JSON) as client:
            form = {"email": owner.email, "password": PASSWORD}
            answer = await client.post("/sessions", json=form)
            assert answer.status_code == 201
            signed_in = {"authorization": f"Bearer {answer.json()['token']}"}
            assert (await client.get("/tags", headers=signed_in)).status_code == 200
        await app.state.counter.aclose()
    assert connections == 1


async def test_cut_connections_fail_no_request(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        for _ in range(3):
            await world.sql(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                "where usename = 'app_user' and datname = current_database()"
            )
            assert {(await client.get("/")).status_code for _ in range(8)} == {200}
