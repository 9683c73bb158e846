"""Migrations 0024 to 0026 on a database with rows: values get their forms of today, nothing is lost, and each
email of a live contact belongs to it. It runs on a database of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from alembic import command
from alembic.config import Config

from scripts._lib.dev.postgres import Postgres
from tests.conftest import PASSWORDS

ROOT = Path(__file__).resolve().parents[3]
BEFORE, NAME = "0023", "forms_migrated"
ACME, GLOBEX, FIELD, PLAN = uuid4(), uuid4(), uuid4(), uuid4()
NFD = "zoe\u0308@example.com"
# By first name: what was stored, and what is stored after.
CONTACTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Plain": ({"email": "plain@example.com", "phone": "+14152933313"}, {}),
    "Idn": ({"email": "idn@xn--bcher-kva.example"}, {"email": "idn@bücher.example"}),
    "Decomposed": ({"email": NFD, "city": "Zu\u0308rich"}, {"email": "zoë@example.com", "city": "Zürich"}),
    # Two contacts that were one person: the second keeps its address, and its city is converted all the same.
    "First": ({"email": "b@bücher.example"}, {}),
    "Second": ({"email": "b@xn--bcher-kva.example", "city": "O\u200bslo"}, {"city": "Oslo"}),
    "Odd": ({"email": "old@ex_ämple.de"}, {}),
    "Wrong": ({"phone": "+10612345678"}, {"phone": "+1 0612345678"}),
    "Zeros": ({"phone": "0033 6 12 34 56 78"}, {"phone": "+33612345678"}),
    "Two": ({"phone": "12", "phone2": "+12025550123"}, {}),
    "Sourced": ({"external_id": "HubSpot:9001"}, {"external_id": "hubspot:9001"}),
    "German": ({"country": "Deutschland"}, {"country": "DE"}),
    "Far": ({"country": "Narnia"}, {}),
    "Own": ({"external_id": "9001"}, {}),
    "Custom": (
        {"fields": {str(FIELD): "a\u200bb", str(PLAN): "p\u200bro"}},
        {"fields": {str(FIELD): "ab", str(PLAN): "p\u200bro"}},
    ),
}


@pytest.fixture
async def connection(postgres: Postgres) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to a database with rows of the release before, migrated as its owner."""
    await asyncio.to_thread(postgres.bootstrap, NAME, PASSWORDS)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
    config.set_main_option("sqlalchemy.url", postgres.url("app_owner", PASSWORDS["app_owner"], NAME))
    await asyncio.to_thread(command.upgrade, config, BEFORE)
    connection = await asyncpg.connect(postgres.superuser_url(NAME))
    for account, region in ((ACME, "US"), (GLOBEX, "FR")):
        await connection.execute(
            "insert into accounts (id, name, default_region) values ($1, 'Acme', $2)", account, region
        )
    for field, kind in ((FIELD, "text"), (PLAN, "select")):
        await connection.execute(
            "insert into custom_fields (account_id, id, key, label, type) values ($1, $2, $3, $3, $3)",
            ACME, field, kind,
        )  # fmt: skip
    for name, (stored, _) in CONTACTS.items():
        await add(connection, ACME, {"first_name": name} | stored)
    await add(connection, GLOBEX, {"first_name": "French", "phone": "06 12 34 56 78"})
    await add(connection, ACME, {"first_name": "Gone", "email": "plain@example.com", "deleted": True})
    await connection.execute(
        "insert into users (id, email, name) values ($1, 'me@xn--bcher-kva.example', 'Me')", uuid4()
    )
    await asyncio.to_thread(command.upgrade, config, "head")
    yield connection
    await connection.close()


async def add(connection: asyncpg.Connection, account: UUID, values: dict[str, Any]) -> None:
    values = {**values, "fields": json.dumps(values.get("fields", {}))}
    deleted = "now()" if values.pop("deleted", False) else "null"
    places = ", ".join(f"${number}" for number in range(2, len(values) + 2))
    await connection.execute(
        f"insert into contacts (account_id, id, {', '.join(values)}, deleted_at)"  # noqa: S608 -- own names
        f" values ($1, gen_random_uuid(), {places}, {deleted})",
        account,
        *values.values(),
    )


async def test_values_are_converted_or_kept(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("select * from contacts where account_id = $1 and deleted_at is null", ACME)
    stored = {row["first_name"]: row for row in rows}
    assert set(stored) == set(CONTACTS)
    for name, (before, after) in CONTACTS.items():
        expected = before | after
        migrated = {key: stored[name][key] for key in expected}
        if "fields" in migrated:
            migrated["fields"] = json.loads(migrated["fields"])
        assert migrated == expected, name
        assert stored[name]["rev"] == 1
    assert json.loads(stored["Two"]["other_phones"]) == [{"value": "+12025550123", "label": ""}]
    french = await connection.fetchval("select phone from contacts where account_id = $1", GLOBEX)
    assert french == "+33612345678", "by the region of its account"
    assert await connection.fetchval("select email from users") == "me@bücher.example"

    claimed = "select email, contact_id from contact_emails where account_id = $1"
    claims = await connection.fetch(claimed, ACME)
    live = {row["email"]: row["id"] for row in rows if row["email"]}
    assert {row["email"]: row["contact_id"] for row in claims} == live
    forced = "select bool_and(relforcerowsecurity) from pg_class where relname in ('contacts', 'users')"
    assert await connection.fetchval(forced)
    await a_process_of_the_release_before_writes(connection)


async def a_process_of_the_release_before_writes(connection: asyncpg.Connection) -> None:
    """It knows only the primary email and the second phone."""
    await add(connection, ACME, {"first_name": "Late", "email": "late@x.example", "phone2": "+12025550124"})
    [row] = await connection.fetch("select * from contacts where first_name = 'Late'")
    assert json.loads(row["other_phones"]) == [{"value": "+12025550124", "label": ""}]
    claimed = "select contact_id from contact_emails where account_id = $1 and email = $2"
    assert await connection.fetchval(claimed, ACME, "late@x.example") == row["id"]
    await connection.execute("update contacts set email = 'later@x.example' where first_name = 'Late'")
    assert await connection.fetchval(claimed, ACME, "late@x.example") is None
    assert await connection.fetchval(claimed, ACME, "later@x.example") == row["id"]
    other = """update contacts set other_emails = '[{"value": "later@x.example", "label": ""}]'
                where first_name = 'Plain' and deleted_at is null"""
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(other)
    await connection.execute("update contacts set deleted_at = now() where first_name = 'Late'")
    await connection.execute(other)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("update contacts set deleted_at = null where first_name = 'Late'")
    await connection.execute("delete from accounts where id = $1", ACME)
    assert await connection.fetchval("select count(*) from contact_emails where account_id = $1", ACME) == 0
