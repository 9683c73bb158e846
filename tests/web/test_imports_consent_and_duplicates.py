"""What an import must not do to contacts: grant a denied consent, or merge two into one."""

from typing import Any

import pytest

from app.imports import check_job, run_job
from tests.support.imports_kit import act, counts, import_all, run_queued_jobs, show, upload
from tests.support.world import AccountMember, World

CLEANED = b"""Email Address,First Name,Status
u1@people.example,Dolor,unsubscribed
u2@people.example,Simet,Cleaned
u3@people.example,Lorem,subscribed
u4@people.example,Ipsum,
u5@people.example,Amet,pending
u6@people.example,Elit,pending
"""


async def consents(world: World, who: AccountMember, channel: str = "email") -> dict[str, str]:
    rows = await world.sql(
        f"select email, {channel}_consent as state from contacts where account_id = $1",  # noqa: S608 -- a name of ours
        who.account_id,
    )
    return {row["email"].partition("@")[0]: row["state"] for row in rows}


async def test_an_imported_unsubscribed_list_is_denied(world: World) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        page = await upload(client, CLEANED)
        assert {"email_consent", "sms_consent"} <= {choice["key"] for choice in page["choices"]}
        page = await act(client, page, "map", columns={"2": "email_consent"})
        await run_queued_jobs(world, who)
        page = await show(client, page)
        assert counts(page) == (4, 0, 0, 2)
        bad = next(verdict for verdict in page["verdicts"] if verdict["verdict"] == "bad")
        [why] = bad["reasons"]
        assert (why["count"], "“pending”" in why["reason"]) == (2, True)
        new = next(verdict for verdict in page["verdicts"] if verdict["verdict"] == "new")
        assert "denied" in new["rows"][0]["detail"]
        page = await act(client, page, "run")
        await run_queued_jobs(world, who)
    assert await consents(world, who) == {"u1": "denied", "u2": "denied", "u3": "granted", "u4": "unknown"}
    entries = await world.sql(
        "select changes::jsonb -> 'email_consent' ->> 1 as state from audit_logs"
        " where account_id = $1 and action = 'contact.created'",
        who.account_id,
    )
    assert sorted(str(row["state"]) for row in entries) == ["None", "denied", "denied", "granted"]


async def test_denied_consent_stays_denied_and_denial_emits_an_event(world: World) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        for name, consent in (("u1", "granted"), ("u3", "denied")):
            contact = {"email": f"{name}@people.example", "email_consent": consent}
            assert (await client.post("/contacts", json=contact)).status_code == 201
        page = await import_all(world, who, client, CLEANED, columns={"2": "email_consent"})
    assert await consents(world, who) == {"u1": "denied", "u2": "denied", "u3": "denied", "u4": "unknown"}
    events = await world.sql(
        "select data from events where account_id = $1 and kind = 'contact.updated'", who.account_id
    )
    assert any('"email_consent": ["granted", "denied"]' in row["data"] for row in events)
    assert not any('"granted"]' in row["data"] for row in events)
    assert page["item"]["changed"] == 2


async def test_a_yes_under_opted_out_is_a_denial(world: World) -> None:
    who = await world.person("operator")
    file = b"Email,Email Opt Out,SMS Opt Out\na@people.example,true,\nb@people.example,false,yes\n"
    async with world.script(who) as client:
        await import_all(world, who, client, file)
    assert await consents(world, who) == {"a": "denied", "b": "unknown"}
    assert await consents(world, who, "sms") == {"a": "unknown", "b": "denied"}


TWICE = b"""Email,First Name,Status,SMS
u1@people.example,Ann,subscribed,yes
u2@people.example,Bob,,
u3@people.example,Cy,,
u4@people.example,Di,subscribed,
U1@people.example,Ann,Unsubscribed,
u2@people.example,Bob,cleaned,
u3@people.example,Cy,subscribed,
u1@people.example,Ann,subscribed,no
"""


@pytest.mark.parametrize("batch", [500, 3, 1])
async def test_denial_on_either_line_of_one_contact_counts(
    world: World, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Whichever comes first, in the same batch or not; also for a contact that did not change otherwise."""
    for job in (check_job, run_job):
        monkeypatch.setattr(job, "BATCH", batch)
    who = await world.person("operator")
    columns = {"2": "email_consent", "3": "sms_consent"}
    async with world.script(who) as client:
        old = {"email": "u2@people.example", "first_name": "Bob"}
        assert (await client.post("/contacts", json=old)).status_code == 201
        page = await act(client, await upload(client, TWICE), "map", columns=columns)
        await run_queued_jobs(world, who)
        page = await show(client, page)
        assert counts(page) == (3, 1, 0, 4)
        bad = page["verdicts"][3]["rows"]
        assert {row["line"]: row["reason"] for row in bad} == {
            6: "Same email as line 2. Its denied consent was copied to that line.",
            7: "Same email as line 3. Its denied consent was copied to that line.",
            8: "Same email as line 4.",
            9: "Same email as line 2. Its denied consent was copied to that line.",
        }
        page = await act(client, page, "run")
        await run_queued_jobs(world, who)
        assert counts(await show(client, page)) == (3, 1, 0, 4)
    assert await consents(world, who) == {"u1": "denied", "u2": "denied", "u3": "unknown", "u4": "granted"}
    assert (await consents(world, who, "sms"))["u1"] == "denied"


async def test_denial_counts_for_two_lines_matched_to_one_contact(world: World) -> None:
    """By the external id and by the email: the second is refused."""
    who = await world.person("operator")
    file = b"Id,Email,First Name,Status\n7,,Ann,subscribed\n,ann@people.example,Ann,unsubscribed\n"
    async with world.script(who) as client:
        old = {"email": "ann@people.example", "first_name": "Ann", "external_id": "7"}
        assert (await client.post("/contacts", json=old)).status_code == 201
        columns = {"0": "external_id", "3": "email_consent"}
        page = await import_all(world, who, client, file, columns=columns)
        assert counts(page) == (0, 1, 0, 1)
        [bad] = page["verdicts"][3]["rows"]
        assert bad["reason"] == "Same contact as line 2. Its denied consent was copied to that line."
    assert await consents(world, who) == {"ann": "denied"}


FIRST = b"id,First Name,Last Name,Email\n1,Ada,Marsh,ada@one.example\n2,Bo,Vega,bo@one.example\n"
SECOND = b"Record ID,First Name,Last Name,Email\n1,Cy,Rossi,cy@two.example\n2,Di,Novak,di@two.example\n"


async def people(world: World, who: AccountMember) -> list[tuple[str, str, str | None]]:
    rows = await world.sql(
        "select first_name, email, external_id from contacts where account_id = $1 order by email",
        who.account_id,
    )
    return [(row["first_name"], row["email"], row["external_id"]) for row in rows]


async def test_ids_of_two_systems_do_not_merge_contacts(world: World) -> None:
    who = await world.person("operator")
    async with world.script(who) as client:
        await import_all(world, who, client, FIRST)
        page = await import_all(world, who, client, SECOND)
        assert counts(page) == (2, 0, 0, 0)
        assert page["matched_by_external_id"] is None
    assert [name for name, *_ in await people(world, who)] == ["Ada", "Bo", "Cy", "Di"]


async def test_matches_by_external_id_are_a_group_of_the_preview(world: World) -> None:
    who = await world.person("operator")
    same = SECOND + b"3,Em,Silva,em@two.example\n"
    async with world.script(who) as client:
        await import_all(world, who, client, FIRST, columns={"0": "external_id"})
        page = await act(client, await upload(client, same), "map", columns={"0": "external_id"})
        await run_queued_jobs(world, who)
        page = await show(client, page)
        assert counts(page) == (1, 2, 0, 0)
        group: dict[str, Any] = page["matched_by_external_id"]
        assert (group["count"], group["differing"]) == (2, 2)
        row = group["rows"][0]
        assert (row["title"], row["contact_name"], row["external_id"]) == ("Cy Rossi", "Ada Marsh", "1")
        assert row["contact_detail"] == "ada@one.example"
        again = await act(client, await upload(client, FIRST), "map", columns={"0": "external_id"})
        await run_queued_jobs(world, who)
        assert (await show(client, again))["matched_by_external_id"]["differing"] == 0
    async with world.browser(who) as browser:
        text = (await browser.get(f"/imports/{page['item']['id']}")).text
        assert "Matched by external ID" in text
        assert "Ada Marsh" in text
        assert "a different name or email" in text


async def test_external_id_matches_only_the_contact_of_the_preview(world: World) -> None:
    """Two files are checked before either is written: the preview of the second shows no match."""
    who = await world.person("operator")
    async with world.script(who) as client:
        pages = [
            await act(client, await upload(client, file), "map", columns={"0": "external_id"})
            for file in (FIRST, SECOND)
        ]
        await run_queued_jobs(world, who)
        pages = [await show(client, page) for page in pages]
        assert [counts(page) for page in pages] == [(2, 0, 0, 0)] * 2
        for page in pages:
            await act(client, page, "run")
            await run_queued_jobs(world, who)
        last = await show(client, pages[1])
        assert counts(last) == (0, 0, 0, 2)
        assert "after the preview" in last["verdicts"][3]["rows"][0]["reason"]
    assert [name for name, *_ in await people(world, who)] == ["Ada", "Bo"]
