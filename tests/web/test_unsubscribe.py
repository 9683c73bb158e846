"""The unsubscribe link: it needs no sign-in, opening it changes nothing, one POST is enough."""

import asyncio
import base64
import secrets
from uuid import UUID

import httpx
import pytest

from app.engine.effects.unsubscribe_links import PATH, link_key, link_of, read_token, token_of
from app.web.signing_keys import rotate
from db.ids import uuid7
from tests.support.web_kit import HTML, JSON
from tests.support.world import World

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
FOREIGN = {"origin": "https://mail.example", "sec-fetch-site": "cross-site", "cookie": "a=b"}


async def contact(world: World, account: UUID, email: str = "ann@people.example") -> UUID:
    contact_id = uuid7()
    await world.sql(
        "insert into contacts (account_id, id, first_name, email) values ($1, $2, 'Ann', $3)",
        account, contact_id, email,
    )  # fmt: skip
    return contact_id


async def path_of(world: World, account: UUID, contact_id: UUID) -> str:
    return PATH + token_of(await link_key(world.runtime), account, contact_id)


async def state(world: World, contact_id: UUID) -> tuple[str, int]:
    [row] = await world.sql("select email_consent, rev from contacts where id = $1", contact_id)
    return row["email_consent"], row["rev"]


async def post(client: httpx.AsyncClient, path: str, body: str) -> httpx.Response:
    if body == "urlencoded":
        return await client.post(path, data=ONE_CLICK)
    if body == "multipart":
        return await client.post(path, files={"List-Unsubscribe": (None, "One-Click")})
    return await client.post(path)


@pytest.mark.parametrize("body", ["urlencoded", "multipart", "none"])
@pytest.mark.parametrize("headers", [{}, {"accept": "*/*"}, HTML, JSON])
async def test_one_post_unsubscribes(world: World, body: str, headers: dict[str, str]) -> None:
    account = await world.account("Acme & Sons")
    ann = await contact(world, account)
    path = await path_of(world, account, ann)
    async with world.client(**headers, **FOREIGN) as client:
        for _ in range(2):
            answer = await post(client, path, body)
            assert (answer.status_code, "location" in answer.headers) == (200, False), answer.text
            assert "set-cookie" not in answer.headers
            if headers == HTML:
                assert "You're unsubscribed" in answer.text
                assert "Acme &amp; Sons" in answer.text
            else:
                assert answer.json()["unsubscribed"] is True
    assert await state(world, ann) == ("denied", 2)
    [entry] = await world.sql("select * from audit_logs where account_id = $1", account)
    assert (entry["action"], entry["subject_id"]) == ("contact.updated", str(ann))
    assert (entry["actor_kind"], entry["actor_id"], entry["rev"]) == ("contact", str(ann), 2)
    assert entry["changes"] == '{"email_consent": ["unknown", "denied"]}'
    [event] = await world.sql("select * from events where account_id = $1", account)
    assert (event["kind"], event["source"], event["subject_id"]) == ("contact.updated", "user", ann)
    assert event["data"] == '{"changes": {"email_consent": ["unknown", "denied"]}}'


async def test_concurrent_requests_change_it_once(world: World) -> None:
    account = await world.account()
    ann = await contact(world, account)
    path = await path_of(world, account, ann)
    async with world.client() as client:
        answers = await asyncio.gather(*(client.post(path, data=ONE_CLICK) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert await state(world, ann) == ("denied", 2)
    assert len(await world.audit(account)) == 1


async def test_opening_the_page_changes_nothing(world: World) -> None:
    account = await world.account()
    ann = await contact(world, account)
    path = await path_of(world, account, ann)
    async with world.client(**HTML, **FOREIGN) as client:
        page = await client.get(path)
        assert page.status_code == 200
        assert page.text.count("<button") == 1
        assert f'action="{path}"' in page.text
        assert "ann@people.example" not in page.text, "links get forwarded"
        assert str(ann) not in page.text
        head = await client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert (await client.options(path)).status_code < 500
        assert (await client.put(path)).status_code == 405
        assert (await client.delete(path)).status_code == 405
    async with world.client(**JSON) as client:
        [button] = (await client.get(path)).json()["actions"]
        assert (button["method"], button["href"]) == ("POST", path)
    assert await state(world, ann) == ("unknown", 1)
    assert await world.audit(account) == []


async def test_the_button_of_the_page_works_without_script(world: World) -> None:
    account = await world.account()
    ann = await contact(world, account)
    path = await path_of(world, account, ann)
    async with world.client(**HTML, origin="http://127.0.0.1:8000") as client:
        assert (await client.post(path, data=ONE_CLICK)).status_code == 200
    assert (await state(world, ann))[0] == "denied"


async def test_deleted_contact_and_its_successor_are_unsubscribed(world: World) -> None:
    account = await world.account()
    gone = await contact(world, account)
    await world.sql("update contacts set deleted_at = clock_timestamp() where id = $1", gone)
    path = await path_of(world, account, gone)
    successor = await contact(world, account)
    other = await contact(world, await world.account("Globex"))
    async with world.client() as client:
        for _ in range(2):
            assert (await client.post(path, data=ONE_CLICK)).status_code == 200
    assert (await state(world, gone))[0] == "denied"
    assert (await state(world, successor))[0] == "denied"
    assert (await state(world, other))[0] == "unknown", "another account is another sender"
    async with world.client() as client:
        assert (await client.post(await path_of(world, account, uuid7()))).status_code == 200


async def test_changed_or_invented_link_is_404(world: World) -> None:
    account = await world.account()
    ann, bob = await contact(world, account), await contact(world, account, "bob@people.example")
    token = token_of(await link_key(world.runtime), account, ann)
    flipped = ("B" if token[40] == "A" else "A").join((token[:40], token[41:]))
    made_up = base64.urlsafe_b64encode(secrets.token_bytes(16) + account.bytes + bob.bytes).decode()
    other_key = token_of(secrets.token_bytes(64), account, bob)
    async with world.client() as client:
        for wrong in (flipped, made_up, other_key, token[:-1], token + "=", "x", str(ann), "ü" * 64, "%00"):
            for method in ("GET", "POST"):
                answer = await client.request(method, PATH + wrong)
                assert answer.status_code == 404, wrong
    assert [(await state(world, contact_id))[0] for contact_id in (ann, bob)] == ["unknown"] * 2


async def test_link_reveals_nothing_and_outlives_the_signing_keys(world: World) -> None:
    account = await world.account()
    ann = await contact(world, account)
    key = await link_key(world.runtime)
    token = token_of(key, account, ann)
    assert token == token_of(key, account, ann), "every attempt of an email has the same link"
    assert link_of("https://crm.example/", key, account, ann) == f"https://crm.example{PATH}{token}"
    plain = base64.urlsafe_b64decode(token)
    assert account.bytes not in plain
    assert ann.bytes not in plain
    assert read_token(key, token) == (account, ann)
    rotate(world.runtime.settings.data_dir / "keys")
    world.runtime.link_keys.clear()  # as a new process
    async with world.client() as client:
        assert (await client.post(PATH + token)).status_code == 200
    assert (await state(world, ann))[0] == "denied"


async def test_the_token_is_in_no_log(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    account = await world.account()
    path = await path_of(world, account, await contact(world, account))
    async with world.client() as client:
        for method in ("GET", "POST", "PUT"):
            await client.request(method, path)
    output = capsys.readouterr()
    assert path.removeprefix(PATH) not in output.out + output.err
