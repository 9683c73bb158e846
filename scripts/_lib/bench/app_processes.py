"""The program as it runs in production: `switchyard worker`, and `switchyard web` with a signed-in client.

`running_worker` and `running_web` are the entry points.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

import httpx
import psutil

from app.credentials import HASHER
from db.ids import uuid7
from scripts._lib.bench.testbed import Testbed
from scripts._lib.dev import app_commands
from scripts._lib.dev.processes import ChildProgram, free_port, spawn, wait_until_ready
from scripts._lib.dev.terminal import ScriptError
from scripts._lib.dev.virtualenv import ROOT

EMAIL = "olive@bench.example"
PASSWORD = "correct horse battery"  # noqa: S105 -- of an account that lives for one run
START_SECONDS = 60.0
JSON = {"accept": "application/json"}


@contextmanager
def app_process(testbed: Testbed, name: str, *arguments: str, **values: str) -> Iterator[psutil.Process]:
    """Run one command of the application; end it with SIGTERM. `values` are added to its environment."""
    program = ChildProgram(
        name, app_commands.command(name, *arguments), log=testbed.folder / f"{name}.log", cwd=ROOT,
        env=testbed.environment(**values),
    )  # fmt: skip
    process = spawn(program)
    try:
        if name == "web":
            wait_until_ready(lambda: is_ready(arguments[-1]), process, program, START_SECONDS)
        yield psutil.Process(process.pid)
        if process.poll() is not None:
            raise ScriptError(f"{name} ended by itself; its log: {program.log.read_text()[-2000:]}")
    finally:
        process.terminate()
        process.wait(30)


def is_ready(port: str) -> bool:
    """Whether the web server on this port says that it is ready."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@asynccontextmanager
async def running_worker(testbed: Testbed) -> AsyncIterator[psutil.Process]:
    """`switchyard worker`, after its first heartbeat."""
    with app_process(testbed, "worker") as process:
        for _ in range(600):
            if await testbed.admin.fetchval("select count(*) from workers where pid = $1", process.pid):
                break
            await asyncio.sleep(0.1)
        else:
            raise ScriptError("The worker sent no heartbeat within a minute.")
        yield process


@asynccontextmanager
async def running_web(testbed: Testbed, account: UUID) -> AsyncIterator[httpx.AsyncClient]:
    """`switchyard web`, and a client that is signed in to the account with a token and asks for JSON."""
    await create_owner(testbed, account)
    port = str(free_port())
    base = f"http://127.0.0.1:{port}"
    with app_process(testbed, "web", "--port", port, BASE_URL=base):
        async with httpx.AsyncClient(base_url=base, headers=JSON, trust_env=False, timeout=30) as client:
            response = await client.post("/sessions", json={"email": EMAIL, "password": PASSWORD})
            if response.status_code != 201:
                raise ScriptError(
                    f"Signing in was answered with {response.status_code}: {response.text[:300]}"
                )
            client.headers["authorization"] = f"Bearer {response.json()['token']}"
            client.cookies.clear()
            yield client


async def create_owner(testbed: Testbed, account: UUID) -> None:
    """Insert the account's owner."""
    user = uuid7()
    await testbed.admin.execute(
        "insert into users (id, email, name, password_hash) values ($1, $2, 'Olive', $3)",
        user, EMAIL, HASHER.hash(PASSWORD),
    )  # fmt: skip
    await testbed.admin.execute(
        "insert into memberships (account_id, user_id, role) values ($1, $2, 'owner')", account, user
    )


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of them don't exceed. Raises ScriptError for none."""
    if not values:
        raise ScriptError("Nothing was measured.")
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 10_000) * len(ordered) // 10_000) - 1)]
