"""The servers that the benchmark runs on, with production settings, and the data that it seeds by SQL.

`running_testbed` is the entry point. Only seeding and counting use the superuser's connection (`admin`). What
is measured signs in as `app_user`, for whom row-level security is forced.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
import psutil
from alembic import command
from alembic.config import Config

from app.engine.core.draft import WorkflowSettings
from app.engine.core.steps import Step
from app.engine.core.triggers import Trigger
from app.engine.core.version import Version, content_hash
from db.ids import uuid7
from scripts._lib.dev import app_commands
from scripts._lib.dev.postgres import Postgres
from scripts._lib.dev.system_users import temporary_folder
from scripts._lib.dev.valkey import Valkey
from scripts._lib.dev.virtualenv import ROOT

DATABASE = "switchyard"
PASSWORDS = {"app_owner": "owner-of-bench", "app_user": "user-of-bench"}
# No statement of a peer makes counters unknown, which would cost it an insert.
COUNTING = {"app.counts": "on"}

INSERT_CONTACTS = """
insert into contacts
       (account_id, id, first_name, last_name, email, phone, company, city, country, external_id)
select $1, uuidv7(), 'Ann', 'Person ' || i, 'p' || i || '@people.example', '+1 202 555 0100', 'Acme',
       'Somewhere', case when i % 2 = 0 then 'FR' else 'NO' end, i
  from generate_series(1, $2::int) i
"""
INSERT_ENROLLMENTS = """
insert into enrollments
       (account_id, id, workflow_id, version, contact_id, event_id, root_event_id, due_at, entered_at)
select account_id, uuidv7(), $2, 1, id, id, id, $3::timestamptz + external_id::int * $4::interval, now()
  from contacts where account_id = $1 order by id
"""
LIST_TABLES = """
select quote_ident(relname) as name from pg_stat_user_tables where schemaname = 'public' order by 1
"""


class Testbed:
    """Running servers and a superuser's connection, `admin`."""

    __test__ = False  # for pytest: not a class of tests

    def __init__(self, postgres: Postgres, valkey: Valkey, folder: Path, admin: asyncpg.Connection) -> None:
        self.postgres, self.valkey, self.folder, self.admin = postgres, valkey, folder, admin

    @property
    def url(self) -> str:
        """The address for `app_user`."""
        return self.postgres.url("app_user", PASSWORDS["app_user"], DATABASE)

    def environment(self, **values: str) -> dict[str, str]:
        """The environment of the application's processes; `values` override it."""
        settings = {
            "DATABASE_URL": self.url,
            "REDIS_URL": self.valkey.url(),
            "DATA_DIR": str(self.folder),
            "LOG_LEVEL": "WARNING",
            "RATE_LIMIT_PER_MINUTE": "1000000",
        }
        return app_commands.environment(settings | values)

    async def connect(self, account: UUID | None = None) -> asyncpg.Connection:
        """A connection as `app_user`, bound to an account for its whole life if one is named."""
        connection = await asyncpg.connect(self.url, timeout=60, server_settings=COUNTING)
        if account:
            await connection.execute("select set_config('app.account_id', $1, false)", str(account))
        return connection

    async def clear(self) -> None:
        """Delete all accounts, users and workers."""
        await self.admin.execute("truncate accounts, users, workers cascade")

    async def vacuum(self) -> None:
        """Vacuum and analyze what was seeded and write it to disk: each measurement starts from the same
        state.

        Empty tables are skipped, as in a new installation. A vacuum would tell the planner that they stay
        empty, and cached plans would read the whole table until the next analyze.
        """
        for table in await self.admin.fetch(LIST_TABLES):
            if await self.admin.fetchval(f"select exists (select from {table['name']})"):  # noqa: S608 -- its own names
                await self.admin.execute(f"vacuum (analyze) {table['name']}")
        await self.admin.execute("checkpoint")

    async def account(self, name: str = "Big") -> UUID:
        """Insert an account."""
        account = uuid7()
        await self.admin.execute("insert into accounts (id, name) values ($1, $2)", account, name)
        return account

    async def tag(self, account: UUID, name: str) -> UUID:
        """Insert a tag."""
        tag = uuid7()
        await self.admin.execute(
            "insert into tags (account_id, id, name, slug) values ($1, $2, $3, $3)", account, tag, name
        )
        return tag

    async def workflow(self, account: UUID, steps: Sequence[Step], triggers: Sequence[Trigger] = ()) -> UUID:
        """Insert a workflow, published as version 1."""
        workflow = uuid7()
        version = Version(workflow, 1, list(triggers), None, list(steps), WorkflowSettings())
        await self.admin.execute(
            "insert into workflows (account_id, id, name, status) values ($1, $2, 'Welcome', 'active')",
            account, workflow,
        )  # fmt: skip
        await self.admin.execute(
            "insert into workflow_versions (account_id, workflow_id, number, document, content_hash) "
            "values ($1, $2, 1, $3::jsonb, $4)",
            account, workflow, msgspec.json.encode(version).decode(), content_hash(version),
        )  # fmt: skip
        await self.admin.execute("update workflows set live_version = 1 where id = $1", workflow)
        return workflow

    async def contacts(self, account: UUID, count: int, *, analyze: bool = True) -> None:
        """Insert contacts 1 to `count`: the external ID is the number; every second one is in France."""
        await self.admin.execute(INSERT_CONTACTS, account, count)
        if not analyze:
            return
        # The session caches the plans of foreign key checks. A plan made while the table was empty would
        # read every contact for each enrollment.
        await self.admin.execute("analyze contacts")

    async def enroll(self, account: UUID, workflow: UUID, due: datetime, interval: timedelta) -> None:
        """Enroll every contact of the account; contact n is due at `due` + n × `interval`."""
        await self.admin.execute(INSERT_ENROLLMENTS, account, workflow, due, interval)

    async def now(self) -> datetime:
        """The database's clock."""
        moment: datetime = await self.admin.fetchval("select clock_timestamp()")
        return moment

    def server_cpu(self) -> float:
        """CPU seconds that the servers have used so far."""
        return cpu_seconds_of(self.servers())

    def servers(self) -> list[psutil.Process]:
        """The processes of PostgreSQL and Valkey, as they are now."""
        return [*processes_of(self.postgres.process), *processes_of(self.valkey.process)]

    def postgres_processes(self) -> list[psutil.Process]:
        """The processes of PostgreSQL, as they are now."""
        return processes_of(self.postgres.process)


def processes_of(server: subprocess.Popen[bytes] | None) -> list[psutil.Process]:
    """A server with its children; empty if it isn't running."""
    if server is None:
        return []
    process = psutil.Process(server.pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds_of(processes: Sequence[psutil.Process]) -> float:
    """CPU seconds used so far by these processes, without their ended children."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


@asynccontextmanager
async def running_testbed(**server_settings: str) -> AsyncIterator[Testbed]:
    """Start new servers with every migration; remove them on exit. `server_settings` are PostgreSQL's."""
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres.temporary(durable=True))
        valkey = stack.enter_context(Valkey.temporary())
        folder = stack.enter_context(temporary_folder("switchyard-bench-", None))
        postgres.bootstrap(DATABASE, PASSWORDS)
        for name, value in server_settings.items():
            postgres.psql(f"alter system set {name} = '{value}'")
        if server_settings:
            postgres.stop()
            postgres.start()
        config = Config()
        config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
        config.set_main_option("sqlalchemy.url", postgres.url("app_owner", PASSWORDS["app_owner"], DATABASE))
        await asyncio.to_thread(command.upgrade, config, "head")
        admin = await asyncpg.connect(postgres.superuser_url(DATABASE), timeout=60)
        try:
            yield Testbed(postgres, valkey, folder, admin)
        finally:
            await admin.close()
