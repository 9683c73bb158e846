"""Invitations: sent without revealing whether a user has the address, accepted by the invited person
alone."""

import re
from typing import Any

import httpx
import pytest

from app.ports import Refused
from tests.support.mail_links import invitation_in
from tests.support.web_kit import HTML, JSON, OWN
from tests.support.world import PASSWORD, AccountMember, World

NEW = "a long enough phrase"


async def invite(world: World, owner: AccountMember, email: str, role: str = "operator", **more: Any) -> str:
    async with world.script(owner) as client:
        answer = await client.post("/members", json={"email": email, "role": role, **more})
        assert answer.status_code == 201, answer.text
    return invitation_in(world)


async def roles_of(world: World, email: str) -> dict[Any, str]:
    rows = await world.sql(
        "select m.account_id, m.role from memberships m join users u on u.id = m.user_id where u.email = $1",
        email,
    )
    return {row["account_id"]: row["role"] for row in rows}


async def people(world: World, owner: AccountMember) -> dict[str, str]:
    """An address of each kind: of a user of another account, one without a password, a disabled one, of no
    user."""
    names = ("known", "fresh", "disabled", "nobody")
    emails = {name: f"{name}-{owner.user_id.hex}@x.example" for name in names}
    for name, password in (("known", PASSWORD), ("fresh", None), ("disabled", PASSWORD)):
        other = await world.person("owner")
        await world.sql("update users set email = $2, name = 'Secret Name' where id = $1",
                        other.user_id, emails[name])  # fmt: skip
        if password is None:
            await world.sql("update users set password_hash = null where id = $1", other.user_id)
        if name == "disabled":
            await world.sql("update users set disabled_at = now() where id = $1", other.user_id)
    return emails


@pytest.mark.parametrize("shape", [JSON, HTML | OWN], ids=["json", "html"])
async def test_the_answer_is_the_same_for_every_address(world: World, shape: dict[str, str]) -> None:
    """Status, headers, body and email: only the address itself differs, and nobody has joined."""
    owner = await world.person()
    answers, letters = [], []
    async with world.script(owner) if shape is JSON else world.browser(owner) as client:
        for email in (await people(world, owner)).values():
            answer = await client.post("/members", **sent(shape, {"email": email, "role": "viewer"}))
            answers.append(plain(answer, email))
            assert await roles_of(world, email) == {
                account: "owner" for account in await roles_of(world, email) if account != owner.account_id
            }
            to, subject, text = world.mails[-1]
            letters.append((to == email, subject, re.sub(r"/invitations/\S+", "", text)))
        listed = await client.get("/members", headers=JSON)
    assert len(set(answers)) == 1, answers
    assert len(set(letters)) == 1, letters
    assert "Secret Name" not in listed.text + str(answers) + str(letters)
    assert len(listed.json()["invitations"]) == 4
    assert [item["email"] for item in listed.json()["items"]] == [owner.email]


def sent(shape: dict[str, str], body: dict[str, str]) -> dict[str, Any]:
    return {"json": body} if shape is JSON else {"data": body}


def plain(answer: httpx.Response, email: str) -> str:
    """An answer without its address, ids and times."""
    headers = {name: answer.headers.get(name) for name in ("location", "content-type", "set-cookie")}
    text = f"{answer.status_code} {sorted(answer.headers)} {headers} {answer.text}"
    text = text.replace(email, "@").replace(email.replace("@", "%40"), "@")
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[\d:.]+Z|\b[0-9a-f]{32}\b", "#", text)


async def test_a_new_person_chooses_a_password(world: World) -> None:
    owner = await world.person()
    email = f"ana-{owner.user_id.hex}@x.example"
    link = await invite(world, owner, f" {email.upper()}", name="Ana")
    assert (world.mails[-1][0], world.mails[-1][1]) == (email, "Invitation to Acme")
    async with world.client(**HTML, **OWN) as client:
        page = await client.get(link)
        assert (page.status_code, email in page.text, 'value="Ana"' in page.text) == (200, True, True)
        weak = await client.post(link, data={"name": "Ana", "password": "short"})
        assert (weak.status_code, "at least 12 characters" in weak.text) == (422, True)
        assert await roles_of(world, email) == {}
        done = await client.post(link, data={"name": "Ana Lee", "password": NEW})
        assert (done.status_code, done.headers["location"]) == (303, "/sign-in")
        assert (await client.get(link)).status_code == 404, "it works once"
        assert (await client.post(link, data={"password": NEW})).status_code == 404
        assert (await client.post("/sessions", data={"email": email, "password": NEW})).status_code == 303
        assert "Ana Lee" in (await client.get("/members")).text
    assert await roles_of(world, email) == {owner.account_id: "operator"}
    assert await world.audit(owner.account_id) == [
        ("session.started", "session"), ("member.invited", "invitation"), ("member.joined", "member"),
        ("session.started", "session"),
    ]  # fmt: skip


async def test_signed_in_user_accepts_by_a_button(world: World) -> None:
    owner, other = await world.person(), await world.person()
    link = await invite(world, owner, other.email, "admin")
    async with world.browser(other) as client, world.script(other) as script:
        shown = (await script.get(link)).json()
        assert (shown["needs"], shown["actions"][0]["fields"]) == ("", [])
        assert 'type="password"' not in (await client.get(link)).text
        done = await client.post(link)
        assert (done.status_code, done.headers["location"]) == (303, "/")
        switched = await client.post("/sessions/current/account", data={"account_id": str(owner.account_id)})
        assert switched.status_code == 303
    assert await roles_of(world, other.email) == {other.account_id: "owner", owner.account_id: "admin"}


async def test_signed_out_user_accepts_with_their_password(world: World) -> None:
    owner, other, third = [await world.person() for _ in range(3)]
    link = await invite(world, owner, other.email)
    async with world.client(**JSON) as anonymous, world.script(third) as stranger:
        for client, email in ((anonymous, ""), (stranger, third.email)):
            shown = (await client.get(link)).json()
            assert (shown["needs"], shown["other"]) == ("password", email)
            for body in ({}, {"password": NEW}, {"password": NEW, "name": "Eve"}):
                refused = await client.post(link, json=body)
                assert (refused.status_code, list(refused.json()["errors"])) == (422, ["password"])
        assert await roles_of(world, other.email) == {other.account_id: "owner"}
        assert (await anonymous.post(link, json={"password": PASSWORD})).status_code == 204
        assert (
            await anonymous.post("/sessions", json={"email": other.email, "password": PASSWORD})
        ).is_success
    assert await roles_of(world, other.email) == {other.account_id: "owner", owner.account_id: "operator"}
    assert owner.account_id not in await roles_of(world, third.email)


async def test_guesses_of_a_password_are_throttled(world: World) -> None:
    owner, other = await world.person(), await world.person()
    link = await invite(world, owner, other.email)
    async with world.client(**JSON) as client:
        statuses = [(await client.post(link, json={"password": f"guess {n}"})).status_code for n in range(12)]
    assert statuses == [422] * 10 + [429] * 2


async def test_access_token_cannot_accept(world: World) -> None:
    owner, other = await world.person(), await world.person()
    link = await invite(world, owner, other.email)
    async with world.script(other) as script:
        response = await script.post("/tokens", json={"name": "x", "scopes": ["view"]})
    async with world.client(**JSON, authorization=f"Bearer {response.json()['token']}") as client:
        assert (await client.post(link, json={})).status_code == 422
    assert list(await roles_of(world, other.email)) == [other.account_id]


@pytest.mark.parametrize("end", ["withdrawn", "expired", "replaced", "renewed", "disabled"])
async def test_link_is_invalid_after(world: World, end: str) -> None:
    owner, other = await world.person(), await world.person()
    link = await invite(world, owner, other.email)
    async with world.script(owner) as client:
        (invitation,) = (await client.get("/members")).json()["invitations"]
        actions = {action["name"] for action in (await client.get("/members")).json()["actions"]}
        assert {f"send_again:{invitation['id']}", f"withdraw:{invitation['id']}"} <= actions
        if end == "withdrawn":
            assert (await client.post(f"/members/invitations/{invitation['id']}/deletion")).status_code == 204
            assert (await client.get("/members")).json()["invitations"] == []
            assert (await client.post(f"/members/invitations/{invitation['id']}/deletion")).status_code == 404
        elif end == "expired":
            await world.sql("update invitations set expires_at = now() where id = $1", invitation["id"])
            assert (await client.get("/members")).json()["invitations"][0]["expired"] is True
        elif end == "replaced":
            await invite(world, owner, other.email, "viewer")
        elif end == "renewed":
            assert (await client.post(f"/members/invitations/{invitation['id']}/link")).status_code == 204
        else:
            await world.sql("update users set disabled_at = now() where id = $1", other.user_id)
    async with world.client(**JSON) as client:
        assert (await client.get(link)).status_code == 404
        assert (await client.post(link, json={"password": PASSWORD})).status_code == 404
        assert owner.account_id not in await roles_of(world, other.email)
        if end in ("replaced", "renewed"):
            assert (await client.post(invitation_in(world), json={"password": PASSWORD})).status_code == 204
            role = "viewer" if end == "replaced" else "operator"
            assert (await roles_of(world, other.email))[owner.account_id] == role
    ended = {"withdrawn": "invitation.withdrawn", "renewed": "invitation.resent"}
    if end in ended:
        assert (ended[end], "invitation") in await world.audit(owner.account_id)


async def test_inviting_a_member_is_refused(world: World) -> None:
    owner = await world.person()
    member = await world.person("viewer", owner.account_id)
    async with world.script(owner) as client:
        answer = await client.post("/members", json={"email": member.email, "role": "admin"})
        assert (answer.status_code, "is already a member" in answer.json()["detail"]) == (409, True)
    assert not world.mails
    second = await world.person()
    link = await invite(world, owner, second.email, "admin")
    await world.join(second.user_id, owner.account_id, "viewer")
    async with world.script(second) as client:
        assert (await client.post(link, json={})).status_code == 204
    assert (await roles_of(world, second.email))[owner.account_id] == "viewer"


async def test_admin_cannot_change_an_owners_invitation(world: World) -> None:
    owner = await world.person()
    admin = await world.person("admin", owner.account_id)
    email = f"boss-{owner.user_id.hex}@x.example"
    link = await invite(world, owner, email, "owner")
    async with world.script(admin) as client:
        (invitation,) = (await client.get("/members")).json()["invitations"]
        names = {action["name"] for action in (await client.get("/members")).json()["actions"]}
        assert not any(invitation["id"] in name for name in names)
        for path in (
            f"/members/invitations/{invitation['id']}/link",
            f"/members/invitations/{invitation['id']}/deletion",
        ):
            assert (await client.post(path)).status_code == 403
        again = await client.post("/members", json={"email": email, "role": "viewer"})
        assert again.status_code == 403
    async with world.client(**JSON) as client:
        assert (await client.get(link)).json()["role"] == "owner"


async def test_a_viewer_sees_no_invitations(world: World) -> None:
    owner = await world.person()
    viewer = await world.person("viewer", owner.account_id)
    email = f"ana-{owner.user_id.hex}@x.example"
    await invite(world, owner, email)
    async with world.browser(viewer) as client:
        assert email not in (await client.get("/members")).text
        assert (await client.get("/members", headers=JSON)).json()["invitations"] == []
    async with world.browser(owner) as client:
        assert email in (await client.get("/members")).text


async def test_failed_email_is_reported_and_can_be_resent(world: World) -> None:
    owner = await world.person()
    world.runtime.mailer.answers.append(Refused("no", permanent=True))  # type: ignore[attr-defined]  # -- a fake
    async with world.browser(owner) as client:
        await client.post("/members", data={"email": f"{owner.user_id.hex}@x.example", "role": "viewer"})
        assert "be sent. Check SMTP_URL" in (await client.get("/members")).text
