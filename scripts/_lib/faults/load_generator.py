"""The load of a run: contacts come in through the API while things break, and then act.

`LoadGenerator` adds the contacts; half of them buy later, some unsubscribe or are paused. `Publisher`
publishes the second version of each account's workflow.
"""

import asyncio
import random
import time
from contextlib import suppress
from typing import Any

import asyncpg
import httpx

from scripts._lib.faults.deployment import Deployment
from scripts._lib.faults.load_accounts import LoadAccount, OfferedContact, open_client
from scripts._lib.faults.visit_names import GOAL_CITY, contact_email

SESSION_SECONDS = 600.0  # the token of a session is valid for fifteen minutes
MAX_CONCURRENT = 200
MAX_ENDING_SECONDS = 90.0  # in which running requests must end
BUY_SHARE = 0.5
UNSUBSCRIBE_SHARE, PAUSE_SHARE = 0.06, 0.04  # of those who do not buy
ACTIVE_ENROLLMENT = """
select e.id::text from enrollments e
 where e.account_id = cast($1 as text)::uuid and e.contact_id = cast($2 as text)::uuid and e.status = 'active'
 limit 1
"""


class LoadGenerator:
    """Offers each contact to the API once, at a rate, and remembers which were acknowledged.

    `rate` is in contacts per second. With `acts`, contacts also unsubscribe and are paused.
    """

    def __init__(
        self,
        deployment: Deployment,
        accounts: list[LoadAccount],
        seed: int,
        rate: float,
        *,
        acts: bool = False,
    ) -> None:
        self.deployment, self.accounts, self.rate, self.acts = deployment, accounts, rate, acts
        self.random = random.Random(seed)  # noqa: S311 -- repeatable on purpose
        self.number = 0
        self.running: set[asyncio.Task[None]] = set()
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        """Offer contacts until `stopped` is set, then wait for running requests. Raises TimeoutError."""
        async with open_client(self.deployment.env["BASE_URL"]) as client:
            signed_in_at = time.monotonic()
            while not self.stopped.is_set():
                await asyncio.sleep(self.random.expovariate(self.rate))
                if time.monotonic() - signed_in_at > SESSION_SECONDS:
                    signed_in_at = time.monotonic()
                    await self.renew_sessions(client)
                if len(self.running) < MAX_CONCURRENT:
                    self.start_contact(client)
            async with asyncio.timeout(MAX_ENDING_SECONDS):
                await asyncio.gather(*self.running)

    async def renew_sessions(self, client: httpx.AsyncClient) -> None:
        for account in self.accounts:
            while not self.stopped.is_set():
                try:
                    await account.sign_in(client)
                    break
                except httpx.HTTPError:
                    await asyncio.sleep(0.5)

    def start_contact(self, client: httpx.AsyncClient) -> None:
        """Choose what the next contact is and does, and start it as a task."""
        account = self.random.choice(self.accounts)
        self.number += 1
        contact = OfferedContact(account.id, contact_email(account.number, self.number), time.time())
        account.offered.append(contact)
        body = {"email": contact.email, "first_name": "Ann", "state": self.random.choice(("CA", "NY", "TX"))}
        buys = self.random.random() < BUY_SHARE
        delay = self.random.uniform(0.5, 8.0)
        action = "buy" if buys else self.choose_action()
        task = asyncio.create_task(self.run_contact(client, account, contact, body, action, delay))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    def choose_action(self) -> str:
        """What a contact who doesn't buy does: `unsubscribe`, `pause`, or nothing (empty)."""
        chance = self.random.random()
        if not self.acts or chance >= UNSUBSCRIBE_SHARE + PAUSE_SHARE:
            return ""
        return "unsubscribe" if chance < UNSUBSCRIBE_SHARE else "pause"

    async def run_contact(
        self,
        client: httpx.AsyncClient,
        account: LoadAccount,
        contact: OfferedContact,
        body: Any,
        action: str,
        delay: float,
    ) -> None:
        """Create the contact; after `delay` seconds, act. To buy is to reach the goal."""
        started = time.monotonic()
        try:
            response = await client.post("/contacts", json=body, headers=account.headers())
        except httpx.HTTPError as error:
            contact.error, contact.seconds = type(error).__name__, time.monotonic() - started
            return
        contact.status, contact.seconds = response.status_code, time.monotonic() - started
        if response.status_code >= 300:
            return
        contact.id = response.json()["contact"]["id"]
        if not action:
            return
        await asyncio.sleep(delay)
        path = f"/contacts/{contact.id}"
        if action == "buy":
            contact.bought = await self.post(client, account, contact, path, {"city": GOAL_CITY})
        elif action == "unsubscribe":
            consent = {"email_consent": "denied"}
            contact.unsubscribed = await self.post(client, account, contact, path, consent)
        else:
            await self.pause(client, account, contact)

    async def pause(self, client: httpx.AsyncClient, account: LoadAccount, contact: OfferedContact) -> None:
        """Pause one of the contact's enrollments for good."""
        rows = []
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            rows = await self.deployment.sql(ACTIVE_ENROLLMENT, contact.account, contact.id)
        for row in rows:
            contact.pause_requested = row["id"]
            path = f"/enrollments/{row['id']}/pause"
            paused_at = await self.post(client, account, contact, path, {})
            contact.paused = (row["id"], paused_at) if paused_at else None

    async def post(
        self,
        client: httpx.AsyncClient,
        account: LoadAccount,
        contact: OfferedContact,
        path: str,
        body: dict[str, str],
    ) -> float:
        """When the request was acknowledged, in seconds since the epoch; 0 when it wasn't."""
        try:
            response = await client.post(path, json=body, headers=account.headers())
        except httpx.HTTPError:
            return 0.0
        contact.later_statuses.append(response.status_code)
        return time.time() if response.status_code < 300 else 0.0


class Publisher:
    """Publishes the second version of each account's `journey` while things break."""

    def __init__(self, deployment: Deployment, accounts: list[LoadAccount], delay: float) -> None:
        self.deployment, self.accounts, self.delay = deployment, accounts, delay

    async def run(self, drafts: list[Any]) -> None:
        """After `delay` seconds publish each account's draft, again and again until it is published.

        When the answer to a successful request was lost, the next request is refused.
        """
        await asyncio.sleep(self.delay)
        async with open_client(self.deployment.env["BASE_URL"]) as client:
            for account, draft in zip(self.accounts, drafts, strict=True):
                while not await self.publish(client, account, draft):  # noqa: ASYNC110 -- it asks a server
                    await asyncio.sleep(0.5)

    async def publish(self, client: httpx.AsyncClient, account: LoadAccount, draft: Any) -> bool:
        """Whether the second version is live now."""
        try:
            path, headers = f"{account.journey}/publication", account.headers()
            response = await client.post(path, json=draft, headers=headers)
            if response.status_code < 300:
                return True
            response = await client.get(account.journey, headers=headers)
        except httpx.HTTPError:
            return False
        return response.status_code == 200 and response.json()["workflow"]["live_version"] == 2
