"""The program itself, as it runs anywhere: `litestar worker`, and `litestar web` with somebody signed in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

import httpx
import psutil

from app.credentials import HASHER
from db.ids import uuid7
from scripts._lib.bench.testbed import Place
from scripts._lib.dev import app_commands
from scripts._lib.dev.processes import Program, free_port, spawn, wait_for
from scripts._lib.dev.terminal import Problem
from scripts._lib.dev.virtualenv import ROOT

PASSWORD = "correct horse battery"  # noqa: S105 -- of an account that lives for one run
START_SECONDS = 60.0
JSON = {"accept": "application/json"}


@contextmanager
def program(place: Place, name: str, *arguments: str, **values: str) -> Iterator[psutil.Process]:
    """One of the application's processes, ended with SIGTERM."""
    made = Program(
        name, app_commands.command(name, *arguments), log=place.folder / f"{name}.log", cwd=ROOT,
        env=place.environment(**values),
    )  # fmt: skip
    process = spawn(made)
    try:
        if name == "web":
            wait_for(lambda: answers(arguments[-1]), process, made, START_SECONDS)
        yield psutil.Process(process.pid)
        if process.poll() is not None:
            raise Problem(f"{name} ended by itself; see its log: {made.log.read_text()[-2000:]}")
    finally:
        process.terminate()
        process.wait(30)


def answers(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@asynccontextmanager
async def worker(place: Place) -> AsyncIterator[psutil.Process]:
    """`litestar worker`, heard of."""
    with program(place, "worker") as process:
        for _ in range(600):
            if await place.admin.fetchval("select count(*) from workers where pid = $1", process.pid):
                break
            await asyncio.sleep(0.1)
        else:
            raise Problem("The worker was not heard of.")
        yield process


@asynccontextmanager
async def web(place: Place, account: UUID) -> AsyncIterator[httpx.AsyncClient]:
    """`litestar web`, and a client that is signed in to the account with a token and asks for JSON."""
    await person(place, account)
    port = str(free_port())
    base = f"http://127.0.0.1:{port}"
    with program(place, "web", "--port", port, BASE_URL=base):
        async with httpx.AsyncClient(base_url=base, headers=JSON, trust_env=False, timeout=30) as client:
            signed: Any = await client.post(
                "/sessions", json={"email": "olive@bench.example", "password": PASSWORD}
            )
            if signed.status_code != 201:
                raise Problem(f"Signing in was answered with {signed.status_code}: {signed.text[:300]}")
            client.headers["authorization"] = f"Bearer {signed.json()['token']}"
            client.cookies.clear()
            yield client


async def person(place: Place, account: UUID) -> None:
    made = uuid7()
    await place.admin.execute(
        "insert into users (id, email, name, password_hash) values ($1, 'olive@bench.example', 'Olive', $2)",
        made, HASHER.hash(PASSWORD),
    )  # fmt: skip
    await place.admin.execute(
        "insert into memberships (account_id, user_id, role) values ($1, $2, 'owner')", account, made
    )


def percentile(values: list[float], part: float) -> float:
    """The value that `part` (0 to 1) of them do not exceed. Raises Problem when there are none."""
    if not values:
        raise Problem("Nothing was measured.")
    ordered = sorted(values)
    return ordered[max(0, -(-int(part * 10_000) * len(ordered) // 10_000) - 1)]
