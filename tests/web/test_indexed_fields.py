"""Custom fields that an account indexes: built by a job, kept up to date by every writer, ten at most."""

import pytest

from tests.support.crm_kit import MISSING_ID, create_contact, create_field, run_job
from tests.support.web_kit import JSON
from tests.support.world import World

QUESTIONS = (
    "f=custom.{n}:ge:5", "f=custom.{n}:gt:5", "f=custom.{n}:lt:5", "f=custom.{n}:le:5.5", "f=custom.{n}:eq:5",
    "f=custom.{n}:ne:5", "f=custom.{n}:between:-1,5", "f=custom.{n}:empty", "f=custom.{n}:not_empty",
    "f=custom.{d}:on:2026-05-01", "f=custom.{d}:before:2026-05-01", "f=custom.{d}:after:0001-01-01",
    "f=custom.{d}:between:2024-02-29,2026-05-01", "f=custom.{d}:empty", "f=custom.{d}:not_empty",
    "sort=custom.{n}", "sort=-custom.{n}", "sort=custom.{d}", "sort=-custom.{d}&f=custom.{n}:le:5.5",
)  # fmt: skip


async def test_an_index_changes_no_answer(world: World) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        number = (await create_field(client, label="Score", type="number"))["id"]
        day = (await create_field(client, label="Since", type="date"))["id"]
        for score, since in (
            (5, "2026-05-01"),
            (5.5, None),
            (-1, "0001-01-01"),
            (1e15, "9999-12-31"),
            (None, None),
        ):
            await create_contact(client, first_name=f"C{score}", fields={number: score, day: since})

        async def answers() -> list[list[str]]:
            listed = []
            for question in QUESTIONS:
                answer = await client.get(f"/contacts?{question.format(n=number, d=day)}")
                assert answer.status_code == 200, answer.text
                listed.append([item["name"] for item in answer.json()["items"]])
            return listed

        before = await answers()
        for field in (number, day):
            started = await client.post(f"/fields/{field}/index")
            assert started.status_code == 201, started.text
            assert (await client.get(f"/fields/{field}")).json()["field"]["index"] == "building"
            await run_job(world, who, started.json()["job_id"])
            assert (await client.get(f"/fields/{field}")).json()["field"]["index"] == "ready"
        assert await answers() == before
        stored = "select value_1, value_2 from contacts where account_id = $1 and first_name = 'C5'"
        [row] = await world.sql(stored, who.account_id)
        assert (row["value_1"], row["value_2"]) == (5.0, 9617.0)
        late = await create_contact(client, first_name="Late", fields={number: 7})
        over = (await client.get(f"/contacts?f=custom.{number}:eq:7")).json()
        assert [item["id"] for item in over["items"]] == [late["id"]]
        await client.patch(f"/contacts/{late['id']}", json={"fields": {number: 8}})
        assert (await client.get(f"/contacts?f=custom.{number}:eq:7")).json()["items"] == []
        assert len((await client.get(f"/contacts?f=custom.{number}:eq:8")).json()["items"]) == 1
        assert (await client.post(f"/fields/{number}/index")).status_code == 409
        assert (await client.delete(f"/fields/{number}/index")).status_code == 204
        assert (await client.delete(f"/fields/{number}/index")).status_code == 409
        assert len((await client.get(f"/contacts?f=custom.{number}:eq:8")).json()["items"]) == 1
    actions = await world.sql(
        "select action from audit_logs where account_id = $1 and subject_kind = 'field' order by id",
        who.account_id,
    )
    assert [row["action"] for row in actions][2:] == ["field.indexed", "field.indexed", "field.updated"]


async def test_who_may_index_what(world: World) -> None:
    who = await world.person()
    viewer = await world.person("viewer", who.account_id)
    async with world.script(who) as client:
        text = (await create_field(client, label="Motto", type="text"))["id"]
        refused = await client.post(f"/fields/{text}/index")
        assert (refused.status_code, refused.json()["detail"]) == (
            422, "Only numbers, amounts, dates and times can be indexed.",
        )  # fmt: skip
        fields = [(await create_field(client, label=f"N{n}", type="number"))["id"] for n in range(11)]
        async with world.script(viewer) as reader, world.script(await world.person()) as stranger:
            assert (await reader.post(f"/fields/{fields[0]}/index")).status_code == 403
            assert (await reader.delete(f"/fields/{fields[0]}/index")).status_code == 403
            assert (await stranger.post(f"/fields/{fields[0]}/index")).status_code == 404
            assert (await stranger.delete(f"/fields/{MISSING_ID}/index")).status_code == 404
        assert [(await client.post(f"/fields/{field}/index")).status_code for field in fields] == [
            201
        ] * 10 + [422]
        jobs = await world.sql("select id from jobs where account_id = $1 order by id", who.account_id)
        await client.delete(f"/fields/{fields[0]}/index")
        with pytest.raises(Exception, match="no longer to be indexed"):
            await run_job(world, who, str(jobs[0]["id"]))
        assert (await client.post(f"/fields/{fields[10]}/index")).status_code == 201
    async with world.browser(who) as browser:
        page = (await browser.get(f"/fields/{fields[1]}")).text
        assert "End the index" in page
        assert "being built" in page
        done = await browser.post(f"/fields/{fields[1]}/index/deletion")
        assert done.status_code == 303
        assert "Index this field" in (await browser.get(f"/fields/{fields[1]}")).text
        assert (await browser.post(f"/fields/{fields[1]}/index")).status_code == 303
        assert (await browser.post(f"/fields/{fields[1]}/index", headers=JSON)).status_code == 409
