"""How many contacts match: with the list as JSON, after it on pages, capped, exact or not at all."""

from uuid import UUID

import pytest

from app.contacts import counting
from app.segments import pages as segment_pages
from tests.support.web_kit import HTML, JSON, PARTIAL
from tests.support.world import World

OSLO = "f=city:is:oslo"


async def fill(world: World, account: UUID, count: int = 60) -> None:
    await world.sql(
        "insert into contacts (account_id, id, first_name, city) select $1, gen_random_uuid(), 'Ann', 'Oslo'"
        " from generate_series(1, $2::int)",
        account,
        count,
    )


async def test_json_counts_unless_told_otherwise(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    who = await world.person("viewer")
    await fill(world, who.account_id)
    async with world.script(who) as client:

        async def total(query: str) -> tuple[int | None, bool]:
            answer = (await client.get(f"/contacts?{query}")).json()
            return answer["total"], answer["more_than_total"]

        assert await total(OSLO) == await total("") == await total(f"{OSLO}&count=exact") == (60, False)
        assert await total(f"{OSLO}&count=none") == await total("count=none") == (None, False)
        assert await total(f"{OSLO}&count=none&limit=100") == (60, False), "a page that is all counts itself"
        assert "count=none" in (await client.get(f"/contacts?{OSLO}&count=none")).json()["next"]
        monkeypatch.setattr(counting, "MOST_COUNTED_IN_LIST", 40)
        assert await total(OSLO) == (40, True)
        assert await total(f"{OSLO}&count=exact") == (60, False)
        counted = (await client.get(f"/contacts/count?{OSLO}")).json()
        assert counted == {
            "total": 40, "more_than_total": True, "href": "/contacts/count?f=city%3Ais%3Aoslo&count=exact",
        }  # fmt: skip
        assert (await client.get(counted["href"])).json() == {
            "total": 60,
            "more_than_total": False,
            "href": "",
        }
        assert (await client.get("/contacts/count?q=nobody")).json()["total"] == 0
        for query in ("f=city:near:x", "count=none", "count=all", "match=some"):
            assert (await client.get(f"/contacts/count?{query}")).status_code == 422, query
        assert (await client.get("/contacts?count=some")).status_code == 422
    async with world.script(await world.person()) as stranger:
        assert (await stranger.get(f"/contacts/count?{OSLO}")).json()["total"] == 0


async def test_a_page_counts_after_it_is_shown(world: World) -> None:
    who = await world.person()
    await fill(world, who.account_id)
    async with world.browser(who) as client:
        page = (await client.get(f"/contacts?{OSLO}")).text
        assert 'hx-get="/contacts/count?f=city%3Ais%3Aoslo"' in page
        assert "Count the contacts that match" in page
        assert "data-total" not in page
        without_script = (await client.get(f"/contacts?{OSLO}&count=capped")).text
        assert 'data-total="60"' in without_script
        assert 'name="matching" value="60" data-bulk-matching' in without_script
        fragment = (await client.get(f"/contacts/count?{OSLO}", headers=PARTIAL)).text
        assert 'data-total="60"' in fragment
        assert "<html" not in fragment
        assert 'data-total="60"' in (await client.get("/contacts")).text, "counters cost nothing"


async def test_segments_are_counted_after_the_list(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    who = await world.person()
    await fill(world, who.account_id, 3)
    async with world.browser(who) as client:
        saved = await client.post("/segments", json={"name": "Oslo", "f": ["city:is:oslo"]}, headers=JSON)
        segment = saved.json()["segment"]
        listed = (await client.get("/segments", headers=JSON)).json()
        assert (listed["items"][0]["contacts"], listed["items"][0]["counted"], listed["counts_href"]) == (
            3,
            True,
            "",
        )
        [bare] = (await client.get("/segments?count=none", headers=JSON)).json()["items"]
        assert (bare["contacts"], bare["counted"]) == (None, False)
        page = (await client.get("/segments", headers=HTML)).text
        assert 'hx-get="/segments/counts"' in page
        assert f'id="n-{segment["id"]}"' in page
        counts = (await client.get("/segments/counts", headers=JSON)).json()["counts"]
        assert [(item["name"], item["contacts"], item["more_than_contacts"]) for item in counts] == [
            ("Oslo", 3, False)
        ]
        monkeypatch.setattr(segment_pages, "MOST_COUNTED_IN_LIST", 2)
        fragment = (await client.get("/segments/counts", headers=PARTIAL)).text
        assert f'hx-target="#n-{segment["id"]}"' in fragment
        assert "2+" in fragment
    async with world.script(await world.person()) as stranger:
        assert (await stranger.get("/segments/counts")).json() == {"counts": []}
