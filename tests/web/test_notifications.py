"""Notifications: each member sees their own."""

import re
from uuid import UUID

import pytest

from db.ids import uuid7
from tests.support.web_kit import PARTIAL
from tests.support.world import AccountMember, World


async def add_notification(world: World, who: AccountMember, title: str) -> UUID:
    notification_id = uuid7()
    await world.sql(
        "insert into notifications (account_id, id, user_id, title, body, href) "
        "values ($1, $2, $3, $4, 'Look <b>', '/contacts')",
        who.account_id, notification_id, who.user_id, title,
    )  # fmt: skip
    return notification_id


async def test_notifications_by_json(world: World) -> None:
    owner = await world.person()
    first, second = (
        await add_notification(world, owner, "First"),
        await add_notification(world, owner, "Second"),
    )
    async with world.script(owner) as client:
        page = (await client.get("/notifications")).json()
        assert [notification["title"] for notification in page["unread"]] == ["Second", "First"]
        assert {notification["name"] for notification in page["actions"]} == {
            "read_all",
            f"read:{first}",
            f"read:{second}",
        }
        page = (await client.post(f"/notifications/{first}/reading")).json()
        assert [notification["title"] for notification in page["unread"]] == ["Second"]
        assert [notification["title"] for notification in page["read"]] == ["First"]
        assert (await client.post(f"/notifications/{first}/reading")).status_code == 200, (
            "once more is no error"
        )
        page = (await client.post("/notifications/reading")).json()
        assert (page["unread"], len(page["read"]), page["actions"]) == ([], 2, [])
        assert (await client.post(f"/notifications/{uuid7()}/reading")).status_code == 404


async def test_notifications_in_a_browser(world: World) -> None:
    owner = await world.person("viewer")
    notification_id = await add_notification(world, owner, "New lead")
    async with world.browser(owner) as client:
        page = (await client.get("/notifications")).text
        assert "New lead" in page
        assert "Look &lt;b&gt;" in page
        assert '<span class="count">1</span>' in page
        answer = await client.post(f"/notifications/{notification_id}/reading")
        assert (answer.status_code, answer.headers["location"]) == (303, "/notifications")
        assert '<span class="count">' not in (await client.get("/notifications")).text
        part = await client.post("/notifications/reading", headers=PARTIAL)
        assert part.status_code == 200
        assert "<html" not in part.text


async def test_all_unread_notifications_can_be_reached(world: World) -> None:
    owner = await world.person()
    ids = [await add_notification(world, owner, f"Number {number}") for number in range(102)]
    async with world.script(owner) as script, world.browser(owner) as browser:
        first = (await script.get("/notifications")).json()
        older = (await script.get(first["older_unread"])).json()
        reached = [notification["id"] for notification in first["unread"] + older["unread"]]
        assert reached == [str(notification_id) for notification_id in reversed(ids)]
        assert (len(first["unread"]), older["older_unread"]) == (100, "")
        page = (await browser.get("/notifications")).text
        assert f'rel="next" aria-label="Next page" title="Next page" href="{first["older_unread"]}"' in page
        assert "Number 1<" not in page
        assert "Number 1<" in (await browser.get(first["older_unread"])).text
        assert (await script.get("/notifications?unread_after=x")).status_code == 422


async def test_lists_read_no_newer_notifications_of_other_members(world: World) -> None:
    owner = await world.person()
    other = await world.person("admin", owner.account_id)
    for who, first in ((owner, "0"), (other, "f")):
        await world.sql(
            "insert into notifications (account_id, id, user_id, title, read_at) "
            "select $1, overlay(gen_random_uuid()::text placing $3 from 1)::uuid, $2, 'x', "
            "case when n % 2 = 0 then now() end from generate_series(1, 4000) n",
            owner.account_id, who.user_id, first,
        )  # fmt: skip
    await world.sql("analyze notifications")
    for read_at in ("null", "not null"):
        [[plan]] = await world.sql(
            "explain (analyze, format json) select * from notifications where account_id = $1 "  # noqa: S608 -- see above
            f"and user_id = $2 and read_at is {read_at} order by id desc limit 51",
            owner.account_id, owner.user_id,
        )  # fmt: skip
        removed = re.findall(r'"Rows Removed by Filter": (\d+)', plan)
        assert sum(int(rows) for rows in removed) < 1000, plan


async def test_members_see_only_their_own_notifications(world: World) -> None:
    owner = await world.person()
    colleague, stranger = await world.person("admin", owner.account_id), await world.person()
    notification_id = await add_notification(world, owner, "Secret")
    for who in (colleague, stranger):
        async with world.script(who) as client:
            assert (await client.get("/notifications")).json()["unread"] == []
            assert (await client.post(f"/notifications/{notification_id}/reading")).status_code == 404
            await client.post("/notifications/reading")
    async with world.script(owner) as client:
        assert len((await client.get("/notifications")).json()["unread"]) == 1


async def test_a_form_shown_again_has_the_counts_of_the_navigation(world: World) -> None:
    owner = await world.person()
    await add_notification(world, owner, "First")
    async with world.browser(owner) as client:
        await client.post("/tags", data={"name": "VIP"})
        again = await client.post("/tags", data={"name": "VIP"})
        assert again.status_code == 422
        assert '<span class="count">1</span>' in again.text


async def test_the_count_in_the_navigation_is_kept_until_its_member_acts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.app.state.recent_counts, "seconds", 60.0)
    owner = await world.person()
    first = await add_notification(world, owner, "First")
    async with world.browser(owner) as client:
        assert '<span class="count">1</span>' in (await client.get("/tags")).text
        await add_notification(world, owner, "Second")
        assert '<span class="count">1</span>' in (await client.get("/tags")).text
        await add_notification(world, owner, "Third")
        await client.post(f"/notifications/{first}/reading")
        assert '<span class="count">2</span>' in (await client.get("/tags")).text
