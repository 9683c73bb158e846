"""PostgreSQL is killed (F03), or ends connections of a small pool (F04)."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import asyncpg

from scripts._lib.faults.load_accounts import OfferedContact
from scripts._lib.faults.scenarios.harness import Harness, ensure, figures

ROUNDS = 3
OUTAGE_SECONDS = 2.5
DROPPING_SECONDS = 20.0
CONCURRENT_REQUESTS = 20
HANG_SECONDS = 10.0  # connecting alone may take five
COUNT_CONNECTIONS = "select count(*) from pg_stat_activity where application_name = $1"
DROP_CONNECTION = """
select count(pg_terminate_backend(pid)) from (
  select pid from pg_stat_activity where usename = 'app_user' order by random() limit 1) x
"""


async def f03_postgres_is_killed() -> dict[str, Any]:
    """SIGKILL PostgreSQL under load.

    While it is gone the API answers 503 with Retry-After within two seconds. Work continues by itself within
    five seconds of its return. Whatever was answered with 2xx is there.
    """
    slowest, resumed = 0.0, []
    async with Harness.start(workers=2) as harness:
        pids = [worker.pid for worker in harness.workers]
        async with harness.load(5.0):
            for _ in range(ROUNDS):
                await harness.add_contacts(5)  # their waits end while the database is gone
                harness.deployment.kill_postgres()
                end = time.monotonic() + OUTAGE_SECONDS
                while time.monotonic() < end:
                    seconds = await asyncio.gather(refused_write(harness), refused_read(harness))
                    slowest = max(slowest, *seconds)
                await harness.deployment.start_postgres()
                resumed.append(await seconds_to_next_send(harness))
        ensure([worker.pid for worker in harness.workers] == pids, "a worker was replaced")
        alive = all(worker.is_alive() for worker in harness.workers)
        ensure(alive, "a worker ended because the database was gone")
        verdict = await harness.judge()
        return figures(
            rounds=ROUNDS, slowest_503=slowest, resumed=max(resumed), acknowledged=verdict.acknowledged
        )


async def seconds_to_next_send(harness: Harness) -> float:
    before = harness.count_deliveries()
    return await harness.wait_for(lambda: harness.count_deliveries() > before, 5.0, "the next send")


async def refused_write(harness: Harness) -> float:
    """Offer a contact while the database is gone; return the seconds that the 503 took."""
    contact = await harness.offer_contact()
    ensure(contact.status == 503, f"POST /contacts answered {contact.status} without a database")
    ensure(contact.seconds <= 2.0, f"a 503 took {contact.seconds:.1f} s")
    return contact.seconds


async def refused_read(harness: Harness) -> float:
    """Read the list while the database is gone; return the seconds that the 503 took."""
    response, seconds = await harness.get("/contacts")
    ensure(response.status_code == 503, f"GET /contacts answered {response.status_code} without a database")
    ensure(response.headers.get("retry-after", "").isdigit(), "a 503 without a valid Retry-After")
    ensure(seconds <= 2.0, f"a 503 took {seconds:.1f} s")
    return seconds


async def f04_connections_are_dropped() -> dict[str, Any]:
    """End connections all the time, with two connections per process and twenty requests at once.

    No worker ends, the API answers 201 or 503, no request hangs, and no member sees another account's
    contacts.
    """
    async with Harness.start(
        workers=2, accounts=2, DATABASE_POOL_SIZE="2", CHAOS_POOL_OVERFLOW="0"
    ) as harness:
        pids = [worker.pid for worker in harness.workers]
        application_name = f"switchyard {harness.deployment.web.pid if harness.deployment.web else 0}"
        dropping = asyncio.create_task(drop_connections(harness))
        foreign, connections, offered = 0, 0, list[OfferedContact]()
        while not dropping.done():
            numbers = [number % 2 for number in range(CONCURRENT_REQUESTS // 2)]
            writes = asyncio.gather(*(harness.offer_contact(number) for number in numbers))
            reads = asyncio.gather(*(count_foreign_contacts(harness, number) for number in numbers))
            offered += await writes
            foreign += sum(await reads)
            # Two of the pool, and perhaps one that was ended and isn't gone yet.
            connections = max(
                connections, await harness.deployment.value(COUNT_CONNECTIONS, application_name)
            )
        dropped, answers = await dropping, Counter(contact.status for contact in offered)
        ensure(dropped >= 20, f"only {dropped} connections were dropped")
        ensure(0 < connections <= 3, f"the web server had {connections} connections: its pool wasn't small")
        ensure(set(answers) <= {201, 503}, f"the API answered {dict(answers)}")
        ensure(answers[201] >= 20, f"the API accepted hardly any contact: {dict(answers)}")
        slowest = max(contact.seconds for contact in offered)
        ensure(slowest <= HANG_SECONDS, f"an answer took {slowest:.1f} s")
        ensure(foreign == 0, f"{foreign} contacts of another account were shown")
        alive = [worker.pid for worker in harness.workers if worker.is_alive()]
        ensure(alive == pids, "a worker ended because its connections were dropped")
        await harness.judge()
        return figures(dropped=dropped, answers=dict(answers), slowest=slowest)


async def drop_connections(harness: Harness) -> int:
    """End a connection of the program five times a second; return how many were ended."""
    count, end = 0, time.monotonic() + DROPPING_SECONDS
    while time.monotonic() < end:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            count += await harness.deployment.value(DROP_CONNECTION)
        await asyncio.sleep(0.2)
    return count


async def count_foreign_contacts(harness: Harness, account_number: int) -> int:
    """How many contacts of other accounts the account's list shows."""
    account = harness.accounts[account_number]
    response = await harness.client.get("/contacts", headers=account.headers())
    ensure(response.status_code in (200, 503), f"GET /contacts answered {response.status_code}")
    if response.status_code == 503:
        return 0
    own = f"@a{account.number}.example"
    return sum(not contact["email"].endswith(own) for contact in response.json()["items"])
