"""The account's settings, its audit log and the overview, on the real app."""

from tests.support.web_kit import HTML, JSON
from tests.support.world import World


async def test_account_settings(world: World) -> None:
    owner = await world.person()
    admin = await world.person("admin", owner.account_id)
    good = {"name": "Acme Inc", "default_region": "IT", "time_zone": "Europe/Rome"}
    async with world.script(owner) as boss, world.script(admin) as client:
        assert (await client.post("/account", json=good)).status_code == 403
        assert (await client.get("/account")).json()["actions"] == []
        bad = await boss.post(
            "/account", json={"name": " ", "default_region": "XX", "time_zone": "Mars/Olympus"}
        )
        assert set(bad.json()["errors"]) == {"name", "default_region", "time_zone"}
        saved = await boss.post("/account", json=good)
        assert (saved.status_code, saved.json()["account"]["time_zone"]) == (200, "Europe/Rome")
        before = await world.audit(owner.account_id)
        await boss.post("/account", json=good)
        assert await world.audit(owner.account_id) == before, "nothing changed, nothing to write"
    assert ("account.updated", "account") in before


async def test_audit_log_pages_and_filters(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        for number in range(60):
            await world.sql(
                "insert into audit_logs "
                "(account_id, id, occurred_at, actor_kind, actor_id, actor_name, action, subject_kind, "
                "subject_id, changes) values ($1, gen_random_uuid(), now(), 'import', 'x', $2, "
                "'contact.added', 'contact', $3, '{\"email\": [null, \"a@x.example\"]}')",
                owner.account_id, f"File {number % 3}", str(number),
            )  # fmt: skip
        first = (await client.get("/audit?actor_kind=import")).json()
        assert (len(first["items"]), first["previous"]) == (50, "")
        second = (await client.get(first["next"])).json()
        assert (len(second["items"]), second["next"]) == (10, "")
        back = (await client.get(second["previous"])).json()
        assert [item["id"] for item in back["items"]] == [item["id"] for item in first["items"]]
        assert len({item["id"] for item in first["items"] + second["items"]}) == 60
        assert first["items"][0]["changes"] == [{"field": "email", "before": None, "after": "a@x.example"}]
        some = (await client.get("/audit?actor=File 1")).json()["items"]
        assert {item["actor_name"] for item in some} == {"File 1"}
        (item,) = (await client.get("/audit?subject_kind=contact&subject_id=7")).json()["items"]
        assert item["href"] == "/contacts/7"
        page = await client.get("/audit?actor_kind=import", headers=HTML)
        assert "a@x.example" in page.text
        assert (await client.get("/audit?after=nonsense")).status_code == 422


async def test_overview_as_page_and_json(world: World) -> None:
    viewer = await world.person("viewer")
    async with world.browser(viewer) as client:
        data = (await client.get("/", headers=JSON)).json()
        page = (await client.get("/")).text
    assert [tile["key"] for tile in data["tiles"]] == ["contacts", "workflows", "enrollments", "jobs"]
    assert all(tile["label"] in page for tile in data["tiles"])
    assert [link["href"] for link in data["links"]] == ["/schema"]
