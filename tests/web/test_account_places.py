"""What one account may use at a time: heavy queries across processes, and connections of one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncSession

from app.account_places import (
    TOO_MANY_HEAVY,
    TOO_MANY_REQUESTS,
    AccountPlaces,
    PlaceQueue,
    RequestCost,
    for_scripts,
)
from app.engine.core.triggers import InboundWebhook
from app.errors import Unavailable
from app.runtime import Runtime
from app.sessions import principals
from app.work import SYSTEM, open_work
from db.queries.tags import list_tag_names
from tests.support import webhook_kit
from tests.support.web_kit import PARTIAL
from tests.support.world import World

PATIENCE = 30.0


def refused(place: str) -> float:
    return REGISTRY.get_sample_value("switchyard_place_refused_total", {"place": place}) or 0


@pytest.fixture
def places() -> AccountPlaces:
    """Those of another process than the app's."""
    return AccountPlaces(heavy=2, connections=100)


@asynccontextmanager
async def heavy_session(
    runtime: Runtime, places: AccountPlaces, account: UUID
) -> AsyncIterator[AsyncSession]:
    async with places.turn(account, heavy=True), open_work(runtime, account, SYSTEM) as work:
        await places.claim(work.session)
        yield work.session


async def test_places_are_taken_in_order_and_by_account() -> None:
    queue = PlaceQueue("heavy", 2, PATIENCE, "Too many.")
    account, finished, running = uuid4(), [], set()
    most = 0

    async def request(number: int) -> None:
        nonlocal most
        async with queue.place(account):
            running.add(number)
            most = max(most, len(running))
            await asyncio.sleep(0.001)
            running.discard(number)
        finished.append(number)

    async with queue.place(uuid4()):
        await asyncio.gather(*(request(number) for number in range(20)))
    assert most == 2
    assert finished == list(range(20))


@pytest.mark.parametrize(("places", "ahead"), [(1, 1), (2, 1), (5, 4)])
async def test_a_person_waits_for_a_few_scripts_only(places: int, ahead: int) -> None:
    queue = PlaceQueue("heavy", places, PATIENCE, "Too many.")
    account, finished = uuid4(), []

    async def request(caller: str) -> None:
        async with queue.place(account, script=caller == "script"):
            await asyncio.sleep(0)
        finished.append(caller)

    scripts = [asyncio.create_task(request("script")) for _ in range(40)]
    await asyncio.sleep(0)
    await asyncio.wait_for(request("person"), PATIENCE)
    assert finished.index("person") <= ahead
    await asyncio.gather(*scripts)


async def test_scripts_of_all_processes_leave_a_heavy_place_to_people(
    world: World, runtime: Runtime, places: AccountPlaces
) -> None:
    account = await world.account()
    places.heavy.wait_seconds = 0
    async with AsyncExitStack() as held:

        async def claim(*, script: bool) -> None:
            work = await held.enter_async_context(open_work(runtime, account, SYSTEM))
            await places.claim(work.session, script=script)

        await claim(script=False)
        await claim(script=True)
        with pytest.raises(Unavailable):
            await claim(script=True)
        with pytest.raises(Unavailable):
            await claim(script=False)
    async with AsyncExitStack() as held:
        await claim(script=True)
        with pytest.raises(Unavailable):
            await claim(script=True)
        await claim(script=False)


async def test_a_place_comes_back_after_an_error_and_after_a_caller_that_gave_up() -> None:
    queue = PlaceQueue("heavy", 1, PATIENCE, "Too many.")
    account = uuid4()
    with pytest.raises(ZeroDivisionError):
        async with queue.place(account):
            raise ZeroDivisionError
    async with queue.place(account):
        waiting = asyncio.create_task(queue.place(account).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(PATIENCE), queue.place(account):
        pass


async def test_without_a_place_in_time_it_is_refused() -> None:
    queue = PlaceQueue("heavy", 1, 0.05, "Too many.")
    account, before = uuid4(), refused("heavy")
    async with queue.place(account):
        with pytest.raises(Unavailable, match="Too many"):
            async with queue.place(account):
                pass
    assert refused("heavy") == before + 1


async def test_processes_share_the_places_and_waiting_holds_no_connection(
    world: World, runtime: Runtime, places: AccountPlaces
) -> None:
    other_process = AccountPlaces(heavy=2, connections=100)
    other_process.heavy.wait_seconds = PATIENCE
    account, other = await world.account(), await world.account()
    async with AsyncExitStack() as first, heavy_session(runtime, places, account):
        await first.enter_async_context(heavy_session(runtime, places, account))
        third = heavy_session(runtime, other_process, account)
        waiting = asyncio.create_task(third.__aenter__())
        async with heavy_session(runtime, other_process, other):
            pass  # another account has places of its own
        in_use = []
        for _ in range(20):
            await asyncio.sleep(0.01)
            in_use.append(await open_transactions(world))
        assert not waiting.done()
        assert max(in_use) <= 3
        assert in_use.count(2) > len(in_use) / 2, "between two attempts it holds none"
        await first.aclose()
        await asyncio.wait_for(waiting, PATIENCE)
        await third.__aexit__(None, None, None)


async def open_transactions(world: World) -> int:
    """How many transactions of the app are open."""
    rows = await world.sql(
        "select count(*) as n from pg_stat_activity where usename = 'app_user' "
        "and datname = current_database() and xact_start is not null"
    )
    return int(rows[0]["n"])


async def test_a_heavy_query_reads_catalogs_from_the_caches(
    world: World, runtime: Runtime, places: AccountPlaces
) -> None:
    account = await world.account()
    async with open_work(runtime, account, SYSTEM) as work:
        names = await list_tag_names(work.session)
    before = dict(runtime.catalogs.reads)
    async with heavy_session(runtime, places, account) as session:
        assert await list_tag_names(session) == names
    changed = {key for key, reads in runtime.catalogs.reads.items() if reads != before.get(key, 0)}
    assert {source for _, source in changed} == {"process"}


async def test_the_places_of_a_process_that_died_are_free(
    world: World, runtime: Runtime, places: AccountPlaces
) -> None:
    account = await world.account()
    dead_process = await asyncpg.connect(world.admin_url)
    await dead_process.execute("begin")
    await hold_places(dead_process, account)
    places.heavy.wait_seconds = 0.1
    with pytest.raises(Unavailable):
        async with heavy_session(runtime, places, account):
            pass
    dead_process.terminate()
    places.heavy.wait_seconds = PATIENCE
    async with heavy_session(runtime, places, account):
        pass


async def hold_places(connection: asyncpg.Connection, account: UUID, places: int = 2) -> None:
    """Takes the places of the account, as heavy queries of another process do."""
    await connection.execute(
        "select pg_advisory_xact_lock(hashtext('heavy:' || $1::text), place) "
        "from generate_series(1, $2) place",
        str(account), places,
    )  # fmt: skip


async def test_over_two_searches_the_answer_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, stranger = await world.person(), await world.person()
    monkeypatch.setattr(world.app.state.places.heavy, "wait_seconds", 0.1)
    connection = await asyncpg.connect(world.admin_url)
    before = refused("shared")
    async with (
        world.script(owner) as client,
        world.browser(owner) as browser,
        world.script(stranger) as other,
    ):
        async with connection.transaction():
            await hold_places(connection, owner.account_id)
            search = await client.get("/contacts?q=ada")
            bulk = await client.post("/contacts/bulk/deletion", json={"all": True})
            page, part = [await browser.get("/contacts?q=ada", headers=h) for h in ({}, PARTIAL)]
            cheap = await client.get("/contacts")
            theirs = await other.get("/contacts?q=ada")
        after = await client.get("/contacts?q=ada")
    await connection.close()
    for answer in (search, bulk, page, part):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert TOO_MANY_HEAVY in answer.text
    assert [answer.status_code for answer in (cheap, theirs, after)] == [200, 200, 200]
    assert refused("shared") == before + 4


async def test_one_account_cannot_use_all_connections(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, stranger = await world.person(), await world.person()
    queue = world.app.state.places.connections
    assert queue.places == 5, "half of the pool of five and its overflow of five"
    monkeypatch.setattr(queue, "wait_seconds", 0.1)
    async with world.script(owner) as client, world.script(stranger) as other, AsyncExitStack() as held:
        for _ in range(queue.places):
            await held.enter_async_context(queue.place(owner.account_id))
        answer = await client.get("/contacts")
        assert (answer.status_code, answer.json()["detail"]) == (503, TOO_MANY_REQUESTS)
        assert (await other.get("/contacts")).status_code == 200
        await held.aclose()
        assert (await client.get("/contacts")).status_code == 200


async def test_a_script_that_a_process_has_not_seen_waits_for_its_account(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await world.person()
    queue = world.app.state.places.connections
    monkeypatch.setattr(queue, "wait_seconds", 0.1)
    async with world.script(owner) as client, AsyncExitStack() as held:
        secret = (await client.post("/tokens", json={"name": "new", "scopes": ["view"]})).json()["token"]
        for _ in range(queue.places):
            await held.enter_async_context(queue.place(owner.account_id))
        headers = {"authorization": f"Bearer {secret}"}
        assert (await client.get("/contacts", headers=headers)).status_code == 503
        await held.aclose()
        assert (await client.get("/contacts", headers=headers)).status_code == 200


async def test_renewals_of_sessions_leave_half_of_the_connections_to_known_callers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await world.person()
    queue = world.app.state.places.connections
    monkeypatch.setattr(queue, "wait_seconds", 0.1)
    async with world.browser(owner) as browser, world.script(owner) as client, AsyncExitStack() as held:
        browser.cookies.delete(world.app.state.cookies.token)
        for _ in range(queue.places):
            await held.enter_async_context(queue.place(None))
        assert (await browser.get("/tags")).status_code == 503
        assert (await client.get("/tags")).status_code == 200
        await held.aclose()
        assert (await browser.get("/tags")).status_code == 200


async def test_deliveries_of_webhooks_leave_a_place_to_people(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await world.person()
    await webhook_kit.contact(world, owner.account_id)
    workflow = await webhook_kit.flow(world, owner.account_id, InboundWebhook())
    path, _ = await webhook_kit.address(world, owner, workflow)
    queue = world.app.state.places.connections
    monkeypatch.setattr(queue, "wait_seconds", 0.1)
    async with world.browser(owner) as browser, AsyncExitStack() as held:
        for _ in range(for_scripts(queue.places)):
            await held.enter_async_context(queue.place(owner.account_id, script=True))
        assert (await webhook_kit.post(world, path)).status_code == 503
        assert (await browser.get("/tags")).status_code == 200
        await held.aclose()
        assert (await webhook_kit.post(world, path)).status_code == 202


async def test_a_place_comes_back_when_its_connection_cannot_be_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await world.person()
    queue = world.app.state.places.connections
    monkeypatch.setattr(queue, "wait_seconds", 0.1)

    async def close_session(session: AsyncSession) -> None:
        await session.close()
        raise InterruptedError

    errors = []  # each keeps what its call held
    with monkeypatch.context() as patch:
        patch.setattr(principals, "close_session", close_session)
        for _ in range(queue.places):
            with pytest.raises(InterruptedError) as error:
                await world.app.state.identity.directory.open_session(
                    uuid4(), owner.account_id, None, RequestCost(heavy=False, statement_seconds=1), page=False
                )
            errors.append(error)
    async with queue.place(owner.account_id):
        pass


async def test_metrics_show_the_pool_and_the_places(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        assert (await client.get("/contacts?q=ada")).status_code == 200
    world.app.state.record_pool()
    samples = {
        state: REGISTRY.get_sample_value("switchyard_database_pool_connections", {"state": state})
        for state in ("most", "open", "in_use")
    }
    assert samples["most"] == 10
    assert 1 <= (samples["open"] or 0) <= 10
    assert samples["in_use"] == 0
    assert REGISTRY.get_sample_value("switchyard_database_pool_wait_seconds_count")
    for place in ("connection", "heavy", "shared"):
        assert REGISTRY.get_sample_value("switchyard_place_wait_seconds_count", {"place": place})
