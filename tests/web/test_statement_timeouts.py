"""A statement that takes too long ends in a 503 that says what to do; nothing of it stays."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import msgspec
import pytest
from sqlalchemy import text

from app.engine.effects.unsubscribe_links import PATH, link_key, token_of
from app.main import create_app
from app.runtime import Runtime
from app.settings import Settings
from app.web.request_kinds import BULK, COUNT, READ, SEARCH, WRITE, SearchWith, declared_kind, search_with
from app.work import SYSTEM, open_work
from db.ids import uuid7
from db.queries.counters import make_unknown
from tests.support.routes import routes_of
from tests.support.sample_account import cast_of
from tests.support.web_kit import PARTIAL
from tests.support.world import World


@pytest.fixture
async def hasty_world(world: World, settings: Settings) -> AsyncIterator[World]:
    """The app with timeouts of a few tenths of a second."""
    hasty = msgspec.structs.replace(
        settings,
        read_timeout_seconds=0.2,
        search_timeout_seconds=0.3,
        write_timeout_seconds=0.25,
        bulk_timeout_seconds=0.35,
    )
    app = create_app(hasty, world.runtime)
    yield World(app, world.admin_url, world.mails, world.runtime)
    await app.state.counter.aclose()


@asynccontextmanager
async def locked(world: World, table: str) -> AsyncIterator[None]:
    """While this holds, each statement on the table waits."""
    connection = await asyncpg.connect(world.admin_url)
    try:
        async with connection.transaction():
            await connection.execute(f"lock table {table} in access exclusive mode")
            yield
    finally:
        await connection.close()


def assert_stopped(answer: httpx.Response, sentence: str) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "2"
    problem = answer.json()
    assert (problem["code"], problem["detail"]) == ("statement_timeout", sentence)


async def test_a_slow_statement_is_stopped_and_the_answer_says_what_to_do(hasty_world: World) -> None:
    owner = await hasty_world.person()
    async with hasty_world.script(owner) as client:
        async with locked(hasty_world, "contacts"):
            page = await client.get("/contacts")
            search = await client.get("/contacts?q=ada")
            bulk = await client.post("/contacts/bulk/deletion", json={"all": True, "expected": 1})
        after = [await client.get("/contacts?q=ada") for _ in range(8)]
    assert_stopped(page, "Reading this took longer than 0.2 s and was stopped. Try again in a moment.")
    assert_stopped(search, f"This search took longer than 0.3 s and was stopped. {SEARCH.advice}")
    assert_stopped(bulk, f"This took longer than 0.35 s and was stopped. {BULK.advice}")
    assert {answer.status_code for answer in after} == {200}, "the connections stay usable"


async def test_a_page_and_a_fragment_say_it_too(hasty_world: World) -> None:
    owner = await hasty_world.person()
    async with hasty_world.browser(owner) as client, locked(hasty_world, "contacts"):
        page = await client.get("/contacts?q=ada")
        fragment = await client.get("/contacts?q=ada", headers=PARTIAL)
    for answer in (page, fragment):
        assert answer.status_code == 503
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["retry-after"] == "2"
        assert SEARCH.advice in answer.text
    assert "<html" in page.text
    assert "<html" not in fragment.text
    assert "data-message" in fragment.text, "app.js shows it as a message"


async def test_nothing_of_a_stopped_change_stays(hasty_world: World) -> None:
    owner = await hasty_world.person()
    async with hasty_world.script(owner) as client:
        before = await hasty_world.audit(owner.account_id)
        async with locked(hasty_world, "audit_logs"):  # the tag itself is written before that
            answer = await client.post("/tags", json={"name": "vip"})
        assert_stopped(answer, f"Saving this took longer than 0.25 s and was stopped. {WRITE.advice}")
        assert (await client.get("/tags")).json()["items"] == []
        assert await hasty_world.audit(owner.account_id) == before
        assert (await client.post("/tags", json={"name": "vip"})).status_code == 201


async def test_sign_in_and_public_links_have_a_timeout(hasty_world: World) -> None:
    owner = await hasty_world.person()
    async with hasty_world.client(accept="application/json") as client, locked(hasty_world, "audit_logs"):
        answer = await client.post(
            "/sessions", json={"email": owner.email, "password": "correct horse battery"}
        )
    assert_stopped(answer, f"Saving this took longer than 0.25 s and was stopped. {WRITE.advice}")
    contact_id = uuid7()
    await hasty_world.sql(
        "insert into contacts (account_id, id, email) values ($1, $2, 'ann@people.example')",
        owner.account_id, contact_id,
    )  # fmt: skip
    link = PATH + token_of(await link_key(hasty_world.runtime), owner.account_id, contact_id)
    async with hasty_world.client(accept="application/json") as client:
        async with locked(hasty_world, "contacts"):
            answer = await client.post(link)
        assert_stopped(answer, f"Saving this took longer than 0.25 s and was stopped. {WRITE.advice}")
        assert (await client.post(link)).status_code == 200


async def test_deleting_a_tag_has_the_time_of_a_bulk_edit(hasty_world: World) -> None:
    owner = await hasty_world.person()
    async with hasty_world.script(owner) as client:
        tag = (await client.post("/tags", json={"name": "vip"})).json()["tag"]["id"]
        async with locked(hasty_world, "contact_tags"):
            answer = await client.delete(f"/tags/{tag}")
    assert_stopped(answer, f"This took longer than 0.35 s and was stopped. {BULK.advice}")


async def test_a_builder_whose_count_is_stopped_has_no_numbers(
    hasty_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = await cast_of(hasty_world)
    at = f"/workflows/{cast.workflow}"
    async with open_work(hasty_world.runtime, cast.owner.account_id, SYSTEM) as work:
        await make_unknown(work.session, "visits")
        await work.commit()
    async with hasty_world.script(cast.owner) as client, hasty_world.browser(cast.owner) as browser:
        async with locked(hasty_world, "enrollment_executions"):
            page = await browser.get(at)
            versions = await browser.get(f"{at}/versions")
            fragment = await browser.get(f"{at}/counts", headers=PARTIAL)
            with monkeypatch.context() as patch:
                patch.setattr(hasty_world.runtime.counts, "times", 1_000_000)
                stopped = (await client.get(f"{at}/counts")).json()
                again = (await client.get(f"{at}/counts")).json()
        counted = (await client.get(f"{at}/counts")).json()
    assert [answer.status_code for answer in (page, versions, fragment)] == [200, 200, 200]
    assert "not counted" in page.text
    assert "<b>0</b> here" not in page.text
    assert "hx-partial" not in fragment.text, "what the page showed before stays"
    assert stopped["totals"]["counted"] is False
    assert {count["counted"] for count in stopped["counts"].values()} == {False}
    assert again == stopped, "others don't wait for the same count"
    assert counted["totals"]["counted"] is True
    assert counted["totals"]["active"] == 1


async def test_timeout_holds_in_each_transaction_of_the_work_and_ends_with_it(
    world: World, runtime: Runtime
) -> None:
    timeout = text("select current_setting('statement_timeout')")
    account_id = await world.account()
    async with open_work(runtime, account_id, SYSTEM, statement_seconds=0.2) as work:
        timeouts = [await work.session.scalar(timeout)]
        await work.commit()
        timeouts.append(await work.session.scalar(timeout))
    async with open_work(runtime, account_id, SYSTEM) as work:
        timeouts.append(await work.session.scalar(timeout))
    async with open_work(runtime, account_id, SYSTEM, statement_seconds=0) as work:
        timeouts.append(await work.session.scalar(timeout))
    assert timeouts == ["200ms", "200ms", "0", "0"], "a worker keeps what the server is set to"


def test_every_route_has_a_kind_and_lists_say_what_makes_them_a_search(world: World) -> None:
    for method, path, handler in routes_of(world.app):
        kind = declared_kind(handler, method)
        parameters = set(handler.parsed_fn_signature.parameters)
        if isinstance(kind, SearchWith):
            assert set(kind.parameters) <= parameters, f"{path} has no such parameters"
            if path == "/audit":  # without a filter it reads its newest entries
                assert set(kind.parameters) == parameters - {"work", "paging"}
        else:
            assert kind in (READ, COUNT, SEARCH, WRITE, BULK), path
            assert kind is not WRITE or method not in ("GET", "HEAD"), path
            assert kind is not READ or not parameters & {"q", "f"}, f"{path} searches: kind=search_with(…)"


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        (b"", READ),
        (b"limit=5&after=x", READ),
        (b"q=&f=", READ),
        (b"q=%20", READ),
        (b"q=ada", SEARCH),
        (b"after=x&f=city%3Ais%3AOslo", SEARCH),
    ],
)
def test_a_search_is_what_searches(query: bytes, kind: object) -> None:
    assert search_with("q", "f").of(query) is kind
