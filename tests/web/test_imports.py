"""Imports from the upload to the contacts, through the routes and the handlers of the jobs."""

from typing import Any

import pytest

from app.imports.domain.sample_file import HEADER, as_csv, sample_csv, sample_rows
from tests.support.crm_kit import check_revisions, create_contact, create_field
from tests.support.imports_kit import act, counts, import_all, run_queued_jobs, show, table, upload
from tests.support.web_kit import PARTIAL
from tests.support.world import World


@pytest.mark.parametrize("ends", ["\r\n", "\r", "\n"])
async def test_import_from_upload_to_contacts_is_idempotent(world: World, ends: str) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        page = await upload(client, table(700, ends))
        assert (page["step"], page["item"]["rows"]) == ("columns", 700)
        assert [column["field"] for column in page["columns"]][-5:] == [
            "postal_code",
            "phone",
            "phone2",
            "email",
            "website",
        ]
        page = await act(client, page, "map", tags="Newsletter, vip")
        assert page["step"] == "checking"
        assert await run_queued_jobs(world, who) == 2
        page = await show(client, page)
        assert (page["step"], counts(page)) == ("preview", (700, 0, 0, 0))
        assert page["verdicts"][0]["rows"][0]["title"] == "Ada Marsh"
        page = await act(client, page, "run")
        await run_queued_jobs(world, who)
        page = await show(client, page)
        assert (page["step"], page["item"]["status"], counts(page)) == ("result", "done", (700, 0, 0, 0))
        again = await import_all(world, who, client, table(700, ends), tags="VIP")
        assert counts(again) == (0, 0, 700, 0)
    facts = await world.sql(
        "select kind, source, count(*) as n from events where account_id = $1 group by 1, 2", who.account_id
    )
    assert {(row["kind"], row["source"], row["n"]) for row in facts} == {
        ("contact.created", "import", 700),
        ("tag.added", "import", 1400),
    }
    entries = await world.sql(
        "select actor_name, count(*) as n from audit_logs where account_id = $1 and actor_kind = 'import'"
        " and action = 'contact.created' group by 1",
        who.account_id,
    )
    assert [(row["actor_name"], row["n"]) for row in entries] == [("people.csv", 700)]


async def test_changed_and_bad_lines_are_distinguished(world: World) -> None:
    who = await world.person("operator")
    rows = sample_rows(6)
    async with world.script(who) as client:
        await import_all(world, who, client, as_csv([list(HEADER), *rows]).encode())
        rows[0][4] = "Paris"
        rows[1][4] = ""  # an empty cell changes nothing
        rows[2][10] = "not an address"
        rows[3] = [*rows[3], "more"]
        rows += [list(rows[4]), [""] * 3 + ["=cmd()"] + [""] * 8]
        page = await import_all(world, who, client, as_csv([list(HEADER), *rows]).encode())
        assert counts(page) == (0, 1, 3, 4)
        changed = next(verdict for verdict in page["verdicts"] if verdict["verdict"] == "changed")
        assert changed["rows"][0]["changes"] == [["City", "Springfield", "Paris"]]
        reasons = [row["reason"] for row in page["verdicts"][3]["rows"]]
        assert reasons[1] == "The row has 13 cells, but the header has 12."
        assert reasons[2] == "Same email as line 6."
        bad = await client.get(f"/imports/{page['item']['id']}/bad.csv", headers={"accept": "text/csv"})
        assert bad.status_code == 200
        assert bad.text.startswith("\ufeffline,reason,first_name")
        assert "'=cmd()" in bad.text
    city = await world.sql(
        "select city, rev from contacts where account_id = $1 and email = $2", who.account_id, rows[0][10]
    )
    assert (city[0]["city"], city[0]["rev"]) == ("Paris", 2)
    events = await world.sql(
        "select data::text from events where account_id = $1 and kind = 'contact.updated'", who.account_id
    )
    assert [row["data"] for row in events] == ['{"changes": {"city": ["Springfield", "Paris"]}}']
    await check_revisions(world, who.account_id)


async def test_existing_contacts_can_be_left_alone(world: World) -> None:
    who = await world.person("operator")
    rows = sample_rows(3)
    async with world.script(who) as client:
        await import_all(world, who, client, as_csv([list(HEADER), *rows[:2]]).encode())
        rows[0][4] = "Paris"
        page = await import_all(
            world, who, client, as_csv([list(HEADER), *rows]).encode(), existing="skip", tags="x"
        )
        assert counts(page) == (1, 0, 2, 0)
    tagged = await world.sql("select count(*) as n from contact_tags where account_id = $1", who.account_id)
    assert tagged[0]["n"] == 1


async def test_file_that_is_not_a_table_is_refused_with_a_message(world: World) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        for content, words in (
            (b"", "empty"),
            (b"PK\x03\x04rest", "Save the sheet as CSV"),
            (b"a\0b\0\0\0c", "isn't text"),
            (b"name,email\r\n", "a header line but no rows"),
            (b'email,first_name\nq@x.example.com,"abc\nz@x.example.com,b\n', "opened on line 2 is never"),
        ):
            answer = await client.post("/imports", files={"file": ("x.csv", content, "text/csv")})
            assert answer.status_code == 422
            assert words in answer.json()["errors"]["file"]
        answer = await client.post("/imports", files={"other": ("x.csv", b"a", "text/csv")})
        assert answer.status_code == 422
        answer = await client.post("/imports", data={"file": "text"}, files={"other": ("x", b"a")})
        assert answer.status_code in (400, 422)
        assert (await client.post("/imports", json={"file": "x"})).status_code == 415
        page = await upload(client, table(2))
        href = page["actions"][0]["href"]
        for columns in ({"0": "email"}, {"99": "email"}, {"0": "nonsense"}, {"x": "email"}):
            answer = await client.post(href, json={"columns": columns})
            assert answer.status_code == 422, columns
        all_ignored = {str(number): "ignore" for number in range(12)}
        answer = await client.post(href, json={"columns": all_ignored})
        assert "columns" in answer.json()["errors"]
        assert (await client.post(href.replace("mapping", "run"), json={})).status_code == 409


async def test_viewers_are_refused_and_other_accounts_find_nothing(world: World) -> None:
    who, stranger = await world.person("operator"), await world.person("owner")
    viewer = await world.person("viewer", who.account_id)
    async with world.script(who) as client:
        page = await upload(client, table(3))
        page = await act(client, page, "map")
        await run_queued_jobs(world, who)
    href = f"/imports/{page['item']['id']}"
    async with world.script(viewer) as client:
        page_body = (await client.get(href)).json()
        assert (page_body["step"], page_body["actions"]) == ("preview", [])
        assert (await client.get("/imports/new")).status_code == 403
        assert (await client.post("/imports", files={"file": ("x", b"a")})).status_code == 403
        for tail in ("mapping", "run", "cancellation"):
            assert (await client.post(f"{href}/{tail}", json={})).status_code == 403
    async with world.script(stranger) as client:
        assert (await client.get("/imports")).json()["items"] == []
        for tail in ("", "/bad.csv"):
            answer = await client.get(href + tail, headers={"accept": "*/*"})
            assert answer.status_code == 404
        for tail in ("mapping", "run", "cancellation"):
            assert (await client.post(f"{href}/{tail}", json={})).status_code == 404


async def test_the_pages_follow_the_status(world: World) -> None:
    who = await world.person("operator")
    async with world.browser(who) as client:
        assert "No imports yet" in (await client.get("/imports")).text
        assert "Supported files" in (await client.get("/imports/new")).text
        refused = await client.post(
            "/imports", data={"account": str(who.account_id)}, files={"file": ("x.csv", b"PK\x03\x04")}
        )
        assert refused.status_code == 422
        assert "Save the sheet as CSV" in refused.text
        answer = await client.post(
            "/imports", data={"account": str(who.account_id)}, files={"file": ("Ä.csv", table(3))}
        )
        assert answer.status_code == 303, answer.text
        href = answer.headers["location"]
        assert "First values" in (await client.get(href)).text
        wrong = await client.post(
            f"{href}/mapping", data={"columns.0": "email", "account": str(who.account_id)}
        )
        assert wrong.status_code == 422
        assert "already fills this field" in wrong.text
        answer = await client.post(f"{href}/mapping", data={"tags": "vip", "existing": "update"})
        assert answer.status_code == 303, answer.text
        assert "Checking the file" in (await client.get(href)).text
        await run_queued_jobs(world, who)
        assert "Import 3 contacts" in (await client.get(href, headers=PARTIAL)).text
        assert "Check file" in (await client.get(f"{href}?columns=true")).text
        await client.post(f"{href}/run")
        assert "Importing" in (await client.get(href)).text
        await run_queued_jobs(world, who)
        assert "3 contacts added" in (await client.get(href)).text
        assert "Ä.csv" in (await client.get("/imports")).text


async def test_the_sample_file_can_be_imported(world: World) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        answer = await client.get("/imports/sample.csv", headers={"accept": "text/csv"})
        assert (answer.status_code, answer.text) == (200, sample_csv())
        page = await import_all(world, who, client, answer.content)
        assert counts(page) == (25, 0, 0, 0)


async def test_first_line_follows_the_members_choice(world: World) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        page = await upload(client, b"Ann,Doe\nBob,Roe\n")
        assert (page["first_line"], page["item"]["rows"]) == ("names", 1)
        columns = {"0": "first_name", "1": "last_name"}
        page = await act(client, page, "map", columns=columns, first_line="person")
        await run_queued_jobs(world, who)
        page = await show(client, page)
        assert (page["first_line"], counts(page)) == ("person", (2, 0, 0, 0))
        assert [column["name"] for column in page["columns"]] == ["Column 1", "Column 2"]
        assert page["verdicts"][0]["rows"][0]["line"] == 1
        page = await act(client, {**page, "actions": [map_of(page)]}, "map", first_line="names")
        await run_queued_jobs(world, who)
        page = await show(client, page)
        assert (page["columns"][0]["name"], counts(page)) == ("Ann", (1, 0, 0, 0))


def map_of(page: dict[str, Any]) -> dict[str, str]:
    return {"name": "map", "href": f"/imports/{page['item']['id']}/mapping"}


async def test_custom_fields_and_contacts_without_email_are_matched(world: World) -> None:
    who = await world.person("operator")
    await world.sql(
        "insert into custom_fields (account_id, id, key, label, type)"
        " values ($1, gen_random_uuid(), 'seats', 'Seats', 'number')",
        who.account_id,
    )
    content = b"First name,Last name,Phone,Seats\nAnn,Doe,504-621-8927,12\nBob,Roe,,many\nCyd,Poe,,\n"
    async with world.script(who) as client:
        page = await import_all(world, who, client, content)
        assert counts(page) == (2, 0, 0, 1)
        assert "Seats" in page["verdicts"][3]["rows"][0]["reason"]
        again = await import_all(world, who, client, content)
        assert counts(again) == (0, 0, 2, 1)
    rows = await world.sql(
        "select phone, fields::text from contacts where account_id = $1 order by last_name", who.account_id
    )
    assert rows[0]["phone"] == "+15046218927"
    assert rows[0]["fields"].endswith(": 12}")


async def test_new_contacts_need_required_values_and_get_defaults(world: World) -> None:
    who = await world.person("operator")
    content = (
        b'First name,Email,Likes,Budget\nAnn,ann@x.example,tea; Cake,"1,234.50"\n'
        b"Bob,bob@x.example,,\nCyd,cyd@x.example,Coffee,1\nOld,old@x.example,,\n"
    )
    async with world.script(who) as client:
        await create_contact(client, email="old@x.example")
        likes = await create_field(client, label="Likes", type="multi_select", options="Tea\nCake")
        budget = await create_field(client, label="Budget", type="money", currency="EUR", required=True)
        plan = await create_field(client, label="Plan", default="free", required=True)
        page = await import_all(world, who, client, content)
        assert counts(page) == (1, 1, 0, 2)
        reasons = [row["reason"] for row in page["verdicts"][3]["rows"]]
        assert reasons[0] == "Budget: required for a new contact."
        assert "Likes has no option “Coffee”" in reasons[1]
        listed = await client.get("/contacts", params={"sort": "created_at"})
        old, ann = listed.json()["items"]
        assert ann["fields"] == {likes["id"]: ["Tea", "Cake"], budget["id"]: 1234.5, plan["id"]: "free"}
        assert (old["first_name"], old["fields"]) == ("Old", {})


async def test_a_default_that_has_left_is_no_value_of_a_required_field(world: World) -> None:
    who = await world.person()
    guest = await world.person("viewer", who.account_id)
    async with world.script(who) as client:
        await create_field(client, label="Guide", type="member", default=str(guest.user_id), required=True)
        assert (await client.delete(f"/members/{guest.user_id}")).is_success
        page = await import_all(world, who, client, b"First name,Email\nAnn,ann@x.example\n")
        assert counts(page) == (0, 0, 0, 1)


async def test_a_file_that_is_too_large_is_refused(world: World) -> None:
    who = await world.person("operator")
    most = world.app.state.settings.max_body_bytes
    async with world.script(who) as client:
        answer = await client.post("/imports", files={"file": ("x.csv", b"a" * (most + 1))})
        assert answer.status_code == 413
        assert answer.json()["detail"] == "Send at most 25 MB."
