"""Two members change one contact: both succeed unless both changed the same field."""

import re

import pytest

from tests.support.crm_kit import create_contact, create_field
from tests.support.web_kit import HTML, JSON, PARTIAL
from tests.support.world import World


async def test_different_fields_never_conflict(world: World) -> None:
    who = await world.person()
    async with world.script(who) as script, world.browser(who) as client:
        plan = (await create_field(script, label="Plan", type="text"))["id"]
        contact = await create_contact(
            script, first_name="Ann", city="Oslo", owner=str(who.user_id), fields={plan: "pro"}
        )
        href, rev = f"/contacts/{contact['id']}", contact["rev"]
        form = await client.get(f"{href}/edit")
        sent = dict(re.findall(r'name="((?!account|inputs)[^"]+)" type="\w+" value="([^"]*)"', form.text))
        assert sent["city"] == "Oslo"
        # Meanwhile by JSON and in place, all on the first revision.
        assert (await script.patch(href, json={"city": "Bergen", "rev": rev})).status_code == 200
        assert (await script.patch(href, json={"owner": None, "rev": rev})).status_code == 200
        assert (await script.patch(href, json={"fields": {plan: "free"}, "rev": rev})).status_code == 200
        placed = await client.post(
            f"{href}/fields/company", data={"value": "Acme", "rev": rev}, headers=PARTIAL
        )
        assert (placed.status_code, "Acme" in placed.text) == (200, True)
        # The form sends every field as it was, and one that its author changed.
        saved = await client.post(
            href, data=sent | {"rev": rev, "owner": str(who.user_id), "first_name": "Anna"}
        )
        assert saved.status_code == 303, saved.text
        now = (await script.get(href)).json()["contact"]
        assert (now["first_name"], now["city"], now["company"]) == ("Anna", "Bergen", "Acme")
        assert (now["owner"], now["fields"][plan]) == (None, "free")
        # The same value twice, and a value that was changed back, are no conflict.
        assert (await script.patch(href, json={"city": "Bergen", "rev": rev})).status_code == 200
        await script.patch(href, json={"city": "Oslo"})
        assert (await script.patch(href, json={"city": "Moss", "rev": rev})).status_code == 200


async def test_one_field_twice_is_a_conflict_with_both_values(world: World) -> None:
    who = await world.person()
    other = await world.person("operator", who.account_id)
    async with world.script(who) as script, world.script(other) as second, world.browser(who) as client:
        contact = await create_contact(script, first_name="Ann", city="Oslo", company="Acme")
        href, rev = f"/contacts/{contact['id']}", contact["rev"]
        await second.patch(href, json={"city": "Bergen", "company": "Initech"})
        late = await script.patch(href, json={"city": "Moss", "first_name": "Anna", "rev": rev})
        assert late.status_code == 409
        problem = late.json()
        assert (problem["current"]["city"], problem["current"]["first_name"]) == ("Bergen", "Ann")
        [conflict] = problem["conflicts"]
        assert (conflict["field"], conflict["label"]) == ("city", "City")
        assert (conflict["yours"], conflict["theirs"], conflict["changed_by"]) == (
            "Moss",
            "Bergen",
            "Operator",
        )
        assert conflict["changed_at"]
        assert problem["detail"].startswith("Operator changed City after you opened it. Nothing was saved.")
        # In place, and as a page without a script.
        for headers in (PARTIAL, HTML):
            shown = await client.post(
                f"{href}/fields/city", data={"value": "Moss", "rev": rev}, headers=headers
            )
            assert shown.status_code == 409
            for text in ("Your value", "Moss", "Operator, <time", "Bergen", f'name="rev" value="{rev + 1}"'):
                assert text in shown.text, text
        # The form shows the conflict, and the current value of what its author left alone.
        form = {"city": "Moss", "company": "Acme", "first_name": "Anna", "rev": rev}
        again = await client.post(href, data=form)
        assert (again.status_code, "City: your value" in again.text) == (409, True)
        for name, value in (("city", "Moss"), ("first_name", "Anna"), ("company", "Initech")):
            assert re.search(f'name="{name}" type="\\w+" value="{value}"', again.text), name
        assert f'name="rev" value="{rev + 1}"' in again.text
        saved = await client.post(href, data=form | {"company": "Initech", "rev": rev + 1})
        assert saved.status_code == 303, "saving again is deliberate"
        now = (await script.get(href)).json()["contact"]
        assert (now["city"], now["first_name"], now["company"]) == ("Moss", "Anna", "Initech")
        # A form that was refused for another reason still shows its own revision.
        wrong = await client.post(href, data={"email": "nonsense", "city": "Oslo", "rev": rev})
        assert (wrong.status_code, f'name="rev" value="{rev}"' in wrong.text) == (422, True)


async def test_a_revision_without_an_entry_disputes_every_value_that_differs(world: World) -> None:
    """Entries of an earlier release have no revision."""
    async with world.script(await world.person()) as script:
        contact = await create_contact(script, first_name="Ann", city="Oslo")
        href = f"/contacts/{contact['id']}"
        await script.patch(href, json={"city": "Bergen"})
        await world.sql("update audit_logs set rev = null where subject_id = $1", contact["id"])
        late = await script.patch(href, json={"company": "Acme", "first_name": "Ann", "rev": contact["rev"]})
        assert (late.status_code, [entry["field"] for entry in late.json()["conflicts"]]) == (
            409,
            ["company"],
        )
        assert (await script.patch(href, json={"company": "Acme", "rev": 99})).status_code == 409


@pytest.mark.parametrize("scope", ["contacts:edit"])
async def test_who_may_not_read_sees_no_values_of_a_conflict(world: World, scope: str) -> None:
    async with world.script(await world.person()) as script:
        contact = await create_contact(script, first_name="Ann", city="Oslo")
        href = f"/contacts/{contact['id']}"
        await script.patch(href, json={"city": "Bergen"})
        created = (await script.post("/tokens", json={"name": "writer", "scopes": [scope]})).json()
        token = next(value for value in created.values() if str(value).startswith("swy_"))
        async with world.client(**JSON, authorization=f"Bearer {token}") as writer:
            late = await writer.patch(href, json={"city": "Moss", "rev": 1})
            assert (late.status_code, "Bergen" in late.text, "conflicts" in late.json()) == (
                409,
                False,
                False,
            )


async def test_owners_of_one_name_are_told_apart(world: World) -> None:
    who = await world.person()
    first, second = [str((await world.person("operator", who.account_id)).user_id) for _ in range(2)]
    async with world.script(who) as script:
        contact = await create_contact(script, first_name="Ann", owner=first)
        href, rev = f"/contacts/{contact['id']}", contact["rev"]
        await script.patch(href, json={"owner": second})
        late = await script.patch(href, json={"owner": str(who.user_id), "rev": rev})
        assert (late.status_code, [entry["field"] for entry in late.json()["conflicts"]]) == (409, ["owner"])


async def test_further_addresses_conflict_only_with_changes_of_their_own(world: World) -> None:
    async with world.script(await world.person()) as script:
        work, home = [{"value": f"ann@{name}.example", "label": name} for name in ("work", "home")]
        contact = await create_contact(script, email="ann@acme.example", other_emails=[work])
        href, rev = f"/contacts/{contact['id']}", contact["rev"]
        await script.patch(href, json={"city": "Oslo"})
        added = await script.patch(href, json={"other_emails": [work, home], "rev": rev})
        assert added.status_code == 200, added.text
        # Left as it was, it undoes nothing; changed too, it is a conflict.
        same = await script.patch(href, json={"other_emails": [work], "company": "Acme", "rev": rev})
        assert same.status_code == 200, same.text
        late = await script.patch(href, json={"other_emails": [], "rev": rev})
        assert late.status_code == 409
        [conflict] = late.json()["conflicts"]
        assert (conflict["field"], conflict["label"]) == ("other_emails", "Other emails")
        assert (conflict["yours"], conflict["theirs"]) == (
            "",
            "ann@work.example (work), ann@home.example (home)",
        )
        now = (await script.get(href)).json()["contact"]
        assert (now["other_emails"], now["company"]) == ([work, home], "Acme")
