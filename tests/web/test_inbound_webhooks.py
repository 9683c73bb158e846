"""Inbound webhooks: addresses, the contact that a body names, signatures, and each delivery once."""

import asyncio
import time
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from app.engine.core.triggers import InboundWebhook
from app.inbound_webhooks.domain import key_of, signature
from app.inbound_webhooks.encryption import Unreadable, seal, unseal
from jobs.turns import drain
from tests.support.fakes import TestClock
from tests.support.web_kit import HTML, JSON
from tests.support.webhook_kit import address, contact, events, flow, post
from tests.support.world import World


async def test_a_delivery_starts_the_workflow(world: World) -> None:
    who = await world.person()
    person = await contact(world, who.account_id)
    workflow = await flow(world, who.account_id, InboundWebhook(contact_path="data.people.0.email"))
    path, secret = await address(world, who, workflow)
    assert secret.startswith("whsec_")
    body = {"data": {"people": [{"email": " ANN@people.example"}]}, "order": 7}
    answer = await post(world, path, body)
    assert answer.status_code == 202
    [event] = await events(world, who.account_id)
    assert answer.json() == {"event": str(event["id"]), "repeated": False}
    assert (event["subject_id"], event["source"]) == (person, "api")
    await drain(world.runtime, who.account_id)
    [entered] = await world.sql("select data from enrollments where contact_id = $1", person)
    assert msgspec.json.decode(entered["data"]) == {"event": body}


async def test_only_the_digest_of_an_address_is_stored(world: World) -> None:
    who = await world.person()
    workflow = await flow(world, who.account_id, InboundWebhook())
    path, secret = await address(world, who, workflow)
    [row] = await world.sql("select * from inbound_webhooks where workflow_id = $1", workflow)
    token = path.rpartition("/")[2]
    assert len(token) >= 43
    assert token.startswith(row["token_prefix"])
    assert len(row["token_prefix"]) < 12
    assert token.encode() not in bytes(row["token_hash"])
    assert key_of(secret) not in bytes(row["signing_secret"])
    async with world.browser(who) as browser:
        page = await browser.get(f"/workflows/{workflow}/hooks")
        assert row["token_prefix"] in page.text
        assert token not in page.text
        shown = await browser.post(
            f"/workflows/{workflow}/hooks",
            data={"trigger": "t1", "part": "address", "account": str(who.account_id)},
        )
        assert shown.status_code == 201
        assert "be shown again" in shown.text


async def test_current_only_audience_refuses_deliveries(world: World) -> None:
    who = await world.person()
    await contact(world, who.account_id)
    workflow = await flow(world, who.account_id, InboundWebhook())
    path, _ = await address(world, who, workflow)
    await world.sql(
        """update workflow_versions
              set document = jsonb_set(document, '{settings,audience}', '"current_only"')
            where workflow_id = $1""", workflow,
    )  # fmt: skip
    refused = await post(world, path)
    assert (refused.status_code, "only those that matched" in refused.json()["detail"]) == (409, True)
    assert await events(world, who.account_id) == []
    async with world.browser(who) as browser:
        at = f"/workflows/{workflow}/hooks"
        [shown] = (await browser.get(at, headers=JSON)).json()["items"]
        assert (shown["live"], shown["closed"]) == (False, True)
        assert "only contacts that matched" in (await browser.get(at)).text


async def test_new_address_replaces_the_old_one_and_keeps_deliveries(world: World) -> None:
    who = await world.person()
    await contact(world, who.account_id)
    workflow = await flow(world, who.account_id, InboundWebhook())
    old, _ = await address(world, who, workflow)
    assert (await post(world, old, webhook_id="d1")).status_code == 202
    new, secret = await address(world, who, workflow)
    assert secret == ""
    assert (await post(world, old, webhook_id="d2")).status_code == 404
    assert (await post(world, new, webhook_id="d1")).status_code == 200
    assert (await world.audit(who.account_id))[-1] == ("webhook.address_created", "workflow")


@pytest.mark.parametrize("header", ["webhook_id", "idempotency_key"])
async def test_each_delivery_once_in_parallel_and_for_thirty_days(
    world: World, clock: TestClock, header: str
) -> None:
    who = await world.person()
    workflow = await flow(world, who.account_id, InboundWebhook(create=True))
    path, _ = await address(world, who, workflow)
    answers: list[httpx.Response] = []
    for later in ({}, {"hours": 25}, {"days": 28}):
        clock.forward(**later)
        answers += await asyncio.gather(*(post(world, path, **{header: "delivery-1"}) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200] * 8 + [202]
    assert len({answer.json()["event"] for answer in answers}) == 1
    assert len(await events(world, who.account_id)) == 1
    assert len(await world.sql("select from contacts where account_id = $1", who.account_id)) == 1
    clock.forward(days=31)
    assert (await post(world, path, **{header: "delivery-1"})).status_code == 202


async def test_deliveries_without_an_id_are_not_deduplicated(world: World) -> None:
    who = await world.person()
    workflow = await flow(world, who.account_id, InboundWebhook(create=True))
    path, _ = await address(world, who, workflow)
    answers = await asyncio.gather(*(post(world, path, {"id": 1, "email": "b@c.example"}) for _ in range(3)))
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len(await events(world, who.account_id)) == 3
    assert len(await world.sql("select from contacts where account_id = $1", who.account_id)) == 1


@pytest.mark.parametrize(
    ("trigger", "body", "status", "message"),
    [
        (InboundWebhook(), {"email": "nobody@people.example"}, 422, "No contact has the email"),
        (InboundWebhook(create=True), {"email": "new@people.example"}, 202, ""),
        (InboundWebhook(create=True), {"email": "not an address"}, 422, "no valid email address at “email”"),
        (InboundWebhook(contact_path="a.b"), {"email": "ann@people.example"}, 422, "“a.b”"),
        (InboundWebhook(), [1, 2], 422, "“email”"),
        (InboundWebhook(match="id", contact_path="who"), {"who": "x-7"}, 202, ""),
        (InboundWebhook(match="id", contact_path="who"), {"who": "x-8"}, 422, "No contact has the ID"),
        (
            InboundWebhook(match="id", contact_path="who"),
            {"who": str(UUID(int=5))},
            422,
            "No contact has the ID",
        ),
        (InboundWebhook(), {"email": "ann@people.example", "note": "a\x00b"}, 422, "can't be stored"),
    ],
)
async def test_body_identifies_the_contact(
    world: World, trigger: InboundWebhook, body: Any, status: int, message: str
) -> None:
    who = await world.person()
    await contact(world, who.account_id)
    path, _ = await address(world, who, await flow(world, who.account_id, trigger))
    answer = await post(world, path, body, webhook_id="d1")
    assert answer.status_code == status, answer.text
    assert message in answer.text
    assert len(await events(world, who.account_id)) == (status == 202)
    if status == 422:
        assert await world.sql("select from inbound_deliveries where account_id = $1", who.account_id) == []


async def test_external_id_may_look_like_a_contact_id(world: World) -> None:
    who = await world.person()
    contact_id, theirs = await contact(world, who.account_id), str(UUID(int=77))
    await world.sql("update contacts set external_id = $2 where id = $1", contact_id, theirs)
    trigger = InboundWebhook(match="id", contact_path="who")
    path, _ = await address(world, who, await flow(world, who.account_id, trigger))
    assert (await post(world, path, {"who": theirs})).status_code == 202
    assert (await post(world, path, {"who": str(contact_id)})).status_code == 202, "by our own as well"
    assert [row["subject_id"] for row in await events(world, who.account_id)] == [contact_id, contact_id]


async def test_another_accounts_contact_is_not_found(world: World) -> None:
    who, other = await world.person(), await world.person()
    theirs = await contact(world, other.account_id)
    trigger = InboundWebhook(match="id", contact_path="who")
    path, _ = await address(world, who, await flow(world, who.account_id, trigger))
    assert (await post(world, path, {"who": str(theirs)})).status_code == 422


async def test_signatures(world: World, clock: TestClock) -> None:
    who = await world.person()
    await contact(world, who.account_id)
    workflow = await flow(world, who.account_id, InboundWebhook(signed=True))
    path, secret = await address(world, who, workflow)
    body = {"email": "ann@people.example"}
    raw = msgspec.json.encode(body)

    def signed(delivery: str, age: float = 0, key: str = secret, content: bytes = raw) -> dict[str, str]:
        at = str(int(time.time() - age))
        return {
            "webhook_id": delivery,
            "webhook_timestamp": at,
            "webhook_signature": f"v1a,zzz v1,AAAA {signature(key_of(key), delivery, at, content)}",
        }

    assert (await post(world, path, body)).status_code == 401
    assert (await post(world, path, body, webhook_id="d1")).status_code == 401
    for wrong in (
        signed("d1", age=400), signed("d1", age=-400), signed("d1", content=b"{}"),
        signed("d1", key="whsec_" + "A" * 44), signed("d1") | {"webhook_id": "d2"},
        signed("d1") | {"webhook_timestamp": "soon"}, signed("d1") | {"webhook_signature": "v1,"},
    ):  # fmt: skip
        refused = await post(world, path, body, **wrong)
        assert refused.status_code == 401, wrong
    assert await events(world, who.account_id) == []
    assert (await post(world, path, body, **signed("d1", age=200))).status_code == 202
    assert (await post(world, path, body, **signed("d1"))).status_code == 200
    # The name that is not signed counts for nothing.
    replayed = signed("d1") | {"idempotency_key": "other"}
    assert (await post(world, path, body, **replayed)).status_code == 200
    _, fresh = await address(world, who, workflow, "secret")
    assert fresh not in ("", secret)
    assert (await post(world, path, body, **signed("d3"))).status_code == 401
    assert (await post(world, path, body, **signed("d3", key=fresh))).status_code == 202


async def test_paused_workflow_records_and_unpublished_refuses(world: World) -> None:
    who = await world.person()
    await contact(world, who.account_id)
    drafted = await flow(world, who.account_id, InboundWebhook(), live=False)
    path, _ = await address(world, who, drafted)
    refused = await post(world, path)
    assert refused.status_code == 409
    assert "isn't published" in refused.text
    paused = await flow(world, who.account_id, InboundWebhook())
    path, _ = await address(world, who, paused)
    await world.sql("update workflows set status = 'paused' where id = $1", paused)
    assert (await post(world, path)).status_code == 202
    await drain(world.runtime, who.account_id)
    [decision] = await world.sql("select verdict from trigger_decisions where workflow_id = $1", paused)
    assert decision["verdict"] == "workflow_paused"


async def test_invalid_deliveries_are_refused(world: World) -> None:
    who = await world.person()
    await contact(world, who.account_id)
    path, _ = await address(world, who, await flow(world, who.account_id, InboundWebhook()))
    async with world.client() as outside:
        assert (await outside.post(path, data={"email": "ann@people.example"})).status_code == 415
        assert (
            await outside.post(path, content=b"x", headers={"content-type": "text/plain"})
        ).status_code == 415
        json = {"content-type": "application/json"}
        broken = await outside.post(path, content=b'{"email":', headers=json)
        assert broken.status_code == 422
        assert "valid JSON" in broken.text
        assert (await outside.post(path, content=b"[" * 100_000, headers=json)).status_code == 422
        for deep, status in ((100, 202), (101, 422), (900, 422)):  # the outermost object is one more
            nested = b"[" * (deep - 1) + b"]" * (deep - 1)
            body = b'{"email": "ann@people.example", "more": ' + nested + b"}"
            answer = await outside.post(path, content=body, headers=json)
            assert (answer.status_code, "Send it flatter" in answer.text) == (status, status == 422), deep
        assert (await outside.post(path, content=b"1" * 300_000, headers=json)).status_code == 413
        assert (await outside.get(path)).status_code == 405
    for wrong in ("/hooks/wh_nobody", "/hooks/x", f"/hooks/{'wh_' + 'a' * 43}"):
        answer = await post(world, wrong)
        assert answer.status_code == 404, wrong
        assert answer.headers["content-type"].startswith("application/problem+json")
    # From a browser of whatever site, with or without a cookie: the address is all that counts.
    assert (await post(world, path, origin="https://shop.example", cookie="a=b")).status_code == 202


async def test_too_many_deliveries(world: World) -> None:
    who = await world.person()
    await contact(world, who.account_id)
    path, _ = await address(world, who, await flow(world, who.account_id, InboundWebhook()))
    limiter = world.app.state.hook_limiter
    step, limiter.step = limiter.step, limiter.window / 2
    try:
        answers = [await post(world, path) for _ in range(3)]
    finally:
        limiter.step = step
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 403), ("admin", 201)])
async def test_permission_to_create_an_address(world: World, role: str, status: int) -> None:
    owner = await world.person()
    workflow = await flow(world, owner.account_id, InboundWebhook())
    who = await world.person(role, owner.account_id)
    stranger = await world.person()
    at = f"/workflows/{workflow}/hooks"
    async with world.script(who) as script:
        shown = await script.get(at)
        assert shown.status_code == 200
        assert bool(shown.json()["actions"]) is (status == 201)
        assert (await script.post(at, json={"trigger": "t1"})).status_code == status
        if status == 201:
            assert (await script.post(at, json={"trigger": "t2"})).status_code == 422
    async with world.script(stranger) as script:
        assert (await script.get(at)).status_code == 404
        assert (await script.post(at, json={"trigger": "t1"})).status_code == 404


async def test_the_page_without_and_with_an_address(world: World) -> None:
    who = await world.person()
    workflow = await flow(world, who.account_id, InboundWebhook())
    async with world.browser(who) as browser:
        before = await browser.get(f"/workflows/{workflow}/hooks", headers=HTML)
        assert "Create URL" in before.text
        assert "Email address at “email” in the JSON body" in before.text
        assert "New signing secret" not in before.text
        await address(world, who, workflow)
        after = (await browser.get(f"/workflows/{workflow}/hooks", headers=HTML)).text
        assert ("New signing secret" in after, "The old URL stops working immediately." in after) == (
            True,
            True,
        )
        created = (await browser.get(f"/workflows/{workflow}/hooks", headers=JSON)).json()
        assert [action["name"] for action in created["actions"]] == ["address:t1", "secret:t1"]
        assert created["items"][0]["live"] is True


def test_sealed_secret_opens_only_for_its_hook(tmp_path: Any) -> None:
    sealed = seal(tmp_path, b"key", b"one")
    assert unseal(tmp_path, sealed, b"one") == b"key"
    assert (tmp_path / "keys" / "secrets.key").stat().st_mode & 0o077 == 0
    for changed, bound in ((sealed, b"two"), (sealed[:-1] + bytes([sealed[-1] ^ 1]), b"one"), (b"", b"one")):
        with pytest.raises(Unreadable):
            unseal(tmp_path, changed, bound)
    assert seal(tmp_path, b"key", b"one") != sealed
