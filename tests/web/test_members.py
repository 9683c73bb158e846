"""Members, roles, access tokens, passwords and the account's settings, on the real app."""

import re

import pytest

from app.credentials import digest
from app.email_addresses import normalize_email
from app.members.domain import role_refusal
from app.permissions import Role
from tests.support.mail_links import link_in
from tests.support.web_kit import HTML, JSON, OWN
from tests.support.world import PASSWORD, World

NEW = "a long enough phrase"


async def test_new_link_replaces_the_previous_one(world: World) -> None:
    """For a member who has no password yet."""
    owner = await world.person()
    member = await world.person("viewer", owner.account_id, password=None)
    async with world.script(owner) as client:
        for _ in range(2):
            assert (await client.post(f"/members/{member.user_id}/link")).status_code == 204
        assert (await client.get(link_in(world, -2), headers=JSON)).status_code == 404
        assert (await client.get(link_in(world), headers=JSON)).status_code == 200
        link = await client.post(f"/members/{owner.user_id}/link")
        assert link.status_code == 409, "a password can only be set by its own person"


@pytest.mark.parametrize(
    "email",
    ["", "ana", "ana@", "@x.example", "a b@x.example", "a@x..example", "a@x\n.example", "<a@x.example>"],
)
async def test_an_invalid_address_is_refused(world: World, email: str) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        answer = await client.post("/members", json={"email": email, "role": "viewer"})
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == ["email"]
    assert normalize_email(email) == ""


async def test_role_change_applies_from_the_next_request(world: World) -> None:
    owner = await world.person()
    member = await world.person("viewer", owner.account_id)
    async with world.script(owner) as boss, world.script(member) as client:
        assert (await client.get("/audit")).status_code == 403
        changed = await boss.post(f"/members/{member.user_id}/role", json={"role": "admin"})
        assert changed.status_code == 200
        assert (await client.get("/audit")).status_code == 200
        assert (await boss.post(f"/members/{member.user_id}/deletion")).status_code == 204
        assert (await client.get("/")).status_code == 401
    rows = await world.sql(
        "select changes from audit_logs where account_id = $1 and action = 'member.role_changed'",
        owner.account_id,
    )
    assert "viewer" in rows[0]["changes"]
    assert "admin" in rows[0]["changes"]


async def test_an_account_keeps_an_owner_and_admins_stay_below(world: World) -> None:
    owner = await world.person()
    admin, viewer = [await world.person(role, owner.account_id) for role in ("admin", "viewer")]
    async with world.script(owner) as boss, world.script(admin) as client, world.script(viewer) as low:
        own = f"/members/{owner.user_id}"
        assert (await boss.post(f"{own}/role", json={"role": "admin"})).status_code == 409
        assert (await boss.post(f"{own}/deletion")).status_code == 409
        assert (await client.post(f"{own}/role", json={"role": "viewer"})).status_code == 403
        assert (await client.post(f"{own}/deletion")).status_code == 403
        assert (
            await client.post(f"/members/{viewer.user_id}/role", json={"role": "owner"})
        ).status_code == 403
        assert (
            await client.post("/members", json={"email": "o@x.example", "role": "owner"})
        ).status_code == 403
        assert (await low.post(f"/members/{viewer.user_id}/role", json={"role": "admin"})).status_code == 403
        assert (await boss.post(f"/members/{admin.user_id}/role", json={"role": "owner"})).status_code == 200
        assert (await boss.post(f"{own}/deletion")).status_code == 204, "there is another owner now"


def test_permissions_to_change_roles() -> None:
    assert role_refusal(Role.OWNER, Role.OWNER, Role.ADMIN, 2) == ""
    assert "needs an owner" in role_refusal(Role.OWNER, Role.OWNER, None, 1)
    assert "Only an owner" in role_refusal(Role.ADMIN, Role.OWNER, None, 2)
    assert "Only an owner" in role_refusal(Role.ADMIN, Role.VIEWER, Role.OWNER, 2)
    assert role_refusal(Role.ADMIN, Role.VIEWER, Role.ADMIN, 1) == ""


async def test_other_accounts_find_no_member(world: World) -> None:
    owner, stranger = await world.person(), await world.person()
    async with world.script(stranger) as client:
        assert owner.email not in (await client.get("/members")).text
        for part, body in (("role", {"role": "viewer"}), ("deletion", None), ("link", None)):
            answer = await client.post(f"/members/{owner.user_id}/{part}", json=body)
            assert answer.status_code == 404
        token = await client.post("/tokens", json={"name": "x", "scopes": ["view"]})
    async with world.script(owner) as client:
        assert (await client.post(f"/tokens/{token.json()['id']}/revocation")).status_code == 404


async def test_buttons_and_json_offer_what_the_role_allows(world: World) -> None:
    owner = await world.person()
    viewer = await world.person("viewer", owner.account_id)
    for who, some in ((owner, True), (viewer, False)):
        async with world.browser(who) as client:
            listed = (await client.get("/members", headers=JSON)).json()["actions"]
            page = (await client.get("/members")).text
        forms = set(re.findall(r'<form method="post" action="([^"]+)"', page.split("<main", 1)[1])) | set(
            re.findall(r'<form class="body form" method="post" action="([^"]+)"', page)
        )
        assert forms == {action["form_href"] for action in listed}
        assert bool(forms) is some


async def test_roles_page_shows_the_permission_table(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        rows = (await client.get("/roles")).json()["rows"]
    granted = {row["permission"]: row["granted"] for row in rows}
    assert granted["account:manage"] == ["owner"]
    assert granted["view"] == ["owner", "admin", "operator", "viewer"]


async def test_access_token_is_limited_by_scopes_and_role(world: World) -> None:
    owner = await world.person()
    member = await world.person("operator", owner.account_id)
    async with world.script(member) as client, world.script(owner) as boss:
        beyond = await client.post("/tokens", json={"name": "x", "scopes": ["view", "members:manage"]})
        assert "members:manage" in beyond.json()["errors"]["scopes"]
        made_up = await client.post("/tokens", json={"name": "x", "scopes": ["view", "root"]})
        assert made_up.json()["errors"]["scopes"].startswith("Unknown scope: root. Valid scopes are view, ")
        assert (await client.post("/tokens", json={"name": "x", "scopes": []})).status_code == 422
        assert (
            await client.post("/tokens", json={"name": "x", "scopes": ["view"], "days": 9999})
        ).status_code == 422
        created = (await client.post("/tokens", json={"name": "sync", "scopes": ["view"], "days": 7})).json()
        assert created["token"].startswith("swy_")
        (row,) = await world.sql(
            "select token_hash, token_prefix from access_tokens where id = $1", created["id"]
        )
        assert row["token_hash"] == digest(created["token"])
        assert created["token"] not in (await client.get("/tokens")).text
        async with world.client(**JSON, authorization=f"Bearer {created['token']}") as script:
            assert (await script.get("/members")).status_code == 200
            for path in ("/tokens", "/sessions", "/password"):
                assert (await script.get(path)).status_code == 403, path
            assert (await script.post("/tokens", json={"name": "x", "scopes": ["view"]})).status_code == 403
            assert (await client.get("/tokens")).json()["items"][0]["last_used_at"]
            assert (await boss.post(f"/tokens/{created['id']}/revocation")).status_code == 404, "not hers"
            assert (await client.post(f"/tokens/{created['id']}/revocation")).status_code == 204
            assert (await script.get("/members")).status_code == 401
        assert (await client.get("/tokens")).json()["items"][0]["state"] == "revoked"


@pytest.mark.parametrize("end", ["expired", "left", "disabled"])
async def test_access_token_is_invalid_after(world: World, end: str) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        created = (await client.post("/tokens", json={"name": "sync", "scopes": ["view"]})).json()
    await world.sql(
        {
            "expired": "update access_tokens set expires_at = now() where user_id = $1",
            "left": "delete from memberships where user_id = $1",
            "disabled": "update users set disabled_at = now() where id = $1",
        }[end],
        owner.user_id,
    )
    async with world.client(**JSON, authorization=f"Bearer {created['token']}") as script:
        assert (await script.get("/")).status_code == 401


async def test_a_new_password_ends_every_other_session(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as here, world.script(owner) as there:
        wrong = await here.post("/password", data={"current_password": "nope", "new_password": NEW})
        assert (wrong.status_code, "your current password" in wrong.text) == (422, True)
        weak = await here.post(
            "/password", data={"current_password": PASSWORD, "new_password": "password12345"}
        )
        assert weak.status_code == 422
        done = await here.post("/password", data={"current_password": PASSWORD, "new_password": NEW})
        assert done.status_code == 303
        assert (await there.get("/")).status_code == 401
        assert (await here.get("/")).status_code == 200
    async with world.client(**JSON) as client:
        old = await client.post("/sessions", json={"email": owner.email, "password": PASSWORD})
        new = await client.post("/sessions", json={"email": owner.email, "password": NEW})
    assert (old.status_code, new.status_code) == (401, 201)


async def test_password_reset_reveals_nothing(world: World) -> None:
    owner = await world.person()
    async with world.client(**HTML, **OWN) as client:
        answers = [
            await client.post("/password-reset", data={"email": email})
            for email in (owner.email, "nobody@acme.example", "no address")
        ]
        assert {(answer.status_code, answer.headers["location"], answer.content) for answer in answers} == {
            (303, "/password-reset?sent=true", b"")
        }
        assert "sent a link to it" in (await client.get("/password-reset?sent=true")).text
    assert [mail[0] for mail in world.mails] == [owner.email]


async def test_a_reset_link_is_short_lived_hashed_and_ends_all_sessions(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as there, world.client(**JSON) as client:
        await client.post("/password-reset", json={"email": owner.email})
        link = link_in(world)
        rows = await world.sql("select token_hash from password_resets where user_id = $1", owner.user_id)
        assert rows[0]["token_hash"] == digest(link.rsplit("/", 1)[1])
        done = await client.post(link, json={"new_password": NEW})
        assert done.status_code == 204
        assert (await there.get("/")).status_code == 401
        await client.post("/password-reset", json={"email": owner.email})
        await world.sql("update password_resets set expires_at = now() where user_id = $1", owner.user_id)
        late = await client.get(link_in(world))
        assert (late.status_code, "has expired" in late.json()["detail"]) == (404, True)
        assert (await client.get("/password-reset/nonsense")).status_code == 404
