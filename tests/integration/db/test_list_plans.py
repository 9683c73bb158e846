"""The cases of `scripts/bench list` on 200,000 contacts: what PostgreSQL reads for a page of 50.

On a database of its own, as the restricted role. It measures rows, not time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import msgspec
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import event

from app.contacts.counting import count_page
from app.contacts.listing import DEFAULT_SORT, Query, read_filter
from app.contacts.pages import read_page
from app.contacts.use_cases import Catalogs
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.work import SYSTEM, Work, open_work
from db.queries import contact_pages
from db.queries.driver_statements import fetch_rows
from jobs.counter_upkeep import keep_counters
from scripts._lib.bench.lists.benchmark import find_cursors
from scripts._lib.bench.lists.cases import Case, cases_of
from scripts._lib.bench.lists.seeds import Lists, seed_lists
from scripts._lib.bench.testbed import Testbed
from scripts._lib.dev.postgres import Postgres
from tests.conftest import PASSWORDS, ROOT

NAME, CONTACTS, MOST_READ = "list_plans", 200_000, 20_000
# A count of these reads as many contacts as it counts.
MOST_COUNTED = 30_000
SCANS = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan")


@pytest.fixture
async def lists(postgres: Postgres) -> AsyncIterator[tuple[Lists, dict[str, str]]]:
    """The accounts of the benchmark, smaller, and the middle of each sorted list."""
    await asyncio.to_thread(postgres.bootstrap, NAME, PASSWORDS)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
    config.set_main_option("sqlalchemy.url", postgres.url("app_owner", PASSWORDS["app_owner"], NAME))
    await asyncio.to_thread(command.upgrade, config, "head")
    admin = await asyncpg.connect(postgres.superuser_url(NAME))
    testbed = Testbed.__new__(Testbed)
    testbed.admin = admin
    seeded = await seed_lists(testbed, CONTACTS)
    yield seeded, await find_cursors(testbed, seeded)
    await admin.close()


@pytest.fixture
async def reader(
    settings: Settings, postgres: Postgres, lists: tuple[Lists, dict[str, str]]
) -> AsyncIterator[Runtime]:
    url = postgres.url("app_user", PASSWORDS["app_user"], NAME)
    opened = open_runtime(msgspec.structs.replace(settings, database_url=url), pool_size=2)
    await keep_counters(opened)
    yield opened
    await opened.close()


async def test_no_page_reads_many_rows(
    lists: tuple[Lists, dict[str, str]], reader: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: dict[str, int] = {}
    for case in cases_of(*lists):
        if case.html or not case.path.startswith("/contacts"):
            continue
        async with open_work(reader, lists[0].seeded.account, SYSTEM) as work:
            with recorded(work, monkeypatch) as statements:
                await ask(work, case)
            read[f"{case.group}: {case.name}"] = sum(
                [await rows_read(work, sql, values) for sql, values in statements]
            )
    too_many = {
        name: rows
        for name, rows in read.items()
        if rows > (MOST_COUNTED if name.startswith("count") else MOST_READ)
    }
    assert too_many == {}
    assert len(read) > 60
    assert max(read.values()) > 0


async def ask(work: Work, case: Case) -> None:
    """What the route of the case reads."""
    address = urlsplit(case.path)
    sent = parse_qs(address.query)
    catalogs = await Catalogs.of(work)
    group = read_filter(sent.get("f", []), "all", catalogs.fields, catalogs.tags)
    q, sort = sent.get("q", [""])[0], sent.get("sort", [DEFAULT_SORT])[0]
    query = Query(q=q, f=sent.get("f", []), sort=sort)
    if address.path.endswith("/count"):
        await count_page(work, query, group, catalogs)
    else:
        await read_page(work, query, group, catalogs, sent.get("after", [""])[0], "", "none")


@contextmanager
def recorded(work: Work, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, tuple[Any, ...]]]]:
    """The statements on contacts, with their values."""
    statements: list[tuple[str, tuple[Any, ...]]] = []
    engine = work.session.get_bind()

    def note(_connection: Any, _cursor: Any, sql: str, values: Any, *_rest: Any) -> None:
        if "from contacts" in sql.lower():
            statements.append((sql, tuple(values)))

    async def fetch_and_note(session: Any, statement: Any, /, *values: Any) -> Any:
        statements.append((statement.sql, values))
        return await fetch_rows(session, statement, *values)

    monkeypatch.setattr(contact_pages, "fetch_rows", fetch_and_note)
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)
        monkeypatch.setattr(contact_pages, "fetch_rows", fetch_rows)


async def rows_read(work: Work, sql: str, values: tuple[Any, ...]) -> int:
    """How many rows the plan reads from tables, in the transaction and with the settings of the statement."""
    connection = await work.session.connection()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    plan = await driver.fetchval(f"explain (analyze, format json, timing off) {sql}", *values)
    return scanned((plan if isinstance(plan, list) else msgspec.json.decode(plan))[0]["Plan"])


def scanned(node: dict[str, Any]) -> int:
    read = 0
    if node["Node Type"] in SCANS:
        removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
        rows = node["Actual Rows"] + sum(node.get(name, 0) for name in removed)
        read = round(rows * node["Actual Loops"])
    return read + sum(scanned(child) for child in node.get("Plans", []))
