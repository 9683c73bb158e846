"""Two web servers and two workers behind nginx: restarted in turn without a failed request or a lost event,
and without sticky sessions."""

import asyncio
import itertools
import time
from collections import Counter
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from app.credentials import HASHER
from app.engine.core.steps import AddTag, Step
from app.engine.core.triggers import ContactCreated
from db.ids import uuid7
from scripts._lib.bench.testbed import Testbed
from tests.deployment.site import Deployment, Program, is_ready, running_site

pytestmark = pytest.mark.slow
EMAIL, PASSWORD = "olive@acme.example", "correct horse battery"
BACK_SECONDS = 1.0  # of traffic for both, between two restarts
READERS, WRITERS = 4, 4


async def add_account(testbed: Testbed) -> UUID:
    """An account with an owner, and a workflow that tags each new contact."""
    account = await testbed.account("Acme")
    user = uuid7()
    await testbed.admin.execute(
        "insert into users (id, email, name, password_hash) values ($1, $2, 'Olive', $3)",
        user, EMAIL, HASHER.hash(PASSWORD),
    )  # fmt: skip
    await testbed.admin.execute(
        "insert into memberships (account_id, user_id, role) values ($1, $2, 'owner')", account, user
    )
    tag = await testbed.tag(account, "welcomed")
    await testbed.workflow(account, [Step("s1", AddTag(tag=tag))], [ContactCreated(key="t1")])
    return account


async def sign_in(client: httpx.AsyncClient) -> str:
    """Sign in; the token for scripts."""
    answer = await client.post("/sessions", json={"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["token"]
    return token


class Traffic:
    """Requests that go on until `stop`: what they were answered with, and what failed."""

    def __init__(self, site: Deployment, token: str) -> None:
        self.site = site
        self.headers = {"authorization": f"Bearer {token}"}
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []
        self.stopping = False
        self.numbers = itertools.count()

    async def read(self) -> None:
        """List contacts, in turn as JSON and as a page."""
        async with self.site.client() as client:
            for accept in itertools.cycle(("application/json", "text/html")):
                if self.stopping:
                    return
                await self.send(client, "GET", 200, headers=self.headers | {"accept": accept})

    async def write(self) -> None:
        """Create contacts."""
        async with self.site.client() as client:
            while not self.stopping:
                body = {"email": f"c{next(self.numbers)}@people.example"}
                await self.send(client, "POST", 201, headers=self.headers, json=body)

    async def send(self, client: httpx.AsyncClient, method: str, expected: int, **options: object) -> None:
        try:
            answer = await client.request(method, "/contacts", **options)  # type: ignore[arg-type]  # -- httpx's own
        except httpx.HTTPError as error:
            self.failures.append(f"{method}: {error!r}")
            return
        self.statuses[answer.status_code] += 1
        if answer.status_code != expected:
            self.failures.append(f"{method}: {answer.status_code} {answer.text[:200]}")


async def restart(program: Program) -> float:
    """Restart a program; the seconds that it took to end."""
    seconds = await asyncio.to_thread(program.end)
    await asyncio.to_thread(program.start)
    return seconds


async def test_servers_restarted_in_turn_fail_no_request_and_lose_no_event(
    nginx: Path, testbed: Testbed, tmp_path: Path
) -> None:
    account = await add_account(testbed)
    with running_site(testbed, nginx, tmp_path) as site:
        async with site.client() as client:
            traffic = Traffic(site, await sign_in(client))
        tasks = [asyncio.create_task(traffic.read()) for _ in range(READERS)]
        tasks += [asyncio.create_task(traffic.write()) for _ in range(WRITERS)]
        await asyncio.sleep(1)
        for web in site.webs * 2:
            assert await restart(web) < 15
            await asyncio.sleep(BACK_SECONDS)
        for worker in site.workers:
            assert await restart(worker) < 15
        traffic.stopping = True
        await asyncio.gather(*tasks)
        assert traffic.failures == [], site.proxy_errors()
        created = traffic.statuses[201]
        assert created > 20
        assert traffic.statuses[200] > 20
        await wait_until_tagged(testbed, account, created)


async def wait_until_tagged(testbed: Testbed, account: UUID, contacts: int) -> None:
    """Each contact was written once, and the workflow tagged it once."""
    assert (
        await testbed.admin.fetchval("select count(*) from contacts where account_id = $1", account)
        == contacts
    )
    deadline = time.monotonic() + 60
    while True:
        tagged = await testbed.admin.fetchval(
            "select count(*) from contact_tags where account_id = $1", account
        )
        if tagged == contacts or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    assert tagged == contacts


async def test_a_session_holds_in_every_server_and_ends_in_all_at_once(
    nginx: Path, testbed: Testbed, tmp_path: Path
) -> None:
    await add_account(testbed)
    with running_site(testbed, nginx, tmp_path) as site:
        first, second = [site.client(address) for address in site.direct]
        async with first, second:
            token = await sign_in(first)
            headers = {"authorization": f"Bearer {token}"}
            for client in (first, second, first, second):
                assert (await client.get("/contacts", headers=headers)).status_code == 200
            # Signed by the other server, whose key this server has not seen.
            other = {"authorization": f"Bearer {await sign_in(second)}"}
            assert (await first.get("/contacts", headers=other)).status_code == 200
            answer = await second.post("/sessions/current/deletion", headers=headers)
            assert answer.is_success, answer.text
            for client in (first, second):
                assert (await client.get("/contacts", headers=headers)).status_code == 401
            assert (await first.get("/contacts", headers=other)).status_code == 200


async def test_a_server_that_was_told_to_end_answers_until_balancers_know(
    nginx: Path, testbed: Testbed, tmp_path: Path
) -> None:
    await add_account(testbed)
    with running_site(testbed, nginx, tmp_path, DRAIN_SECONDS="2") as site:
        web, address = site.webs[0], site.direct[0]
        assert web.process is not None
        async with site.client(address) as client:
            token = await sign_in(client)
            web.process.terminate()
            started = time.monotonic()
            while is_ready(address):
                assert time.monotonic() - started < 2
                await asyncio.sleep(0.05)
            ready = await client.get("/health/ready")
            assert (ready.status_code, ready.json()["status"]) == (503, "ending")
            answer = await client.get("/contacts", headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == 200
        await asyncio.to_thread(web.process.wait, 20)
        assert time.monotonic() - started >= 2
