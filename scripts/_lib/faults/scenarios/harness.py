"""What the scenarios share: a running deployment with accounts, contacts to add, and ways to check the
outcome.

`Harness.start` is the entry point, `Harness.judge` usually comes last.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import httpx
import psutil

from scripts._lib.faults.deployment import AppProcess, Condition, Deployment, wait_until
from scripts._lib.faults.judge import UNFINISHED, RunVerdict, install_observers, is_settled, judge
from scripts._lib.faults.load_accounts import LoadAccount, OfferedContact, create_accounts, open_client
from scripts._lib.faults.load_generator import LoadGenerator
from scripts._lib.faults.receiver import Receiver
from scripts._lib.faults.visit_names import contact_email

LEASE = 2.0
NUMBER_GAP = 100_000  # between the contacts of the load and those that are offered meanwhile
# Seconds late, measured from a time that a fault can't move: from an event to its matching, from the end of a
# wait to the next step, from a step to its message.
LATENESS = {
    "matched": """
select extract(epoch from matched_at - occurred_at)::float as s from events
 where matched_at is not null and ($1::uuid is null or account_id = $1)
""",
    "moved": """
select extract(epoch from finished_at - cast(detail ->> 'until' as timestamptz))::float as s
  from enrollment_executions
 where kind = 'wait' and outcome = 'passed' and ($1::uuid is null or account_id = $1)
""",
    "sent": """
select extract(epoch from sent_at - created_at)::float as s from effects
 where sent_at is not null and ($1::uuid is null or account_id = $1)
""",
}


class ScenarioFailed(AssertionError):
    """A row does not hold; the message says why."""


def ensure(condition: bool, failure: str) -> None:
    """Raises ScenarioFailed unless the condition holds."""
    if not condition:
        raise ScenarioFailed(failure)


class Harness:
    """A deployment with a web server, workers, accounts and the observers of the judge."""

    def __init__(
        self, deployment: Deployment, accounts: list[LoadAccount], client: httpx.AsyncClient
    ) -> None:
        self.deployment, self.accounts, self.client = deployment, accounts, client
        self.number = 0

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        *,
        workers: int = 2,
        accounts: int = 1,
        answer_seconds: tuple[float, float] = (0.0, 0.05),
        lease: float = LEASE,
        **settings: str,
    ) -> AsyncIterator["Harness"]:
        """Start everything; `settings` are environment variables of the program."""
        receiver = Receiver(answer_seconds)
        async with Deployment.running(lease=lease, receiver=receiver, **settings) as deployment:
            await deployment.start_web()
            load_accounts = await create_accounts(deployment, accounts)
            await install_observers(deployment)
            for _ in range(workers):
                deployment.start_worker()
            async with open_client(deployment.env["BASE_URL"]) as client:
                yield cls(deployment, load_accounts, client)

    @property
    def workers(self) -> list[AppProcess]:
        return self.deployment.workers

    async def add_contacts(self, count: int, account: int = 0) -> list[OfferedContact]:
        """Add contacts through the API. Raises ScenarioFailed unless each is acknowledged."""
        return [await self.offer_contact(account, required=True) for _ in range(count)]

    async def offer_contact(self, account_number: int = 0, *, required: bool = False) -> OfferedContact:
        """Offer one contact to the API. Raises ScenarioFailed when it is `required` and not acknowledged."""
        self.number += 1
        account = self.accounts[account_number]
        contact = OfferedContact(account.id, contact_email(account.number, self.number), time.time())
        account.offered.append(contact)
        body = {"email": contact.email, "first_name": "Ann", "state": "CA"}
        started = time.monotonic()
        try:
            response = await self.client.post("/contacts", json=body, headers=account.headers())
        except httpx.HTTPError as error:
            ensure(not required, f"a contact was not accepted: {error!r}")
            return contact
        finally:
            contact.seconds = time.monotonic() - started
        contact.status = response.status_code
        retry_after = response.headers.get("retry-after", "")
        ensure(
            contact.status != 503 or retry_after.isdigit(),
            "POST /contacts: a 503 without a valid Retry-After",
        )
        if response.status_code == 201:
            contact.id = response.json()["contact"]["id"]
        ensure(
            not required or bool(contact.id),
            f"a contact was not accepted: {response.status_code} {response.text[:200]}",
        )
        return contact

    @asynccontextmanager
    async def load(self, rate: float = 5.0) -> AsyncIterator[LoadGenerator]:
        """Offer `rate` contacts per second during the block."""
        load = LoadGenerator(self.deployment, self.accounts, 7, rate)
        load.number = self.number
        self.number += NUMBER_GAP
        task = asyncio.create_task(load.run())
        try:
            yield load
        finally:
            load.stopped.set()
            await task
            self.number += load.number

    async def wait_until_settled(self, seconds: float = 90.0) -> float:
        """Wait until nothing is due anymore. Raises ScenarioFailed."""
        try:
            return await wait_until(lambda: is_settled(self.deployment), seconds)
        except TimeoutError:
            row = (await self.deployment.sql(UNFINISHED))[0]
            raise ScenarioFailed(f"not everything is settled after {seconds:.0f} s: {dict(row)}") from None

    async def judge(self) -> RunVerdict:
        """Wait until everything is settled, then judge. Raises ScenarioFailed unless the verdict holds."""
        await self.wait_until_settled()
        verdict = await judge(self.deployment, self.accounts)
        ensure(verdict.holds, "; ".join(verdict.why[:5]))
        return verdict

    async def wait_for(self, condition: Condition, seconds: float, what: str) -> float:
        """Wait for a condition; return the seconds that it took. Raises ScenarioFailed."""
        try:
            return await wait_until(condition, seconds)
        except TimeoutError:
            raise ScenarioFailed(f"{what} did not happen within {seconds:g} s") from None

    async def check_lateness(self, max_seconds: float, account: UUID | None = None) -> dict[str, float]:
        """Seconds late (p99) of matching, moving and sending, of one account or all.

        Raises ScenarioFailed above `max_seconds`, and when there was nothing to measure.
        """
        late = {}
        for work, query in LATENESS.items():
            seconds = [row["s"] for row in await self.deployment.sql(query, account)]
            ensure(bool(seconds), f"nothing was {work}: the scenario tested nothing")
            late[f"late_{work}"] = percentile(seconds, 0.99)
        worst = max(late, key=late.__getitem__)
        ensure(
            late[worst] <= max_seconds, f"{worst}: {late[worst]:.1f} s (p99), allowed are {max_seconds:g} s"
        )
        return late

    def count_deliveries(self, step: str = "") -> int:
        """How many deliveries arrived, of one step or all."""
        deliveries = self.deployment.receiver.deliveries
        return sum(not step or delivery.visit.endswith(f"/{step}") for delivery in deliveries)

    async def get(self, path: str, **headers: str) -> tuple[httpx.Response, float]:
        """The response to a signed-in member, and the seconds that it took."""
        started = time.monotonic()
        response = await self.client.get(path, headers=self.accounts[0].headers() | headers)
        return response, time.monotonic() - started

    def log_lines(self, name: str = "worker") -> list[str]:
        path = self.deployment.log(name)
        return path.read_text(errors="replace").splitlines() if path.exists() else []


def cpu_seconds(process: AppProcess) -> float:
    """CPU seconds that a process has used so far."""
    with suppress(psutil.Error):
        used = psutil.Process(process.pid).cpu_times()
        return float(used.user + used.system)
    return 0.0


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies; 0 for none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def figures(**values: Any) -> dict[str, Any]:
    """What a scenario returns: its figures, rounded."""
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
