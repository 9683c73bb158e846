"""People who come in through the API while things break, and what they do then."""

import asyncio
import random
import time
from contextlib import suppress
from typing import Any

import asyncpg
import httpx

from scripts._lib.faults.deployment import Site
from scripts._lib.faults.tenants import Sent, Tenant, client_of
from scripts._lib.faults.visit_names import GOAL_CITY, address

RENEW = 600.0  # seconds; the tokens of a session live for fifteen minutes
MOST_AT_ONCE = 200
LONGEST = 90.0  # seconds in which what is on its way must have ended
UNSUBSCRIBE, PAUSE = 0.06, 0.04  # shares of those who do not buy
STANDING = """
select e.id::text from enrollments e
 where e.account_id = cast($1 as text)::uuid and e.contact_id = cast($2 as text)::uuid and e.status = 'active'
 limit 1
"""


class Feeder:
    """Offers contacts to the API at a rate, each once, and notes which were acknowledged. `acts` lets people
    unsubscribe and be paused as well."""

    def __init__(
        self, site: Site, tenants: list[Tenant], seed: int, rate: float, *, acts: bool = False
    ) -> None:
        self.site, self.tenants, self.rate, self.acts = site, tenants, rate, acts
        self.random = random.Random(seed)  # noqa: S311 -- repeatable on purpose
        self.number = 0
        self.running: set[asyncio.Task[None]] = set()
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        """Until `stopped` is set; then what is on its way is waited for. Raises TimeoutError."""
        async with client_of(self.site.env["BASE_URL"]) as client:
            renewed = time.monotonic()
            while not self.stopped.is_set():
                await asyncio.sleep(self.random.expovariate(self.rate))
                if time.monotonic() - renewed > RENEW:
                    renewed = time.monotonic()
                    await self.renew(client)
                if len(self.running) < MOST_AT_ONCE:
                    self.begin(client)
            async with asyncio.timeout(LONGEST):
                await asyncio.gather(*self.running)

    async def renew(self, client: httpx.AsyncClient) -> None:
        for tenant in self.tenants:
            while not self.stopped.is_set():
                try:
                    await tenant.sign_in(client)
                    break
                except httpx.HTTPError:
                    await asyncio.sleep(0.5)

    def begin(self, client: httpx.AsyncClient) -> None:
        tenant = self.random.choice(self.tenants)
        self.number += 1
        one = Sent(tenant.id, address(tenant.number, self.number), time.time())
        tenant.sent.append(one)
        body = {"email": one.email, "first_name": "Ann", "state": self.random.choice(("CA", "NY", "TX"))}
        buys = self.random.random() < 0.5
        after = self.random.uniform(0.5, 8.0)
        task = asyncio.create_task(self.live(client, tenant, one, body, "buy" if buys else self.act(), after))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    def act(self) -> str:
        """What somebody who does not buy does."""
        chance = self.random.random()
        if not self.acts or chance >= UNSUBSCRIBE + PAUSE:
            return ""
        return "unsubscribe" if chance < UNSUBSCRIBE else "pause"

    async def live(
        self, client: httpx.AsyncClient, tenant: Tenant, one: Sent, body: Any, act: str, after: float
    ) -> None:
        """Come in; some buy after a while, which is the goal, unsubscribe or are paused."""
        begun = time.monotonic()
        try:
            answer = await client.post("/contacts", json=body, headers=tenant.headers())
        except httpx.HTTPError as error:
            one.error, one.seconds = type(error).__name__, time.monotonic() - begun
            return
        one.status, one.seconds = answer.status_code, time.monotonic() - begun
        if answer.status_code >= 300:
            return
        one.id = answer.json()["contact"]["id"]
        if not act:
            return
        await asyncio.sleep(after)
        place = f"/contacts/{one.id}"
        if act == "buy":
            one.bought = await self.ask(client, tenant, one, place, {"city": GOAL_CITY})
        elif act == "unsubscribe":
            one.unsubscribed = await self.ask(client, tenant, one, place, {"email_consent": "denied"})
        else:
            await self.pause(client, tenant, one)

    async def pause(self, client: httpx.AsyncClient, tenant: Tenant, one: Sent) -> None:
        """One of the enrollments, for good: it is never resumed."""
        rows = []
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            rows = await self.site.sql(STANDING, one.account, one.id)
        for row in rows:
            one.asked_to_pause = row["id"]
            at = await self.ask(client, tenant, one, f"/enrollments/{row['id']}/pause", {})
            one.paused = (row["id"], at) if at else None

    async def ask(
        self, client: httpx.AsyncClient, tenant: Tenant, one: Sent, path: str, body: dict[str, str]
    ) -> float:
        """When it was acknowledged, in seconds since the epoch; 0 when it was not."""
        try:
            answer = await client.post(path, json=body, headers=tenant.headers())
        except httpx.HTTPError:
            return 0.0
        one.later.append(answer.status_code)
        return time.time() if answer.status_code < 300 else 0.0


class Publisher:
    """Publishes the second version of each account's `journey` while things break."""

    def __init__(self, site: Site, tenants: list[Tenant], after: float) -> None:
        self.site, self.tenants, self.after = site, tenants, after

    async def run(self, drafts: list[Any]) -> None:
        """Until each account has it: an answer that was lost is asked for again, which is refused then."""
        await asyncio.sleep(self.after)
        async with client_of(self.site.env["BASE_URL"]) as client:
            for tenant, draft in zip(self.tenants, drafts, strict=True):
                while not await self.published(client, tenant, draft):  # noqa: ASYNC110 -- it asks a server
                    await asyncio.sleep(0.5)

    async def published(self, client: httpx.AsyncClient, tenant: Tenant, draft: Any) -> bool:
        try:
            path, headers = f"{tenant.journey}/publication", tenant.headers()
            answer = await client.post(path, json=draft, headers=headers)
            if answer.status_code < 300:
                return True
            answer = await client.get(tenant.journey, headers=headers)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and answer.json()["workflow"]["live_version"] == 2
