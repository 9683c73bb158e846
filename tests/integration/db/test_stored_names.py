"""Migration 0013 renames what is stored: every row of every account is kept, and row-level security is forced
again. It runs on a database of its own, with rows as the release before wrote them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from alembic import command
from alembic.config import Config

from db.migrations import rewrites
from db.models import Base
from scripts._lib.dev.postgres import Postgres
from tests.conftest import PASSWORDS

ROOT = Path(__file__).resolve().parents[3]
BEFORE = "0012"
AFTER = "0013"
LONGEST_NAME = 63  # of PostgreSQL; longer ones are cut
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
ACCOUNTS = (uuid4(), uuid4())
# The value of each column that a row needs and these tests don't look at.
COMMON: dict[str, dict[str, Any]] = {
    "audit_logs": {"occurred_at": NOW, "actor_id": "1", "actor_name": "Olive", "subject_kind": "contact",
                   "subject_id": "1"},
    "events": {"subject_id": UUID(int=1), "source": "system", "root_event_id": UUID(int=1),
               "occurred_at": NOW, "matched_at": NOW},
    "trigger_decisions": {"workflow_id": UUID(int=2), "version": 1, "contact_id": UUID(int=1),
                          "verdict": "filter_false", "decided_at": NOW},
    "enrollment_executions": {"enrollment_id": UUID(int=3), "step_key": "s1", "kind": "wait_for",
                              "started_at": NOW},
    "effects": {"enrollment_id": UUID(int=3), "workflow_id": UUID(int=2), "contact_id": UUID(int=1),
                "step_key": "s1", "kind": "email", "idempotency_key": "k", "payload": "{}",
                "on_doubt": "hold", "due_at": NOW},
    "notes": {"contact_id": UUID(int=1), "body": "Call", "author_id": "1", "author_name": "Olive"},
    "tasks": {"contact_id": UUID(int=1), "title": "Call", "author_id": "1", "author_name": "Olive"},
    "jobs": {"due_at": NOW, "actor_id": "1", "actor_name": "Olive"},
    "breakers": {"workflow_id": UUID(int=2), "error_class": "smtp_550"},
    "hooks": {"workflow_id": UUID(int=2), "trigger_key": "t1", "hint": "wh_abcdef"},
    "hook_deliveries": {"delivery_id": "d1"},
    "batches": {"ids": [UUID(int=3)]},
    "relocations": {"enrollment_id": UUID(int=3), "job_id": UUID(int=4), "choice": 0},
    "workflow_clocks": {"workflow_id": UUID(int=2), "trigger_key": "t1", "version": 1, "kind": "schedule",
                        "next_at": NOW},
    "enrollments": {"workflow_id": UUID(int=2), "version": 1, "contact_id": UUID(int=1),
                    "event_id": UUID(int=1), "root_event_id": UUID(int=1), "entered_at": NOW},
}  # fmt: skip
TABLES = {
    "hooks": "inbound_webhooks",
    "hook_deliveries": "inbound_deliveries",
    "batches": "inflight_batches",
    "relocations": "enrollment_migrations",
    "workflow_clocks": "trigger_schedules",
    "breakers": "circuit_breakers",
}
SCHEDULED = {"event": "schedule.struck", "until": "2026-12-01"}
# Table, the columns as the release before wrote them, and what they are afterwards.
ROWS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *(
        ("audit_logs", {"actor_kind": kind, "action": old}, {"actor_kind": new_kind, "action": new})
        for kind, new_kind, old, new in [
            ("person", "member", "token.made", "token.created"),
            ("person", "member", "tag.added", "tag.added"),
            ("person", "member", "note.added", "note.created"),
            ("person", "member", "task.changed", "task.updated"),
            ("person", "member", "workflow.edited", "workflow.updated"),
            ("person", "member", "hook.address_made", "webhook.address_created"),
            ("step", "step", "tag.added", "tag.added"),
            ("system", "system", "segment.not_compared", "segment.evaluation_failed"),
            ("token", "token", "breaker.tried", "circuit_breaker.probed"),
        ]
    ),
    (
        "audit_logs",
        {"actor_kind": "person", "action": "password.set", "changes": {"by": [None, "a link by e-mail"]}},
        {
            "actor_kind": "member",
            "action": "member.password_set",
            "changes": {"by": [None, "a link by email"]},
        },
    ),
    (
        "audit_logs",
        {
            "actor_kind": "system",
            "action": "event.passed_over",
            "changes": {"event": ["1", "schedule.struck could not be matched: x"]},
        },
        {"action": "event.skipped", "changes": {"event": ["1", "schedule.fired could not be matched: x"]}},
    ),
    ("events", {"kind": "schedule.struck", "data": {"at": "x"}}, {"kind": "schedule.fired"}),
    ("events", {"kind": "tag.added"}, {"kind": "tag.added"}),
    (
        "trigger_decisions",
        {"detail": {"filter": "entry", "seen": {"history": {"event": "schedule.struck", "times": 1}}}},
        {"detail": {"filter": "entry", "values": {"history": {"event": "schedule.fired", "times": 1}}}},
    ),
    ("trigger_decisions", {"detail": {"source": "user"}}, {"detail": {"source": "user"}}),
    ("enrollment_executions", {"detail": SCHEDULED}, {"detail": SCHEDULED | {"event": "schedule.fired"}}),
    (
        "enrollment_executions",
        {"detail": {"reason": "jumped", "by": "Ana"}},
        {"detail": {"reason": "moved", "by": "Ana"}},
    ),
    ("enrollment_executions", {"detail": {"settled_by": "Ana"}}, {"detail": {"resolved_by": "Ana"}}),
    ("enrollment_executions", {"detail": {"reason": "x"}}, {"detail": {"reason": "x"}}),
    ("effects", {"result": {"settled_by": "Ana"}}, {"result": {"resolved_by": "Ana"}}),
    ("effects", {"begun_at": NOW, "tried_at": NOW}, {"started_at": NOW, "attempted_at": NOW, "result": None}),
    ("notes", {"author_kind": "person"}, {"author_kind": "member"}),
    ("notes", {"author_kind": "step"}, {"author_kind": "step"}),
    ("tasks", {"author_kind": "person"}, {"author_kind": "member"}),
    (
        "jobs",
        {"actor_kind": "system", "queue": "clocks", "task": "clock.strike"},
        {"actor_kind": "system", "queue": "schedules", "task": "schedule.fire"},
    ),
    (
        "jobs",
        {
            "actor_kind": "person",
            "queue": "bulk",
            "task": "workflow.relocation",
            "args": {"choices": [{"people": 3, "to": "s1"}]},
        },
        {
            "actor_kind": "member",
            "queue": "bulk",
            "task": "workflow.migrate_enrollments",
            "args": {"choices": [{"enrollments": 3, "to": "s1"}]},
        },
    ),
    ("breakers", {"sample": {"struck": ["1"], "opened": 2}}, {"sample": {"affected": ["1"], "opened": 2}}),
    ("hooks", {}, {"token_prefix": "wh_abcdef"}),
    ("hook_deliveries", {"hook_id": UUID(int=5)}, {"webhook_id": UUID(int=5)}),
    ("batches", {"kind": "move", "begun_at": NOW}, {"kind": "advance", "started_at": NOW}),
    ("batches", {"kind": "match"}, {"kind": "match"}),
    ("relocations", {}, {"choice": 0}),
    ("workflow_clocks", {}, {"next_at": NOW}),
    (
        "enrollments",
        {"of_deleted": True, "heard_event_id": UUID(int=6)},
        {"contact_deleted": True, "wake_event_id": UUID(int=6)},
    ),
]


class Database:
    """A database at a revision, and a superuser's connection to it."""

    def __init__(self, postgres: Postgres, name: str, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.config = Config()
        self.config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
        self.url = postgres.url("app_owner", PASSWORDS["app_owner"], name)
        self.config.set_main_option("sqlalchemy.url", self.url)

    async def upgrade(self, revision: str) -> None:
        await asyncio.to_thread(command.upgrade, self.config, revision)

    async def fill(self) -> None:
        """Every row of `ROWS`, in both accounts. References are not checked: the rows need no parents."""
        await self.connection.execute("set session_replication_role = replica")
        for account in ACCOUNTS:
            for place, (table, values, _) in enumerate(ROWS):
                await self._insert(
                    table, {"account_id": account} | _keys(table, place) | COMMON[table] | values
                )
        await self.connection.execute("set session_replication_role = origin")

    async def _insert(self, table: str, values: dict[str, Any]) -> None:
        columns = await self.connection.fetch(
            "select column_name from information_schema.columns where table_name = $1", table
        )
        existing = {row[0] for row in columns}
        values = {name: value for name, value in values.items() if name in existing}
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        texts = [json.dumps(value) if isinstance(value, dict) else value for value in values.values()]
        await self.connection.execute(
            f"insert into {table} ({', '.join(values)}) values ({places})",  # noqa: S608 -- names of this test
            *texts,
        )

    async def counts(self) -> dict[str, int]:
        """Rows by table, by the new names of the tables."""
        tables = [row[0] for row in await self.connection.fetch(
            "select tablename from pg_tables where schemaname = 'public' and tablename <> 'alembic_version'"
        )]  # fmt: skip
        names = TABLES | {"installation": "engine_state"}
        return {
            names.get(table, table): await self.connection.fetchval(f"select count(*) from {table}")  # noqa: S608 -- our names
            for table in tables
        }

    async def not_forced(self) -> list[str]:
        rows = await self.connection.fetch(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' "
            "and not (relrowsecurity and relforcerowsecurity) order by 1"
        )
        return [row[0] for row in rows]


def _keys(table: str, place: int) -> dict[str, Any]:
    """What tells the rows of a table apart."""
    number = UUID(int=1000 + place)
    return {
        "id": number,
        "event_id": number,
        "seq": place,
        "step_key": f"s{place}",
        "token_hash": uuid4().bytes,
    } | ({"seq": 0} if table == "enrollments" else {})


@asynccontextmanager
async def database(postgres: Postgres, name: str) -> AsyncIterator[Database]:
    """A database of the release before, with rows."""
    await asyncio.to_thread(postgres.bootstrap, name, PASSWORDS)
    connection = await asyncpg.connect(postgres.superuser_url(name))
    await connection.set_type_codec("jsonb", encoder=str, decoder=json.loads, schema="pg_catalog")
    try:
        opened = Database(postgres, name, connection)
        await opened.upgrade(BEFORE)
        await opened.fill()
        yield opened
    finally:
        await connection.close()


async def check(db: Database, before: dict[str, int]) -> None:
    """Nothing is lost, every value has its new name in both accounts, and row-level security is forced."""
    assert await db.counts() == before
    for account in ACCOUNTS:
        for place, (table, _, expected) in enumerate(ROWS):
            await _check_row(db, account, place, table, expected)
    assert await db.not_forced() == ["alembic_version", "engine_state", "workers"]


async def _check_row(db: Database, account: UUID, place: int, table: str, expected: dict[str, Any]) -> None:
    keys = {"id": UUID(int=1000 + place), "event_id": UUID(int=1000 + place), "seq": place}
    key = {"trigger_decisions": "event_id", "enrollment_executions": "seq"}.get(table, "id")
    name = TABLES.get(table, table)
    condition, values = f"account_id = $1 and {key} = $2", [account, keys[key]]
    if table in ("breakers", "hook_deliveries", "relocations", "workflow_clocks"):
        condition, values = "account_id = $1", [account]  # one row each, without an id
    statement = f"select * from {name} where {condition}"  # noqa: S608 -- names of this test
    rows = await db.connection.fetch(statement, *values)
    [row] = rows
    assert {column: row[column] for column in expected} == expected, (name, place)


async def test_rows_keep_their_values_under_the_new_names(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewrites, "BATCH", 3)
    async with database(postgres, "names_kept") as db:
        before = await db.counts()
        assert before["audit_logs"] == 2 * 11
        await db.upgrade(AFTER)
        await check(db, before)


async def test_an_interrupted_migration_is_finished_by_the_next(postgres: Postgres) -> None:
    """It is killed while it waits for a lock on `jobs`, after it rewrote larger tables."""
    async with database(postgres, "names_interrupted") as db:
        before = await db.counts()
        blocker = await asyncpg.connect(postgres.superuser_url("names_interrupted"))
        await blocker.execute("begin; lock table jobs in access share mode")
        program = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, "-c", _UPGRADE],
            cwd=ROOT,
            env={**os.environ, "MIGRATE_DATABASE_URL": db.url},
            stderr=subprocess.DEVNULL,
        )
        await _wait_until_blocked(db)
        program.send_signal(signal.SIGKILL)
        await asyncio.to_thread(program.wait)
        await blocker.close()
        await _wait_until_alone(db)
        [left] = await db.connection.fetch("select count(*) from audit_logs where action = 'token.made'")
        assert left[0] == 0, "the first tables were rewritten"
        assert await db.connection.fetchval("select version_num from alembic_version") == BEFORE
        assert await db.not_forced() == ["alembic_version", "installation", "workers"]
        await db.upgrade(AFTER)
        await check(db, before)


async def test_rows_that_come_during_the_batches_are_renamed_too(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old worker that was not stopped writes until the tables are renamed."""
    written: list[str] = []
    original = rewrites.rewrite_in_batches

    async with database(postgres, "names_late") as db:

        def write_late(rewrite: rewrites.Rewrite) -> None:
            original(rewrite)
            if rewrite.table == "notes":
                written.append(postgres.psql(_LATE_NOTE.format(account=ACCOUNTS[0]), "names_late"))

        monkeypatch.setattr(rewrites, "rewrite_in_batches", write_late)
        await db.upgrade(AFTER)
        rows = await db.connection.fetch("select distinct author_kind from notes order by 1")
        assert written
        assert [row[0] for row in rows] == ["member", "step"]


async def test_names_of_constraints_and_indexes_are_those_of_the_models(
    postgres: Postgres, app: object, admin_url: str
) -> None:
    connection = await asyncpg.connect(admin_url)
    rows = await connection.fetch(
        "select conname from pg_constraint where connamespace = 'public'::regnamespace "
        "and contype in ('p', 'u', 'f', 'c') "
        "union select indexrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indexrelid "
        "where c.relnamespace = 'public'::regnamespace"
    )
    await connection.close()
    stored = {row[0] for row in rows}
    named = {
        name
        for table in Base.metadata.tables.values()
        for item in (*table.constraints, *table.indexes)
        if (name := str(getattr(item, "name", ""))).startswith(("pk_", "uq_", "fk_", "ix_"))
    }
    missing = sorted(name for name in named - stored if len(name) < LONGEST_NAME)
    assert missing == []
    old = [
        name
        for name in stored
        if set(name.split("_")) & {"hooks", "hook", "relocations", "installation", "clocks", "begun"}
    ]
    assert old == []


async def _wait_until_blocked(db: Database) -> None:
    end = datetime.now(UTC) + timedelta(seconds=60)
    while datetime.now(UTC) < end:
        if await db.connection.fetchval(
            "select exists (select from pg_locks where not granted and relation = 'jobs'::regclass)"
        ):
            return
        await asyncio.sleep(0.05)
    pytest.fail("the migration never came to the jobs")


async def _wait_until_alone(db: Database) -> None:
    for _ in range(200):
        if not await db.connection.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() "
            "and pid <> pg_backend_pid()"
        ):
            return
        await asyncio.sleep(0.05)
    pytest.fail("the killed migration still has a connection")


_UPGRADE = (
    "from alembic import command; from alembic.config import Config; c = Config(); "
    "c.set_main_option('script_location', 'db/migrations'); command.upgrade(c, 'head')"
)
_LATE_NOTE = """
set session_replication_role = replica;
insert into notes (account_id, id, contact_id, body, author_kind, author_id, author_name)
values ('{account}', gen_random_uuid(), gen_random_uuid(), 'Late', 'person', '1', 'Olive')
"""
