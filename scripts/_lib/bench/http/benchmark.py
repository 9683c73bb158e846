"""`scripts/bench http`: pages and JSON beside the document's stack and Django's admin, in one run. `measure`
is the entry point."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from scripts._lib.bench.app_processes import running_worker
from scripts._lib.bench.http.measured_run import HttpSizes, MeasuredRun
from scripts._lib.bench.http.parts import PARTS
from scripts._lib.bench.http.peers.processes import create_role
from scripts._lib.bench.http.seeds import seed_accounts, wait_until_counted
from scripts._lib.bench.report import describe_machine
from scripts._lib.bench.testbed import running_testbed
from scripts._lib.dev.terminal import print_progress

QUICK = HttpSizes(
    contacts=500,
    all_contacts=2_000,
    accounts=2,
    rounds=1,
    seconds=1.0,
    counted=5,
    large_contacts=20_000,
    search_seconds=3.0,
    polls=3,
)


async def measure(parts: Sequence[str], sizes: HttpSizes) -> dict[str, Any]:
    """Measure these parts on servers of their own; return the figures by JSON key."""
    figures: dict[str, Any] = {"machine": describe_machine()}
    async with running_testbed() as testbed, AsyncExitStack() as stack:
        print_progress("seeding …")
        seeded = await seed_accounts(testbed, sizes.contacts, sizes.all_contacts, sizes.accounts)
        await create_role(testbed)
        await stack.enter_async_context(running_worker(testbed))
        await wait_until_counted(testbed, seeded)
        run = MeasuredRun(testbed, seeded, sizes, stack)
        for part in parts:
            print_progress(f"{part} …")
            figures |= await PARTS[part](run)
    return figures
