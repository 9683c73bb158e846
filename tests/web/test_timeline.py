"""The timeline of a contact: everything that happened once, by kind, in complete pages."""

import re
from typing import Any

import httpx
import pytest

from db.ids import uuid7
from tests.support.sample_account import Cast, cast_of
from tests.support.web_kit import PARTIAL
from tests.support.world import World

AUDIT = """
insert into audit_logs (account_id, id, occurred_at, actor_kind, actor_id, actor_name, action, subject_kind,
                        subject_id)
select $1, gen_random_uuid(), timestamptz '2026-01-01' + (n / 10) * interval '1 hour', 'member', '', 'Ann',
       'tag.added', 'contact', $2::uuid::text
  from generate_series(1, $3::int) n
"""
NOTES = """
insert into notes (account_id, id, contact_id, body, author_kind, author_id, author_name, created_at)
select $1, gen_random_uuid(), $2, n, 'member', '', 'Ann',
       timestamptz '2026-01-01' + (n / 10) * interval '1 hour'
  from generate_series(1, $3::int) n
"""
TASKS = NOTES.replace("into notes", "into tasks").replace("body", "title")
VISITS = """
insert into enrollment_executions (account_id, enrollment_id, seq, step_key, kind, started_at, error)
select $1, $2, 100 + n, 's2', 'wait', timestamptz '2026-01-01' + (n / 10) * interval '1 hour', n
  from generate_series(1, $3::int) n
"""


def lines(page: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(item["kind"], item["title"], item["state"]) for item in page["items"]]


async def test_everything_is_there_once_and_by_kind(world: World) -> None:
    cast = await cast_of(world)
    href = f"/contacts/{cast.contact}/timeline"
    by_kind = {
        "change": [("change", "Contact created", "")],
        "step": [("step", "Wait", "waiting")],
        "message": [("message", "Email", "unknown")],  # and not its visit
        "note": [("note", "Note", "")],
        "task": [("task", "Task", "open")],
    }
    async with world.script(cast.owner) as script, world.browser(cast.owner) as client:
        every = (await script.get(href)).json()
        assert sorted(lines(every)) == sorted(line for listed in by_kind.values() for line in listed)
        times = [item["at"] for item in every["items"]]
        assert times == sorted(times, reverse=True)
        assert (every["next"], every["previous"], every["contact"]["name"]) == ("", "", "Ada Lovelace")
        for kind, expected in by_kind.items():
            assert lines((await script.get(href, params={"kind": kind})).json()) == expected, kind
        texts = {item["kind"]: (item["text"], item["actor_name"], item["href"]) for item in every["items"]}
        assert texts["message"] == ("Hello · ada@example.com", "Welcome", f"/enrollments/{cast.enrollment}")
        assert texts["note"] == ("Called, likes tea.", cast.owner.name, f"/notes/{cast.note}")
        # What becomes of notes and tasks belongs to their kinds.
        await script.patch(f"/notes/{cast.note}", json={"body": "**No** tea."})
        await script.post(f"/tasks/{cast.task}/completion", json={})
        for kind, title in (("task", "Task completed"), ("note", "Note updated")):
            page = (await script.get(href, params={"kind": kind})).json()
            assert title in [item["title"] for item in page["items"]]
        record = await client.get(f"/contacts/{cast.contact}")
        part = await client.get(href, headers=PARTIAL)
        for page in (record.text, (await client.get(href)).text, part.text):
            for text in (
                "Contact created",
                "Hello · ada@example.com",
                "<strong>No</strong> tea",
                "Call again",
            ):
                assert text in page
        assert "<html" not in part.text
        assert "timeline" not in (await script.get(f"/contacts/{cast.contact}")).json()


async def test_pages_are_complete_in_both_directions(world: World) -> None:
    """Also with many entries of one moment."""
    cast = await cast_of(world)
    await fill(world, cast, 60)
    href = f"/contacts/{cast.contact}/timeline?limit=40"
    async with world.script(cast.owner) as script:
        pages = [(await script.get(href)).json()]
        while pages[-1]["next"]:
            pages.append((await script.get(pages[-1]["next"])).json())
        identities = [identity(item) for page in pages for item in page["items"]]
        assert len(identities) == len(set(identities)) == 5 + 4 * 60
        back = [pages[-1]]
        while back[-1]["previous"]:
            back.append((await script.get(back[-1]["previous"])).json())
        assert [page["items"] for page in reversed(back)] == [page["items"] for page in pages]
        steps = (await script.get(f"{href}&kind=step")).json()
        rest = (await script.get(steps["next"])).json()
        assert [len(steps["items"]), len(rest["items"])] == [40, 21]
        assert f"/contacts/{cast.contact}/timeline?after=" in (await script.get(
            f"/contacts/{cast.contact}", headers={"accept": "text/html"}
        )).text  # fmt: skip


def identity(item: dict[str, Any]) -> tuple[str, str, str, str]:
    return item["at"], item["id"], item["kind"], item["text"]


async def fill(world: World, cast: Cast, count: int) -> None:
    """As many audit entries, visits, notes and tasks, ten of each at one moment."""
    for statement, *values in (
        (AUDIT, cast.account, cast.contact, count),
        (NOTES, cast.account, cast.contact, count),
        (TASKS, cast.account, cast.contact, count),
        (VISITS, cast.account, cast.enrollment, count),
    ):
        await world.sql(statement, *values)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("kind=nonsense", "kind"),
        ("after=x", "after"),
        ("before=W10", "before"),
        ("after=WyIyMDI2LTAxLTAxLzAiLCIwMWEyMGI1OC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDAiXQ", "after"),
        ("limit=0", "limit"),
        (
            "before=WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwLzAiLCIwMWEyMGI1OC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDAiXQ",
            "before",
        ),  # no time in UTC
        ("after=x&before=y", "before"),
    ],
)
async def test_wrong_query_is_refused(world: World, query: str, field: str) -> None:
    cast = await cast_of(world)
    async with world.script(cast.owner) as script:
        answer = await script.get(f"/contacts/{cast.contact}/timeline?{query}")
        assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])


async def test_who_sees_a_timeline(world: World) -> None:
    cast = await cast_of(world)
    viewer = await world.person("viewer", cast.account)
    async with world.script(viewer) as reader, world.script(await world.person()) as stranger:
        assert (await reader.get(f"/contacts/{cast.contact}/timeline")).status_code == 200
        assert (await stranger.get(f"/contacts/{cast.contact}/timeline")).status_code == 404
        assert (await reader.get(f"/contacts/{uuid7()}/timeline")).status_code == 404


async def note_of(client: httpx.AsyncClient, contact: object, body: str) -> str:
    return str((await client.post(f"/contacts/{contact}/notes", json={"body": body})).json()["id"])


async def test_notes_are_edited_by_their_authors(world: World) -> None:
    cast = await cast_of(world)
    other = await world.person("operator", cast.account)
    viewer = await world.person("viewer", cast.account)
    async with world.script(cast.owner) as script, world.browser(cast.owner) as client:
        note = await note_of(script, cast.contact, "First")
        href = f"/notes/{note}"
        page = await client.get(href)
        assert ("<textarea" in page.text, "First" in page.text) == (True, True)
        saved = await client.post(href, data={"body": "[x](javascript:alert(1))\r\n**Bold**"})
        assert (saved.status_code, saved.headers["location"]) == (303, f"/contacts/{cast.contact}")
        record = (await client.get(f"/contacts/{cast.contact}")).text
        assert ("<strong>Bold</strong>" in record, 'href="javascript' in record) == (True, False)
        shown = (await script.get(href)).json()
        assert shown["note"]["body"] == "[x](javascript:alert(1))\n**Bold**"
        assert shown["note"]["edited_at"]
        assert [entry["name"] for entry in shown["actions"]] == ["update", "delete"]
        for body in ("", "  ", "x" * 10_001):
            refused = await client.post(href, data={"body": body})
            assert (refused.status_code, "Enter a note of 1 to 10,000" in refused.text) == (422, True)
        assert (await script.patch(href, json={})).status_code == 422
    async with world.script(other) as colleague, world.script(viewer) as reader:
        assert (await colleague.patch(href, json={"body": "Mine"})).status_code == 403
        assert (await reader.patch(href, json={"body": "Mine"})).status_code == 403
        assert (await reader.get(href)).json()["actions"] == []
    async with world.script(await world.person()) as stranger:
        assert (await stranger.get(href)).status_code == 404
        assert (await stranger.patch(href, json={"body": "Mine"})).status_code == 404
    [row] = await world.sql(
        "select changes from audit_logs where account_id = $1 and action = 'note.updated'", cast.account
    )
    assert row["changes"].startswith('{"note": ["First", ')


async def test_a_long_note_is_shown_whole_on_its_own_page(world: World) -> None:
    cast = await cast_of(world)
    async with world.browser(cast.owner) as client:
        await client.post(f"/contacts/{cast.contact}/notes", data={"body": "word " * 400 + "the end"})
        for page in (f"/contacts/{cast.contact}", f"/contacts/{cast.contact}/timeline"):
            shown = (await client.get(page)).text
            assert ("word …" in shown, "the end" in shown) == (True, False), page
            whole = re.search(r'href="(/notes/[^"]+)">Whole note</a>', shown)
            assert whole, page
            assert "the end" in (await client.get(whole[1])).text
