"""`measure` seeds both accounts, starts `switchyard web` and sends each case in turn on one connection."""

from collections.abc import Sequence
from typing import Any

from app.web.paging import write_cursor
from scripts._lib.bench.app_processes import percentile, running_worker
from scripts._lib.bench.http.load_generator import connect
from scripts._lib.bench.http.processes import Site, running_site
from scripts._lib.bench.http.seeds import wait_until_counted
from scripts._lib.bench.lists.cases import DEEP, Case, cases_of
from scripts._lib.bench.lists.seeds import Lists, seed_lists
from scripts._lib.bench.report import describe_machine
from scripts._lib.bench.testbed import Testbed, running_testbed
from scripts._lib.dev.terminal import print_progress

WARM_UPS, TIMES = 3, 20
FIND_CURSOR = """
select {key} as value, id from contacts where account_id = $1 and deleted_at is null
 order by {key} {direction}, id {direction} offset $2 limit 1
"""


async def measure(contacts: int, only: Sequence[str] | None = None) -> dict[str, Any]:
    """The p95 of each group is that of its slowest case."""
    figures: dict[str, Any] = {"machine": describe_machine(), "contacts": contacts}
    async with running_testbed() as testbed:
        print_progress(f"seeding {contacts:,} contacts …")
        lists = await seed_lists(testbed, contacts)
        async with running_worker(testbed):
            await wait_until_counted(testbed, lists.seeded)
        with running_site(testbed, lists.seeded) as site:
            measured: dict[str, dict[str, float]] = {}
            for case in cases_of(lists, await find_cursors(testbed, lists)):
                if not only or case.group in only:
                    measured.setdefault(case.group, {})[case.name] = await time_case(site, case)
    for group, times in measured.items():
        figures[f"{group}_p95_ms"] = max(times.values())
    return figures | measured


async def time_case(site: Site, case: Case) -> float:
    """The p95 of one case, in milliseconds."""
    request = site.page(case.path) if case.html else site.json(case.path)
    connection = await connect(site.port)
    try:
        answers = [await connection.exchange(request) for _ in range(WARM_UPS + TIMES)]
    finally:
        connection.close()
    return round(percentile([answer.seconds for answer in answers[WARM_UPS:]], 0.95) * 1000, 1)


async def find_cursors(testbed: Testbed, lists: Lists) -> dict[str, str]:
    """The contact in the middle of the list, by sort."""
    cursors = {}
    for sort in DEEP:
        key, direction = sort.removeprefix("-"), "desc" if sort.startswith("-") else "asc"
        column = key if key.endswith("_at") else f"{key}_key"
        statement = FIND_CURSOR.format(key=column, direction=direction)
        row = await testbed.admin.fetchrow(statement, lists.seeded.account, lists.contacts // 2)
        if row is not None:
            cursors[sort] = write_cursor(row["value"], row["id"])
    return cursors
