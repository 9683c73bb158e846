"""How the list of contacts is sorted, paged and searched, whatever is in the columns."""

from uuid import UUID

import httpx
import pytest

from app.web.paging import write_cursor
from tests.support.crm_kit import MISSING_ID, create_contact, create_field
from tests.support.web_kit import JSON
from tests.support.world import World

PEOPLE = (
    {"first_name": "Álvaro", "last_name": "Núñez", "city": "Łódź", "company": "Éclair",
     "phone": "+1 415 293 3313", "email": "alvaro@eclair.example", "website": "https://www.bakery.example/shop",
     "external_id": "CRM-77"},
    {"first_name": "zoe", "last_name": "adler", "city": "Oslo", "company": "eclair",
     "phone": "+44 20 7946 0000"},
    {"first_name": "Bo", "last_name": "ADLER", "city": "lodz", "email": "bo@x.example",
     "phone": "+390669812345"},
    {"first_name": "Bo", "last_name": "Adler"},
    {"company": "Zimt"},
    {"first_name": "Eve", "state": "CA"},
)  # fmt: skip


async def people(client: httpx.AsyncClient) -> list[str]:
    return [(await create_contact(client, **person))["id"] for person in PEOPLE]


async def items(client: httpx.AsyncClient, path: str) -> list[str]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def test_sorts_ignore_accents_and_case_and_put_empty_last(world: World) -> None:
    async with world.script(await world.person()) as client:
        alvaro, zoe, bo, bo2, zimt, eve = await people(client)
        assert await items(client, "/contacts?sort=name") == [bo, bo2, zoe, eve, alvaro, zimt]
        assert await items(client, "/contacts?sort=-name") == [alvaro, eve, zoe, bo2, bo, zimt]
        assert await items(client, "/contacts?sort=city") == [alvaro, bo, zoe, bo2, zimt, eve]
        assert await items(client, "/contacts?sort=-city") == [zoe, bo, alvaro, eve, zimt, bo2]
        assert await items(client, "/contacts?sort=company") == [alvaro, zoe, zimt, bo, bo2, eve]
        assert await items(client, "/contacts?sort=city&f=last_name:is:adler") == [bo, zoe, bo2]


async def test_every_column_sorts_and_its_pages_lose_nobody(world: World) -> None:
    """Forth and back, with equal values and without, while a contact at the edge of a page is deleted."""
    who = await world.person()
    other = await world.person("viewer", who.account_id)
    async with world.script(who) as client:
        kinds = {"number": 7, "text": "Ärger", "boolean": True, "date": "2026-05-01", "select": "a",
                 "money": 12.5, "datetime": "2026-05-01T09:30", "multi_select": ["a", "b"],
                 "member": str(who.user_id)}  # fmt: skip
        custom = {}
        for kind, value in kinds.items():
            field = await create_field(
                client, label=f"F {kind}", type=kind, options="a\nb" if "select" in kind else "",
                currency="EUR" if kind == "money" else "",
            )  # fmt: skip
            custom[field["id"]] = value
        for number in range(9):
            fields = custom if number % 3 else {}
            await create_contact(
                client, first_name=f"P{number % 2}", state="CA" if number % 2 else None, fields=fields,
                owner=[str(who.user_id), str(other.user_id), None][number % 3], email=f"p{number}@x.example",
            )  # fmt: skip
        page = (await client.get(f"/contacts?columns={','.join(await columns(client))}")).json()
        unsorted = [column["key"] for column in page["columns"] if not column["href"]]
        assert unsorted == ["tags"]
        problems = []
        for column in page["columns"]:
            if column["key"] == "tags":
                continue
            for sort in (column["key"], f"-{column['key']}&f=email:contains:x.example"):
                whole = await items(client, f"/contacts?sort={sort}")
                if len(set(whole)) != 9 or await walk(client, f"/contacts?sort={sort}") != whole:
                    problems.append(sort)
        assert problems == []
        whole = await items(client, "/contacts?sort=state")
        first = (await client.get("/contacts?sort=state&limit=4")).json()
        await client.delete(f"/contacts/{whole[3]}")
        rest = await items(client, first["next"].replace("limit=4", "limit=20"))
        assert rest == whole[4:]


async def columns(client: httpx.AsyncClient) -> list[str]:
    page = (await client.get("/contacts")).json()
    return [choice["value"] for choice in page["choices"]]


async def walk(client: httpx.AsyncClient, address: str) -> list[str]:
    """The ids of all pages of four; every page is the same on the way back."""
    page = (await client.get(f"{address}&limit=4")).json()
    pages = [page]
    while page["next"]:
        page = (await client.get(page["next"])).json()
        pages.append(page)
    for before in reversed(pages[:-1]):
        page = (await client.get(page["previous"])).json()
        assert page["items"] == before["items"], address
    assert page["previous"] == ""
    return [item["id"] for part in pages for item in part["items"]]


@pytest.mark.parametrize("sort", ["tags", f"custom.{MISSING_ID}", "rev", "-", "segments"])
async def test_an_unknown_sort_is_refused(world: World, sort: str) -> None:
    async with world.browser(await world.person()) as client:
        for headers in (JSON, {}):
            assert (await client.get(f"/contacts?sort={sort}", headers=headers)).status_code == 422


async def test_a_cursor_of_another_sort_is_refused(world: World) -> None:
    async with world.script(await world.person()) as client:
        await people(client)
        page = (await client.get("/contacts?sort=state&limit=2")).json()
        cursor = page["next"].partition("after=")[2]
        refused = await client.get(f"/contacts?sort=-created_at&after={cursor}")
        assert (refused.status_code, list(refused.json()["errors"])) == (422, ["after"])
        stranger = write_cursor(MISSING_ID, UUID(MISSING_ID))
        refused = await client.get(f"/contacts?sort=owner&after={stranger}")
        assert (refused.status_code, list(refused.json()["errors"])) == (422, ["after"])


async def test_search_finds_what_a_person_types(world: World) -> None:
    async with world.script(await world.person()) as client:
        alvaro, zoe, bo, bo2, zimt, _ = await people(client)
        expected = {
            "alvaro": {alvaro}, "ÁLVARO": {alvaro}, "nunez alv": {alvaro}, "eclair": {alvaro, zoe},
            "lodz": {alvaro, bo}, "ŁÓDŹ": {alvaro, bo}, "bakery": {alvaro}, "crm-77": {alvaro},
            "(415) 293-3313": {alvaro}, "415 293": {alvaro}, "+14152933313": {alvaro},
            "001 415 293 3313": {alvaro}, "011 1 415 2933313": {alvaro}, "4152933313": {alvaro},
            "+44 (0)20 7946 0000": {zoe}, "020 7946 0000": {zoe}, "0044 20 7946": {zoe}, "7946": {zoe},
            "06 6981": {bo}, "adler 0000": {zoe}, "bo": {bo, bo2}, "z": {zoe, zimt}, "al nu": {alvaro},
            "o": {zoe}, "%": set(), "_": set(), "a_ler": set(), "nobody": set(), "\\": set(),
            "adler\\": set(),
        }  # fmt: skip
        for q, contacts in expected.items():
            answer = await client.get("/contacts", params={"q": q})
            assert {item["id"] for item in answer.json()["items"]} == contacts, q
            assert answer.json()["total"] == len(contacts), q
