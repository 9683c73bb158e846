"""The keys that the database makes of contacts: by which writer they come, the same as in Python, and filled
for rows of the release before by migration 0022."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from alembic import command
from alembic.config import Config

from app.filters.search_text import SMALL_LETTERS, SPELLED_OUT, folded
from app.filters.values import CAPITALS
from app.settings import Settings
from db.migrations import contact_keys
from scripts._lib.dev.postgres import Postgres
from tests.conftest import PASSWORDS, ROOT
from tests.support.world import World

NAME, BEFORE = "contact_keys_filled", "0021"
KEYS = ", ".join(contact_keys.KEYS)


async def test_the_database_folds_text_as_python_does(world: World) -> None:
    letters = [*CAPITALS, *"".join(CAPITALS.values()), *map(chr, SMALL_LETTERS), *SPELLED_OUT]
    texts = [*letters, "Ünï Exämple ẞ", "Ａ\u00a0ﬁ", "e\u0301", "한국", "Straße 7", ""]
    rows = await world.sql("select t as raw, folded(t) as folded from unnest($1::text[]) t", texts)
    assert [row["raw"] for row in rows if row["folded"] != folded(row["raw"])] == []


async def test_every_writer_gets_the_keys(world: World) -> None:
    account = await world.account()
    [row] = await world.sql(
        "insert into contacts (account_id, id, first_name, last_name, email, phone, phone2, company, city,"  # noqa: S608 -- our names
        " state, website, external_id, search, name_key) values ($1, gen_random_uuid(), 'Álvaro', 'Ñuñez',"
        " 'al@x.example', '+1 415 293-3313', '030/12', 'Éclair', 'Łódź', 'CA', 'https://ü.example', 'X-1',"
        f" 'no', 'no') returning id, search, {KEYS}",
        account,
    )
    assert [row[key] for key in contact_keys.KEYS] == [
        "nunez alvaro", "al@x.example", "14152933313", "eclair", "lodz", "ca",
    ]  # fmt: skip
    assert row["search"] == (
        " alvaro nunez al@x.example eclair 14152933313 03012 lodz https://u.example x-1\n"
    )
    [row] = await world.sql(
        "update contacts set first_name = null, last_name = null, city = 'Oslo', email = null,"  # noqa: S608 -- our names
        f" company = null, phone = null, phone2 = null where id = $1 returning search, {KEYS}", row["id"],
    )  # fmt: skip
    assert [row[key] for key in contact_keys.KEYS] == [None, None, None, None, "oslo", "ca"]
    assert row["search"].split() == ["oslo", "https://u.example", "x-1"]


async def test_like_is_marked_and_leaves_other_accounts_alone(world: World, settings: Settings) -> None:
    """With the mark a condition may run before the policy: nothing of another account may show by it, not
    even by an error."""
    ours, theirs = await world.account(), await world.account("Globex")
    await world.sql(
        "insert into contacts (account_id, id, first_name, fields) select $1, gen_random_uuid(), 'Zenobia',"
        ' \'{"a": "x"}\' from generate_series(1, 20)',
        theirs,
    )
    [mark] = await world.sql(
        "select proleakproof from pg_proc where oid = 'textlike(text, text)'::regprocedure"
    )
    assert mark["proleakproof"]
    stranger = await asyncpg.connect(settings.database_url)
    try:
        await stranger.execute("select set_config('app.account_id', $1, false)", str(ours))
        await stranger.execute(
            "create function pg_temp.tell(text) returns boolean language plpgsql cost 0.0001 as"
            " $$ begin raise exception 'saw %', $1; end $$"
        )
        for plan in ("", "set enable_seqscan = off", "set enable_bitmapscan = off"):
            await stranger.execute(plan or "reset all")
            await stranger.execute("select set_config('app.account_id', $1, false)", str(ours))
            for attack in (
                "search like '%zenobia%'",
                "search like '%zenobia%' and pg_temp.tell(search)",
                "pg_temp.tell(search) or search like '%zenobia%'",
                "search like '%zenobia%' and (fields ->> 'a')::int > 0",
                "search like '%zenobia%' and 1 / (length(first_name) - 7) > 0",
                "name_key = 'zenobia' and pg_temp.tell(name_key)",
                "name_key >= 'z' and pg_temp.tell(name_key)",
                f"account_id = '{theirs}' and search like '%zenobia%' and pg_temp.tell(search)",
            ):
                statement = f"select count(*) from contacts where {attack}"  # noqa: S608 -- our own
                assert await stranger.fetchval(statement) == 0, (plan, attack)
    finally:
        await stranger.close()


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[tuple[asyncpg.Connection, Config]]:
    """A superuser's connection to a database of the release before, and how to migrate it."""
    await asyncio.to_thread(postgres.bootstrap, NAME, PASSWORDS)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
    config.set_main_option("sqlalchemy.url", postgres.url("app_owner", PASSWORDS["app_owner"], NAME))
    await asyncio.to_thread(command.upgrade, config, BEFORE)
    connection = await asyncpg.connect(postgres.superuser_url(NAME))
    yield connection, config
    await connection.close()


async def test_older_rows_are_filled_and_an_interrupted_filling_goes_on(
    database: tuple[asyncpg.Connection, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, config = database
    for account in (uuid4(), uuid4()):
        await connection.execute("insert into accounts (id, name) values ($1, 'Acme')", account)
        await connection.execute(
            "insert into contacts (account_id, id, first_name, last_name, email, deleted_at)"
            " select $1, gen_random_uuid(), 'Zoë', 'N' || n, n || '@x.example',"
            " case when n = 3 then now() end from generate_series(1, 25) n", account,
        )  # fmt: skip
    monkeypatch.setattr(contact_keys, "BATCH", 10)
    # A row that cannot be filled breaks the migration off in its third batch.
    await connection.execute(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin if new.first_name is distinct from 'Zoë' then raise exception 'broken'; end if;"
        " return new; end $$;"
        "create trigger a_refuse before update on contacts for each row execute function refuse()"
    )
    last = await connection.fetchval("select id from contacts order by account_id desc, id desc limit 1")
    await connection.execute("alter table contacts disable trigger a_refuse")
    await connection.execute("update contacts set first_name = 'Eve' where id = $1", last)
    await connection.execute("alter table contacts enable trigger a_refuse")
    with pytest.raises(Exception, match="broken"):
        await asyncio.to_thread(command.upgrade, config, "head")
    filled = "select count(*) from contacts where right(search, 1) = E'\\n'"
    assert 20 <= await connection.fetchval(filled) < 50
    await connection.execute("drop trigger a_refuse on contacts")
    await asyncio.to_thread(command.upgrade, config, "head")
    assert await connection.fetchval(filled) == 50
    assert await connection.fetchval("select count(*) from contacts where name_key like 'n% zoe'") == 49
    row = await connection.fetchrow("select relforcerowsecurity from pg_class where relname = 'accounts'")
    assert row is not None
    assert row["relforcerowsecurity"]
    invalid = "select count(*) from pg_index where not indisvalid"
    assert await connection.fetchval(invalid) == 0
