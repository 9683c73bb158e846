"""Signing in, staying, switching and leaving, on the real app."""

import statistics
import time
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest

from app.credentials import digest
from tests.support.web_kit import BASE, HTML, JSON, OWN
from tests.support.world import PASSWORD, World


async def sign_in(
    client: httpx.AsyncClient, email: str, password: str = PASSWORD, **more: str
) -> httpx.Response:
    return await client.post("/sessions", json={"email": email, "password": password, **more})


async def test_sign_in_returns_to_the_requested_page(world: World) -> None:
    owner = await world.person()
    async with world.client(**HTML, **OWN) as client:
        sent = await client.get("/audit?actor=O")
        page = await client.get(sent.headers["location"])
        assert 'name="next" value="/audit?actor=O"' in page.text
        form = {"email": f" {owner.email.upper()} ", "password": PASSWORD, "next": "/audit?actor=O"}
        answer = await client.post("/sessions", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/audit?actor=O")
        for cookie in answer.headers.get_list("set-cookie"):
            assert "HttpOnly" in cookie
            assert "SameSite=lax" in cookie
        assert (await client.get("/audit")).status_code == 200
    assert await world.audit(owner.account_id) == [("session.started", "session")]


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\t/evil.example"],
)
async def test_sign_in_never_redirects_to_another_site(world: World, target: str) -> None:
    owner = await world.person()
    async with world.client(**HTML, **OWN) as client:
        form = {"email": owner.email, "password": PASSWORD, "next": target}
        assert (await client.post("/sessions", data=form)).headers["location"] == "/"
        page = await client.get("/sign-in", params={"next": target})
        assert "evil" not in page.text
        assert "javascript" not in page.text


async def test_a_script_gets_a_token_and_no_cookie(world: World) -> None:
    owner = await world.person()
    async with world.client(**JSON) as client:
        answer = await sign_in(client, owner.email)
        body = answer.json()
        assert answer.status_code == 201
        assert "set-cookie" not in answer.headers
        assert (body["token_type"], body["expires_in"], body["role"]) == ("Bearer", 900, "owner")
        me = await client.get("/", headers={"authorization": f"Bearer {body['token']}"})
        assert me.json()["account_name"] == "Acme"


async def test_email_stored_by_an_older_version_still_signs_in(world: World) -> None:
    owner = await world.person()
    email = f"o'{owner.user_id.hex}@intranet.x"
    await world.sql("update users set email = $1 where id = $2", email, owner.user_id)
    async with world.client(**JSON) as client:
        answer = await client.post("/sessions", json={"email": email.upper(), "password": PASSWORD})
    assert answer.status_code == 201


async def test_sign_in_failures_look_alike(world: World) -> None:
    owner, invited = await world.person(), await world.person("viewer", password=None)
    disabled = await world.person()
    await world.sql("update users set disabled_at = now() where id = $1", disabled.user_id)
    async with world.client(**JSON) as client:
        answers = [
            await sign_in(client, owner.email, "not the password"),
            await sign_in(client, "nobody@acme.example"),
            await sign_in(client, invited.email),
            await sign_in(client, disabled.email),
            await sign_in(client, "no address"),
        ]
    bodies = [{**answer.json(), "request_id": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [401] * 5
    assert all(body == bodies[0] for body in bodies)


async def test_refused_sign_in_page_does_not_repeat_the_password(world: World) -> None:
    owner = await world.person()
    async with world.client(**HTML, **OWN) as client:
        answer = await client.post("/sessions", data={"email": owner.email, "password": "not the password"})
    assert answer.status_code == 401
    assert owner.email in answer.text
    assert "not the password" not in answer.text
    assert "The email or the password is wrong." in answer.text


async def test_an_unknown_address_takes_as_long(world: World) -> None:
    owner = await world.person()

    async def seconds(client: httpx.AsyncClient, email: str) -> float:
        started = time.perf_counter()
        await sign_in(client, email, "not the password")
        return time.perf_counter() - started

    async with world.client(**JSON) as client:
        pairs = [
            (await seconds(client, owner.email), await seconds(client, f"{uuid4().hex}@x.example"))
            for _ in range(7)
        ]
    existing, unknown = (statistics.median(times) for times in zip(*pairs, strict=True))
    assert 0.5 < unknown / existing < 2


async def test_guessing_is_throttled_for_one_network_only(world: World) -> None:
    owner, other = await world.person(), await world.person()
    async with world.client(**JSON) as client:
        answers = [await sign_in(client, owner.email, "not the password") for _ in range(12)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) > 0
        assert (await sign_in(client, owner.email)).status_code == 429, (
            "the right password does not help a guesser"
        )
        assert (await sign_in(client, other.email)).status_code == 201
    elsewhere = httpx.ASGITransport(cast("Any", world.app), client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=elsewhere, base_url=BASE, headers=JSON) as client:
        assert (await sign_in(client, owner.email)).status_code == 201, (
            "nobody is locked out by somebody else"
        )


async def test_signing_in_never_continues_a_session(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as client:
        first = dict(client.cookies)
        await client.post("/sessions", data={"email": owner.email, "password": PASSWORD})
        assert all(client.cookies[name] != value for name, value in first.items())
        listed = await client.get("/sessions", headers=JSON)
    assert len(listed.json()["items"]) == 2
    assert [item["current"] for item in listed.json()["items"]].count(True) == 1


async def test_stored_session_digest_cannot_sign_in(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as client:
        secret = next(value for name, value in client.cookies.items() if name.endswith("session"))
    (row,) = await world.sql("select id, secret_hash from sessions where user_id = $1", owner.user_id)
    assert row["secret_hash"] == digest(secret)
    stolen = f"{row['id'].hex}.{row['secret_hash'].hex()}"
    async with world.client(**JSON, cookie=f"switchyard-session={stolen}") as thief:
        assert (await thief.get("/")).status_code == 401


async def test_signing_out_ends_the_session_at_once(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as client:
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        answer = await client.post("/sessions/current/deletion")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert not [name for name in client.cookies if name.startswith("switchyard")]
    async with world.client(**JSON, cookie=cookies) as thief:
        assert (await thief.get("/")).status_code == 401
    assert ("session.ended", "session") in await world.audit(owner.account_id)


async def test_sessions_are_listed_and_ended_one_by_one(world: World) -> None:
    owner, stranger = await world.person(), await world.person()
    async with world.script(owner) as here, world.script(owner) as there, world.script(stranger) as other:
        (target,) = [item for item in (await here.get("/sessions")).json()["items"] if not item["current"]]
        href = f"/sessions/{target['id']}/revocation"
        listed = (await here.get("/sessions")).json()["actions"]
        assert href in [action["form_href"] for action in listed]
        assert (await other.post(href)).status_code == 404
        assert (await there.get("/")).status_code == 200
        assert (await here.post(href)).status_code == 204
        assert (await there.get("/")).status_code == 401
        assert (await here.post(href)).status_code == 404
        assert (await here.get("/")).status_code == 200


async def test_all_other_sessions_are_ended_together(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as here, world.script(owner) as first, world.script(owner) as two:
        assert (await here.post("/sessions/others/revocation")).status_code == 204
        statuses = [(await client.get("/")).status_code for client in (here, first, two)]
    assert statuses == [200, 401, 401]


async def test_the_question_before_all_others_are_ended_counts_those_of_all_pages(world: World) -> None:
    owner = await world.person()
    async with world.script(owner), world.script(owner), world.browser(owner) as here:
        page = (await here.get("/sessions?limit=1")).text
        assert "End your 2 other sessions?" in page
        assert (await here.get("/sessions?limit=1", headers=JSON)).json()["others"] == 2


@pytest.mark.parametrize(
    "change", ["revoked_at = now()", "expires_at = now()", "last_seen_at = now() - interval '9 hours'"]
)
async def test_an_ended_session_stays_ended(world: World, change: str) -> None:
    owner = await world.person()
    async with world.browser(owner) as client:
        assert (await client.get("/")).status_code == 200
        await world.sql(f"update sessions set {change} where user_id = $1", owner.user_id)  # noqa: S608 -- see above
        assert (await client.get("/", headers=JSON)).status_code == 401
        again = await client.get("/")
        assert (again.status_code, again.headers["location"]) == (303, "/sign-in?next=/")
        del client.cookies["switchyard-token"]
        assert (await client.get("/", headers=JSON)).status_code == 401, "its secret renews nothing either"


async def test_expired_token_is_renewed_by_the_session_cookie(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as client:
        await world.sql(
            "update sessions set last_seen_at = now() - interval '7 hours' where user_id = $1", owner.user_id
        )
        del client.cookies["switchyard-token"]
        assert (await client.get("/")).status_code == 200
        assert client.cookies["switchyard-token"]
    (row,) = await world.sql(
        "select now() - last_seen_at < interval '1 minute' as fresh from sessions where user_id = $1",
        owner.user_id,
    )
    assert row["fresh"]


async def test_member_of_two_accounts_switches(world: World) -> None:
    owner, globex = await world.person(), await world.account("Globex")
    await world.join(owner.user_id, globex, "viewer")
    foreign = await world.account("Initech")
    async with world.browser(owner) as client:
        page = await client.get("/members")
        assert "Switch account" in page.text
        old_form = {"account": str(owner.account_id), "email": "new@acme.example", "role": "viewer"}
        answer = await client.post("/sessions/current/account", data={"account_id": str(globex)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        page = await client.get("/")
        assert "Globex" in page.text
        assert (await client.post("/members", data=old_form)).status_code == 403, "a viewer there"
        mine = await client.post("/password", data={**old_form, "current_password": "x", "new_password": "y"})
        assert mine.status_code == 409, "the form of the other tab"
        assert "now in Globex" in mine.text
        refused = await client.post("/sessions/current/account", data={"account_id": str(foreign)})
        assert (refused.status_code, "belong to that account" in refused.text) == (404, True)
        del client.cookies["switchyard-token"]
        assert "Globex" in (await client.get("/")).text, "the session remembers"
    async with world.client(**JSON) as client:
        last = await sign_in(client, owner.email)
        assert last.json()["account_name"] == "Globex", "the one that was used last"
        named = await sign_in(client, owner.email, account_id=str(owner.account_id))
        assert named.json()["account_name"] == "Acme"
        assert (await sign_in(client, owner.email, account_id=str(foreign))).status_code == 403


async def test_a_script_switches_with_a_new_token(world: World) -> None:
    owner, globex = await world.person(), await world.account("Globex")
    await world.join(owner.user_id, globex, "admin")
    async with world.script(owner) as client:
        answer = await client.post("/sessions/current/account", json={"account_id": str(globex)})
        assert (answer.status_code, answer.json()["account_name"], answer.json()["role"]) == (
            200,
            "Globex",
            "admin",
        )
        there = {"authorization": f"Bearer {answer.json()['token']}"}
        assert (await client.get("/account", headers=there)).json()["account"]["name"] == "Globex"


async def test_the_key_set_is_public(world: World) -> None:
    async with world.client() as client:
        answer = await client.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert all("d" not in key for key in answer.json()["keys"])
