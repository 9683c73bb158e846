"""A bulk edit sets consent: a browser confirms it, and each changed contact has an audit entry and an
event."""

from tests.support.bulk_kit import fill, hidden, jobs
from tests.support.crm_kit import check_revisions, run_job
from tests.support.web_kit import JSON
from tests.support.world import AccountMember, World

CONSENT = "/contacts/bulk/consent"


async def states(world: World, who: AccountMember, channel: str = "email") -> list[str]:
    rows = await world.sql(
        f"select {channel}_consent as state from contacts where account_id = $1 order by id",  # noqa: S608 -- our names
        who.account_id,
    )
    return [row["state"] for row in rows]


async def test_consent_is_set_for_matching_contacts(world: World) -> None:
    who = await world.person("operator")
    await fill(world, who, 2, last_name="Doe")
    await fill(world, who, 1, last_name="Doe", email_consent="granted")
    await fill(world, who, 1, last_name="Doe", email_consent="denied")
    await fill(world, who, 1, last_name="Roe")
    async with world.script(who) as client:
        body = {"all": True, "q": "doe", "channel": "email", "state": "denied"}
        assert (await client.post(CONSENT, json=body | {"expected": 5})).status_code == 409
        answer = await client.post(CONSENT, json=body | {"expected": 4})
        assert answer.status_code == 201, answer.text
        await run_job(world, who, answer.json()["job_id"])
        job = (await client.get(answer.json()["href"])).json()
        assert job["title"] == "Set email consent to denied for 4 contacts"
        listed = (await client.get("/contacts")).json()
        assert "consent" in {action["name"] for action in listed["actions"]}
    assert await states(world, who) == ["denied"] * 4 + ["unknown"]
    assert await states(world, who, "sms") == ["unknown"] * 5
    events = await world.sql(
        "select data, source from events where account_id = $1 and kind = 'contact.updated'", who.account_id
    )
    assert sorted(row["data"] for row in events) == [
        '{"changes": {"email_consent": ["granted", "denied"]}}',
        *['{"changes": {"email_consent": ["unknown", "denied"]}}'] * 2,
    ]
    assert {row["source"] for row in events} == {"bulk"}
    entries = await world.sql(
        "select actor_name from audit_logs where account_id = $1 and action = 'contact.updated'",
        who.account_id,
    )
    assert [row["actor_name"] for row in entries] == ["Operator"] * 3
    await check_revisions(world, who.account_id)


async def test_browser_gets_a_page_that_asks_for_the_consent(world: World) -> None:
    who = await world.person("operator")
    ids = [str(contact_id) for contact_id in await fill(world, who, 2)]
    async with world.browser(who) as client:
        assert f'formaction="{CONSENT}"' in (await client.get("/contacts")).text
        page = await client.post(CONSENT, data={"id": ids})
        assert (page.status_code, await jobs(world, who)) == (200, 0)
        assert "Set consent for 2 contacts" in page.text
        sent = hidden(page.text) | {"channel": ["sms"], "state": ["granted"]}
        done = await client.post(CONSENT, data=sent)
        assert done.status_code == 303, done.text
        await run_job(world, who, done.headers["location"].rpartition("/")[2])
    assert await states(world, who, "sms") == ["granted"] * 2
    assert await states(world, who) == ["unknown"] * 2


async def test_invalid_consent_is_refused(world: World) -> None:
    who = await world.person("operator")
    ids = [str(contact_id) for contact_id in await fill(world, who, 1)]
    viewer = await world.person("viewer", who.account_id)
    stranger = await world.person("owner")
    body = {"ids": ids, "state": "denied"}
    async with world.script(who) as client:
        for wrong in ({"state": "maybe"}, {"state": ""}, {"channel": "fax"}, {"extra": 1}):
            answer = await client.post(CONSENT, json=body | wrong)
            assert answer.status_code == 422, wrong
    async with world.script(viewer) as client:
        assert (await client.post(CONSENT, json=body)).status_code == 403
    async with world.script(stranger) as client:
        assert (await client.post(CONSENT, json=body, headers=JSON)).status_code == 422
    assert (await states(world, who), await jobs(world, who)) == (["unknown"], 0)
