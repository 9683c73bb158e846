"""What the scenarios share: a site with workflows, people who come in, and words to look at it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import httpx
import psutil

from scripts._lib.faults import judge
from scripts._lib.faults.deployment import Condition, Process, Site, until
from scripts._lib.faults.judge import Verdict
from scripts._lib.faults.load_generator import Feeder
from scripts._lib.faults.receiver import Sink
from scripts._lib.faults.tenants import Sent, Tenant, client_of, make_tenants
from scripts._lib.faults.visit_names import address

LEASE = 2.0
APART = 100_000  # between the numbers of those who are fed and of those who are offered meanwhile
# Each has an end that a fault may move, and a beginning that it cannot: seconds between what happened and its
# being looked at, between the end of a wait and its being noticed, between a step and its message.
LATE = {
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


class Broken(AssertionError):
    """The number of a row does not hold; the message says which."""


def ensure(fact: bool, sentence: str) -> None:
    """Raises Broken unless it is so."""
    if not fact:
        raise Broken(sentence)


class Scene:
    """`async with Scene.of(workers=2) as scene:` a site with a web server and the oracle's triggers."""

    def __init__(self, site: Site, tenants: list[Tenant], client: httpx.AsyncClient) -> None:
        self.site, self.tenants, self.client = site, tenants, client
        self.number = 0

    @classmethod
    @asynccontextmanager
    async def of(
        cls,
        *,
        workers: int = 2,
        accounts: int = 1,
        slow: tuple[float, float] = (0.0, 0.05),
        lease: float = LEASE,
        **settings: str,
    ) -> AsyncIterator["Scene"]:
        async with Site.running(lease=lease, sink=Sink(slow), **settings) as site:
            await site.start_web()
            tenants = await make_tenants(site, accounts)
            await judge.install(site)
            for _ in range(workers):
                site.start_worker()
            async with client_of(site.env["BASE_URL"]) as client:
                yield cls(site, tenants, client)

    @property
    def workers(self) -> list[Process]:
        return self.site.workers

    async def add(self, count: int, tenant: int = 0) -> list[Sent]:
        """So many contacts by the API, all of which must be acknowledged."""
        return [await self.offer(tenant, must=True) for _ in range(count)]

    async def offer(self, tenant: int = 0, *, must: bool = False, city: str = "") -> Sent:
        """One contact by the API; what the answer was."""
        self.number += 1
        of = self.tenants[tenant]
        one = Sent(of.id, address(of.number, self.number), time.time())
        of.sent.append(one)
        begun = time.monotonic()
        try:
            body = {"email": one.email, "first_name": "Ann", "state": "CA"} | ({"city": city} if city else {})
            answer = await self.client.post("/contacts", json=body, headers=of.headers())
        except httpx.HTTPError as error:
            ensure(not must, f"a contact was not taken: {error!r}")
            return one
        finally:
            one.seconds = time.monotonic() - begun
        one.status = answer.status_code
        wait = answer.headers.get("retry-after", "")
        ensure(one.status != 503 or wait.isdigit(), "POST /contacts: a 503 names no Retry-After")
        if answer.status_code == 201:
            one.id = answer.json()["contact"]["id"]
        ensure(not must or bool(one.id), f"a contact was not taken: {answer.status_code} {answer.text[:200]}")
        return one

    @asynccontextmanager
    async def fed(self, rate: float = 5.0) -> AsyncIterator[Feeder]:
        """While this lasts, contacts come in."""
        feeder = Feeder(self.site, self.tenants, 7, rate)
        feeder.number = self.number
        self.number += APART
        task = asyncio.create_task(feeder.run())
        try:
            yield feeder
        finally:
            feeder.stopped.set()
            await task
            self.number += feeder.number

    async def settled(self, seconds: float = 90.0) -> float:
        """Until nothing is due any more. Raises Broken."""
        try:
            return await until(lambda: judge.settled(self.site), seconds)
        except TimeoutError:
            row = (await self.site.sql(judge.OPEN))[0]
            raise Broken(f"not everything is settled after {seconds:.0f} s: {dict(row)}") from None

    async def judged(self) -> Verdict:
        """Settled, and every invariant holds. Raises Broken."""
        await self.settled()
        verdict = await judge.judge(self.site, self.tenants)
        ensure(verdict.holds, "; ".join(verdict.why[:5]))
        return verdict

    async def until(self, condition: Condition, seconds: float, what: str) -> float:
        """Raises Broken when it is not so in time."""
        try:
            return await until(condition, seconds)
        except TimeoutError:
            raise Broken(f"{what} did not happen within {seconds:g} s") from None

    async def late(self, bound: float, account: UUID | None = None) -> dict[str, float]:
        """Seconds late (p99) of matching, moving and sending, of one account or all. Raises Broken above
        `bound`, and when there was nothing to measure."""
        found = {}
        for what, query in LATE.items():
            rows = [row["s"] for row in await self.site.sql(query, account)]
            ensure(bool(rows), f"nothing was {what}: the row has not tested anything")
            found[f"late_{what}"] = percentile(rows, 0.99)
        worst = max(found, key=found.__getitem__)
        ensure(found[worst] <= bound, f"{found[worst]:.1f} s late (p99 of {worst}), and {bound:g} s may be")
        return found

    def taken(self, step: str = "") -> int:
        """How many deliveries the sink has seen."""
        return sum(one.visit.endswith(f"/{step}") or not step for one in self.site.sink.taken)

    async def get(self, path: str, **headers: str) -> tuple[httpx.Response, float]:
        """An answer as somebody signed in, and how many seconds it took."""
        begun = time.monotonic()
        answer = await self.client.get(path, headers=self.tenants[0].headers() | headers)
        return answer, time.monotonic() - begun

    def log_lines(self, what: str = "worker") -> list[str]:
        path = self.site.log(what)
        return path.read_text(errors="replace").splitlines() if path.exists() else []


def cpu_seconds(process: Process) -> float:
    """Processor time that a process has used so far."""
    with suppress(psutil.Error):
        used = psutil.Process(process.pid).cpu_times()
        return float(used.user + used.system)
    return 0.0


def percentile(values: list[float], share: float) -> float:
    """The value below which so much of them lies; 0 for none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def figures(**found: Any) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in found.items()}
