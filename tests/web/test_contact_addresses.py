"""Several emails and phones of a contact: the primary one gets messages, each email identifies the contact,
and none belongs to two."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from app.contacts.domain import shown_value
from app.engine.core.triggers import InboundWebhook
from app.imports.domain.sample_file import as_csv
from tests.support.crm_kit import create_contact
from tests.support.imports_kit import counts, import_all
from tests.support.web_kit import HTML
from tests.support.webhook_kit import address, events, flow, post
from tests.support.world import World

OTHER = {"value": "ann@home.example", "label": "home"}


async def test_a_further_email_is_added_made_primary_and_removed(world: World) -> None:
    who, stranger = await world.person(), await world.person()
    viewer = await world.person("viewer", who.account_id)
    async with world.script(who) as client:
        contact = await create_contact(client, first_name="Ann", email="ann@work.example", email_label="work")
        href = f"/contacts/{contact['id']}/addresses"
        body = {"kind": "email", "address": " Ann@HOME.example", "label": " home "}
        added = await client.post(href, json=body)
        assert (added.status_code, added.json()["contact"]["other_emails"]) == (200, [OTHER])
        primary = await client.post(f"{href}/primary", json={"kind": "email", "address": OTHER["value"]})
        now = primary.json()["contact"]
        assert (now["email"], now["email_label"]) == ("ann@home.example", "home")
        assert now["other_emails"] == [{"value": "ann@work.example", "label": "work"}]
        gone = {"kind": "email", "address": "gone@x.example"}
        refused = await client.post(f"{href}/primary", json=gone)
        assert (refused.status_code, list(refused.json()["errors"])) == (422, ["address"])
        bad = await client.post(href, json={"kind": "email", "address": "nonsense"})
        assert (bad.status_code, "like name@example.com" in str(bad.json()["errors"])) == (422, True)
        params = {"kind": "email", "address": "ann@home.example"}
        removed = (await client.request("DELETE", href, params=params)).json()["contact"]
        assert (removed["email"], removed["email_label"]) == ("ann@work.example", "work")
        assert removed["other_emails"] == []
    for person, status in ((viewer, 403), (stranger, 404)):
        async with world.script(person) as client:
            assert (await client.post(href, json=body)).status_code == status
    [change] = await world.sql(
        "select changes from audit_logs where account_id = $1 and action = 'contact.updated'"
        " order by id limit 1",
        who.account_id,
    )
    assert change["changes"] == '{"other_emails": [null, "ann@home.example (home)"]}'


async def test_forms_change_emails_and_phones_without_a_script(world: World) -> None:
    async with world.browser(await world.person()) as client:
        contact = await create_contact(client, first_name="Ann", phone="(415) 293-3313")
        href = f"/contacts/{contact['id']}"
        form = {"kind": "phone", "address": "06 12 34 56 78", "label": "Paris"}
        assert (await client.post(f"{href}/addresses", data=form)).headers["location"] == href
        page = (await client.get(href, headers=HTML)).text
        assert "06 12 34 56 78 <span" in page, "marked as no number"
        assert f'action="{href}/addresses/primary"' in page
        assert f'action="{href}/addresses/deletion"' in page
        paris = {"kind": "phone", "address": "06 12 34 56 78"}
        assert (await client.post(f"{href}/addresses/primary", data=paris)).status_code == 303
        assert (await client.post(f"{href}/addresses/deletion", data=paris)).status_code == 303
        wrong = await client.post(f"{href}/addresses", data={"kind": "email", "address": "x"}, headers=HTML)
        assert (wrong.status_code, "like name@example.com" in wrong.text) == (422, True)
    [row] = await world.sql("select * from contacts where id = $1", contact["id"])
    assert (row["phone"], row["phone2"], row["other_phones"]) == ("+14152933313", None, "[]")


async def test_the_second_phone_is_the_first_of_the_others(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        contact = await create_contact(client, first_name="Ann", phone2="(415) 293-3313")
        href = f"/contacts/{contact['id']}"
        assert contact["other_phones"] == [{"value": "+14152933313", "label": ""}]
        others = [{"value": "+12025550123", "label": "work"}, {"value": "12", "label": ""}]
        saved = (await client.post(href, json={"other_phones": others})).json()["contact"]
        assert (saved["phone2"], saved["other_phones"]) == ("+12025550123", others)
        assert saved["unrecognized"] == ["other_phones"]
        saved = (await client.post(href, json={"phone2": "+12025550124"})).json()["contact"]
        assert saved["other_phones"] == [{"value": "+12025550124", "label": "work"}, others[1]]
    # A statement that knows nothing of the other phones, of a step or of an earlier release.
    await world.sql("update contacts set phone2 = '+12025550125' where id = $1", contact["id"])
    first = "select other_phones -> 0 ->> 'value' as phone from contacts where id = $1"
    assert [row["phone"] for row in await world.sql(first, contact["id"])] == ["+12025550125"]
    await world.sql("update contacts set phone2 = null where id = $1", contact["id"])
    [row] = await world.sql("select phone2 from contacts where id = $1", contact["id"])
    assert row["phone2"] == "12", "the next one"


async def test_an_email_of_another_contact_is_refused_with_a_link(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        ann = await create_contact(client, first_name="Ann", email="a@x.example", other_emails=[OTHER])
        bob = await create_contact(client, first_name="Bob")
        link = f"/contacts/{ann['id']}"
        for path in ("/contacts", f"/contacts/{bob['id']}"):
            answer = await client.post(path, json={"email": "ANN@home.example"})
            assert (answer.status_code, answer.json()["links"]) == (422, {"email": link}), answer.text
            assert answer.json()["errors"] == {"email": "Ann already has this email address."}
        others = {"other_emails": [{"value": "a@x.example"}]}
        listed = await client.post(f"/contacts/{bob['id']}", json=others)
        assert listed.json()["links"] == {"other_emails": link}
        assert (await client.post(f"{link}/deletion")).status_code == 200
        taken = await client.post(f"/contacts/{bob['id']}", json={"email": OTHER["value"]})
        assert taken.status_code == 200, "a deleted contact holds no email"
        again = await client.post(f"{link}/restoration")
        assert (again.status_code, again.json()["current"]["contact_id"]) == (409, bob["id"])
    async with world.browser(who) as client:
        form = {"account": str(who.account_id), "email": OTHER["value"], "first_name": "Cy"}
        page = await client.post("/contacts", data=form)
        assert page.status_code == 422
        assert f'<a href="/contacts/{bob["id"]}">Open it</a>' in page.text
        assert 'value="Cy"' in page.text, "what was typed stays"


async def test_two_contacts_get_one_email_at_the_same_moment(world: World) -> None:
    async with world.script(await world.person()) as client:
        ann = await create_contact(client, first_name="Ann")
        answers = await asyncio.gather(
            client.post("/contacts", json={"email": "new@x.example"}),
            client.post(f"/contacts/{ann['id']}", json={"other_emails": [{"value": "new@x.example"}]}),
            client.post("/contacts", json={"email": "NEW@x.example", "first_name": "Cy"}),
        )
        assert sorted(answer.status_code // 100 for answer in answers) == [2, 4, 4]


async def test_every_email_finds_the_contact(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        ann = await create_contact(client, first_name="Ann", email="ann@work.example", other_emails=[OTHER])
        await create_contact(client, first_name="Bob", email="bob@x.example")
        table = [["email", "city"], ["ANN@home.example", "Oslo"], ["new@x.example", "Bergen"]]
        page = await import_all(world, who, client, as_csv(table).encode())
        assert counts(page) == (1, 1, 0, 0)
        now = (await client.get(f"/contacts/{ann['id']}")).json()["contact"]
        assert (now["city"], now["email"], now["other_emails"]) == ("Oslo", "ann@work.example", [OTHER])
    workflow = await flow(world, who.account_id, InboundWebhook(contact_path="email"))
    path, _ = await address(world, who, workflow)
    assert (await post(world, path, {"email": OTHER["value"]})).status_code == 202
    delivered = [row for row in await events(world, who.account_id) if str(row["subject_id"]) == ann["id"]]
    assert delivered


async def test_ids_of_two_systems_never_meet(world: World) -> None:
    who = await world.person()
    async with world.script(who) as client:
        ann = await create_contact(client, first_name="Ann", external_id="HubSpot:9001")
        assert ann["external_id"] == "hubspot:9001"
        await create_contact(client, first_name="Bob", external_id="stripe:9001")
        await create_contact(client, first_name="Cy", external_id="9001")
        taken = await client.post("/contacts", json={"external_id": "hubspot: 9001"})
        assert taken.json()["errors"] == {"external_id": "Ann already has this external ID."}
        table = [["id", "city"], ["9001", "Oslo"], ["9002", "Bergen"]]
        columns = {"0": "external_id"}
        page = await import_all(world, who, client, as_csv(table).encode(), columns=columns, source="HubSpot")
        assert counts(page) == (1, 1, 0, 0)
    rows = await world.sql(
        "select external_id, city from contacts where account_id = $1 order by external_id", who.account_id
    )
    assert [tuple(row) for row in rows] == [
        ("9001", None),
        ("hubspot:9001", "Oslo"),
        ("hubspot:9002", "Bergen"),
        ("stripe:9001", None),
    ]


@pytest.mark.parametrize(
    "typed",
    ["ünï@exämple.de", "idn@bücher.example", "zoe\u0308@example.com"],
)
async def test_an_address_beyond_ascii_stays_what_it_is(world: World, typed: str) -> None:
    """Its form saves the contact, and a change of the city leaves the address alone."""
    async with world.browser(await world.person()) as client:
        contact: dict[str, Any] = await create_contact(client, email=typed, last_name=str(uuid4()))
        href = f"/contacts/{contact['id']}"
        page = await client.get(f"{href}/edit", headers=HTML)
        assert f'value="{contact["email"]}"' in page.text
        assert 'type="email"' not in page.text, "a browser would rewrite or refuse it"
        answer = await client.post(href, data={"email": contact["email"], "city": "Oslo"})
        assert answer.status_code == 303
        punycode = {"email": contact["email"].replace("bücher", "xn--bcher-kva").upper()}
        same = (await client.post(href, json=punycode, headers={"accept": "application/json"})).json()
        assert (same["contact"]["email"], same["contact"]["city"]) == (contact["email"], "Oslo")


def test_the_history_shows_addresses_as_text() -> None:
    assert shown_value([OTHER, {"value": "b@x.example", "label": ""}]) == (
        "ann@home.example (home), b@x.example"
    )
    assert shown_value([]) is None
