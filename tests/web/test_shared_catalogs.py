"""What one process changes, every other one reads at once: catalogs, sessions and roles.

Each change is made through a route of the app; `there` is another web process, `worker` a third runtime
with caches of its own. Both have read everything before."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from litestar import Litestar

from app.accounts.provisioning import create_account
from app.main import create_app
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.work import SYSTEM, open_work
from app.workflows.use_cases.input_reader import Reader, read_builder_names
from db.queries.name_lookup import read_names
from tests.conftest import running
from tests.support.crm_kit import create_contact, create_field, run_job
from tests.support.imports_kit import import_all
from tests.support.mail_links import invitation_in
from tests.support.web_kit import JSON
from tests.support.web_process import serving
from tests.support.world import PASSWORD, AccountMember, World


@pytest.fixture(scope="session")
async def there(settings: Settings) -> AsyncIterator[Litestar]:
    """Another web process, as far as the app can tell."""
    app = create_app(settings, open_runtime(settings, pool_size=3))
    async with running(app):
        yield app


@pytest.fixture(scope="session")
async def worker(settings: Settings) -> AsyncIterator[Runtime]:
    runtime = open_runtime(settings, pool_size=3)
    yield runtime
    await runtime.close()


async def seen_by(runtime: Runtime, account: UUID, *, cached: bool = True) -> dict[str, Any]:
    """Everything that is cached of an account, as a process reads it."""
    async with open_work(runtime, account, SYSTEM) as work:
        if not cached:
            del work.session.info["catalogs"]
        own = await work.accounts.own()
        fields = await work.fields.catalog()
        return {
            "account": (own.name, own.time_zone, own.default_region),
            "tags": dict(await work.tags.names()),
            "names": msgspec.to_builtins(await read_names(work.session)),
            "fields": {key: (spec.label, spec.options) for key, spec in fields.items()},
            "owners": dict(fields["owner"].names or {}),
            "segments": dict(fields["segments"].names or {}),
            "filters": {key: repr(value) for key, value in fields["segments"].filters.items()},
            "workflows": dict(fields["workflows"].names or {}),
        }


Act = Callable[[World, AccountMember, httpx.AsyncClient], Awaitable[object]]


async def rename_tag(_world: World, _who: AccountMember, client: httpx.AsyncClient) -> None:
    tag = (await client.post("/tags", json={"name": "old"})).json()["tag"]["id"]
    done(await client.post(f"/tags/{tag}", json={"name": "new"}))


async def delete_tag(_world: World, _who: AccountMember, client: httpx.AsyncClient) -> None:
    tag = (await client.post("/tags", json={"name": "gone"})).json()["tag"]["id"]
    done(await client.post(f"/tags/{tag}/deletion"))
    done(await client.post("/tags", json={"name": "left"}))


async def tag_a_contact(_world: World, _who: AccountMember, client: httpx.AsyncClient) -> None:
    contact = await create_contact(client, first_name="Ann")
    done(await client.post(f"/contacts/{contact['id']}/tags", json={"name": "by contact"}))


async def tag_many(world: World, who: AccountMember, client: httpx.AsyncClient) -> None:
    contact = await create_contact(client, first_name="Ann")
    answer = await client.post("/contacts/bulk/tags", json={"ids": [contact["id"]], "tag": "bulk"})
    await run_job(world, who, done(answer).headers["location"].rpartition("/")[2])


async def import_with_a_tag(world: World, who: AccountMember, client: httpx.AsyncClient) -> None:
    await import_all(world, who, client, b"first_name,email\nAnn,ann@x.example\n", tags="imported")


async def change_field(_world: World, _who: AccountMember, client: httpx.AsyncClient) -> None:
    field = await create_field(client, label="Plan", type="select", options="a\nb")
    done(await client.post(f"/fields/{field['id']}", json={"label": "Level", "options": "a\nb\nc"}))


async def delete_field(_world: World, _who: AccountMember, client: httpx.AsyncClient) -> None:
    field = await create_field(client, label="Gone", type="text")
    done(await client.post(f"/fields/{field['id']}/deletion"))
    await create_field(client, label="Left", type="text")


async def change_segment(_world: World, _who: AccountMember, client: httpx.AsyncClient) -> None:
    segment = done(await client.post("/segments", json={"name": "West", "f": ["state:is:CA"]})).json()[
        "segment"
    ]
    done(await client.post(f"/segments/{segment['id']}", json={"name": "Gulf", "f": ["state:is:TX"]}))


async def delete_segment(_world: World, _who: AccountMember, client: httpx.AsyncClient) -> None:
    segment = done(await client.post("/segments", json={"name": "Gone", "f": ["state:is:CA"]})).json()[
        "segment"
    ]
    done(await client.post(f"/segments/{segment['id']}/deletion"))
    done(await client.post("/segments", json={"name": "Left", "f": ["state:is:CA"]}))


async def use_long_number(_world: World, _who: AccountMember, client: httpx.AsyncClient) -> None:
    condition = '{"type":"predicate","field":"phone","op":"is","value":123456789012345678901234567890}'
    done(await client.post("/segments", json={"name": "Long", "f": [condition]}))
    done(await client.get("/contacts"))


async def archive_workflow(_world: World, _who: AccountMember, client: httpx.AsyncClient) -> None:
    first = done(await client.post("/workflows", json={"name": "Welcome"})).headers["location"]
    done(await client.post("/workflows", json={"name": "Left"}))
    done(await client.post(f"{first}/archival"))


async def change_account(_world: World, _who: AccountMember, client: httpx.AsyncClient) -> None:
    done(
        await client.post(
            "/account", json={"name": "Acme 2", "default_region": "IT", "time_zone": "Europe/Rome"}
        )
    )


async def join(world: World, _who: AccountMember, client: httpx.AsyncClient) -> None:
    person = await world.person("owner")
    done(await client.post("/members", json={"email": person.email, "role": "viewer"}))
    link = invitation_in(world)
    async with world.client(**JSON) as public:
        done(await public.post(link, json={"password": PASSWORD}))


async def remove_member(world: World, who: AccountMember, client: httpx.AsyncClient) -> None:
    member = await world.person("viewer", who.account_id)
    await seen_by(world.runtime, who.account_id)
    done(await client.post(f"/members/{member.user_id}/deletion"))
    await world.person("viewer", who.account_id)


async def change_by_sql(world: World, who: AccountMember, _client: httpx.AsyncClient) -> None:
    await world.sql("update users set name = 'Zoe' where id = $1", who.user_id)


def done(answer: httpx.Response) -> httpx.Response:
    assert answer.status_code in (200, 201, 202, 204), answer.text
    return answer


@pytest.mark.parametrize(
    "act",
    [
        rename_tag, delete_tag, tag_a_contact, tag_many, import_with_a_tag, change_field, delete_field,
        change_segment, delete_segment, use_long_number, archive_workflow, change_account,
        join, remove_member, change_by_sql,
    ],
)  # fmt: skip
async def test_a_change_is_read_at_once_by_every_process(
    world: World, there: Litestar, worker: Runtime, act: Act
) -> None:
    who = await world.person()
    runtimes = [there.state.runtime, worker]
    before = [await seen_by(runtime, who.account_id) for runtime in runtimes]
    async with world.script(who) as client:
        await act(world, who, client)
    true = await seen_by(world.runtime, who.account_id, cached=False)
    assert true != before[0], "the change is one of a catalog"
    assert [await seen_by(runtime, who.account_id) for runtime in runtimes] == [true, true]


async def test_each_step_of_a_change_is_read_at_once_over_http(world: World, there: Litestar) -> None:
    who = await world.person()
    async with world.script(who) as here, _at(there, here) as other:
        assert (await other.get("/contacts")).status_code == 200
        field = await create_field(here, label="Plan", type="text")
        key = f"custom.{field['id']}"
        assert (await other.get(f"/contacts?f={key}:is:x")).status_code == 200
        contact = await create_contact(other, first_name="Ann", fields={field["id"]: "x"})
        assert [row["id"] for row in (await here.get(f"/contacts?f={key}:is:x")).json()["items"]] == [
            contact["id"]
        ]
        done(await here.post(f"/fields/{field['id']}/deletion"))
        assert (await other.get(f"/contacts?f={key}:is:x")).status_code == 422


async def test_a_transaction_reads_its_own_change_and_what_it_waited_for(
    world: World, worker: Runtime
) -> None:
    who = await world.person()
    async with open_work(worker, who.account_id, SYSTEM) as work:
        assert await work.tags.names() == {}
        await work.tags.ensure(["mine"])
        assert list((await work.tags.names()).values()) == ["mine"]
    async with open_work(worker, who.account_id, SYSTEM) as work:
        assert await work.tags.names() == {}, "it was rolled back"
        async with open_work(world.runtime, who.account_id, SYSTEM) as other:
            await other.tags.ensure(["theirs"])
            await other.commit()
        await work.accounts.get_one(with_for_update=True)  # as if it had waited for the other one
        assert list((await work.tags.names()).values()) == ["theirs"]
        await work.commit()
        assert list((await work.tags.names()).values()) == ["theirs"]


async def test_a_tag_of_an_edit_that_was_not_saved_is_in_no_catalog(world: World, worker: Runtime) -> None:
    who = await world.person()
    async with open_work(worker, who.account_id, SYSTEM) as work:
        reader = Reader(work, await read_builder_names(work))
        tag = await reader.tag("new")
        assert reader.lookup.tags == {str(tag): "new"}
    async with open_work(worker, who.account_id, SYSTEM) as work:
        assert (await read_names(work.session)).tags == {}


async def test_the_command_line_makes_an_account_that_every_process_reads(
    world: World, settings: Settings, worker: Runtime
) -> None:
    email = f"cli-{worker.id.hex}@x.example"
    await create_account(settings, "By command", email, "Cleo", PASSWORD)
    [row] = await world.sql("select m.account_id from memberships m join users u on u.id = m.user_id "
                            "where u.email = $1", email)  # fmt: skip
    catalogs = await seen_by(worker, row["account_id"])
    assert (catalogs["account"][0], list(catalogs["owners"].values())) == ("By command", ["Cleo"])


async def test_an_ended_session_and_a_changed_role_count_at_once_in_every_process(
    world: World, there: Litestar
) -> None:
    owner = await world.person()
    member = await world.person("operator", owner.account_id)
    async with world.script(owner) as boss, world.script(member) as here, _at(there, here) as other:
        for client in (here, other):
            assert (await client.post("/tags", json={"name": f"by {client is here}"})).status_code == 201
        done(await boss.post(f"/members/{member.user_id}/role", json={"role": "viewer"}))
        assert (await other.post("/tags", json={"name": "no"})).status_code == 403
        done(await boss.post(f"/members/{member.user_id}/role", json={"role": "admin"}))
        assert (await other.post("/tags", json={"name": "yes"})).status_code == 201
        done(await here.post("/sessions/current/deletion"))
        assert (await other.get("/tags")).status_code == 401


async def test_a_revoked_token_and_a_removed_member_are_out_at_once_in_every_process(
    world: World, there: Litestar
) -> None:
    owner = await world.person()
    member = await world.person("admin", owner.account_id)
    async with world.script(owner) as boss, world.script(member) as here, _at(there, here) as session:
        created = done(await here.post("/tokens", json={"name": "sync", "scopes": ["view"]})).json()
        async with _at(there, here) as token:
            token.headers["authorization"] = f"Bearer {created['token']}"
            assert (await token.get("/tags")).status_code == 200
            done(await here.post(f"/tokens/{created['id']}/revocation"))
            assert (await token.get("/tags")).status_code == 401
        assert (await session.get("/tags")).status_code == 200
        done(await boss.post(f"/members/{member.user_id}/deletion"))
        assert (await session.get("/tags")).status_code == 401


async def test_two_processes_read_each_others_changes(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    owner = await world.person()
    same = {"BASE_URL": "http://127.0.0.1:8000"}  # tokens of one are valid at the other
    async with (
        serving(settings, tmp_path, **same) as first,
        serving(settings, tmp_path, **same) as second,
        httpx.AsyncClient(base_url=first.url, headers=JSON) as here,
        httpx.AsyncClient(base_url=second.url, headers=JSON) as other,
    ):
        form = {"email": owner.email, "password": PASSWORD}
        token = done(await here.post("/sessions", json=form)).json()["token"]
        here.headers["authorization"] = other.headers["authorization"] = f"Bearer {token}"
        for client in (here, other):
            assert (await client.get("/contacts")).status_code == 200
        for turn, (writer, reader) in enumerate([(here, other), (other, here)] * 3):
            field = await create_field(writer, label=f"Field {turn}", type="text")
            condition = f"/contacts?f=custom.{field['id']}:is:x"
            assert (await reader.get(condition)).status_code == 200
            done(await writer.post(f"/fields/{field['id']}/deletion"))
            assert (await reader.get(condition)).status_code == 422
        done(await here.post("/sessions/current/deletion"))
        assert (await other.get("/contacts")).status_code == 401


def _at(app: Litestar, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same caller at another process."""
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # -- Litestar's types of ASGI
    return httpx.AsyncClient(transport=transport, base_url=client.base_url, headers=client.headers)
