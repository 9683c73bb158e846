"""Approvals: questions that enrollments wait with."""

import httpx
import pytest

from db.ids import uuid7
from tests.support.approval_kit import PendingApproval, ask
from tests.support.fakes import Outside, TestClock
from tests.support.web_kit import PARTIAL
from tests.support.world import World


@pytest.fixture
async def pending_approval(world: World, clock: TestClock, outside: Outside) -> PendingApproval:
    return await ask(world, clock, outside)


async def lane(pending_approval: PendingApproval) -> str:
    await pending_approval.stage.drain()
    rows = await pending_approval.stage.sql(
        "select x.detail::text as said, x.outcome from enrollment_executions x join enrollments e "
        "on e.id = x.enrollment_id where e.contact_id = $1 order by x.seq", pending_approval.contact,
    )  # fmt: skip
    return str(rows[0]["said"])


async def test_answer_by_json(pending_approval: PendingApproval) -> None:
    async with pending_approval.world.script(pending_approval.owner) as client:
        listed = (await client.get("/approvals")).json()
        [item] = listed["items"]
        assert item["question"] == "Call Ann?"
        assert [option["name"] for option in item["options"]] == ["Yes", "No"]
        [action] = listed["actions"]
        assert action["href"] == pending_approval.path
        assert action["fields"][0]["options"] == ["a1", "a2"]
        assert (await client.post(pending_approval.path, json={"option": "maybe"})).status_code == 422
        taken = await client.post(pending_approval.path, json={"option": "a2"})
        assert taken.status_code == 200, taken.text
        assert taken.json()["items"] == []
        assert taken.json()["closed"][0]["answer"] == "No"
        again = await client.post(pending_approval.path, json={"option": "a1"})
        assert again.status_code == 409
        assert "already answered this: No" in again.text
    row = await pending_approval.row()
    assert (row["status"], row["answer"], row["answered_by"]) == (
        "answered",
        "a2",
        pending_approval.owner.name,
    )
    assert "a2" in await lane(pending_approval)
    assert (await pending_approval.stage.enrollment(pending_approval.contact))["status"] == "completed"
    audit = await pending_approval.world.sql(
        "select changes from audit_logs where subject_id = $1", str(pending_approval.approval)
    )
    assert len(audit) == 1


async def test_answer_in_a_browser_from_both_pages(pending_approval: PendingApproval) -> None:
    enrollment = await pending_approval.stage.enrollment(pending_approval.contact)
    async with pending_approval.world.browser(pending_approval.owner) as client:
        for path in ("/approvals", f"/enrollments/{enrollment['id']}"):
            page = await client.get(path)
            assert "Call Ann?" in page.text
            assert f'action="{pending_approval.path}"' in page.text
            assert '<span class="count">1</span>' in page.text, "the navigation counts it"
        answer = await client.post(pending_approval.path, data={"option": "a1"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/approvals")
        assert "Yes" in (await client.get("/approvals")).text


async def test_answer_returns_the_page_fragment(pending_approval: PendingApproval) -> None:
    async with pending_approval.world.browser(pending_approval.owner) as client:
        part = await client.get("/approvals", headers=PARTIAL)
        assert "<html" not in part.text
        answer = await client.post(pending_approval.path, data={"option": "a1"}, headers=PARTIAL)
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert "Recently closed" in answer.text


async def test_answer_to_a_closed_approval_is_a_conflict(pending_approval: PendingApproval) -> None:
    pending_approval.stage.clock.forward(days=3)
    async with pending_approval.world.script(pending_approval.owner) as client:
        late = await client.post(pending_approval.path, json={"option": "a1"})
        assert late.status_code == 409
        await pending_approval.stage.drain()
        assert (await client.post(pending_approval.path, json={"option": "a1"})).status_code == 409
        assert "no answer in time" not in late.text
        settled = (await client.get("/approvals")).json()["closed"]
        assert [decision["status"] for decision in settled] == ["expired"]


async def test_an_approval_of_an_exited_enrollment_is_refused(pending_approval: PendingApproval) -> None:
    await pending_approval.stage.sql(
        "update enrollments set status = 'exited', ended_at = now() where contact_id = $1",
        pending_approval.contact,
    )
    async with pending_approval.world.script(pending_approval.owner) as client:
        assert (await client.post(pending_approval.path, json={"option": "a1"})).status_code == 409


async def test_a_paused_approval_resumes(pending_approval: PendingApproval) -> None:
    await pending_approval.stage.sql(
        "update enrollments set paused_at = now(), due_at = null where contact_id = $1",
        pending_approval.contact,
    )
    async with pending_approval.world.script(pending_approval.owner) as client:
        assert (await client.post(pending_approval.path, json={"option": "a1"})).status_code == 200
        enrollment = await pending_approval.stage.enrollment(pending_approval.contact)
        assert enrollment["due_at"] is None
        await client.post(f"/enrollments/{enrollment['id']}/pause/deletion")
    assert "a1" in await lane(pending_approval)


async def status_of(client: httpx.AsyncClient, path: str) -> int:
    return (await client.post(path, json={"option": "a1"})).status_code


async def test_without_named_members_operators_may_answer(pending_approval: PendingApproval) -> None:
    world, account = pending_approval.world, pending_approval.owner.account_id
    viewer, stranger = await world.person("viewer", account), await world.person()
    async with world.script(stranger) as client:
        assert await status_of(client, pending_approval.path) == 404
    async with world.script(viewer) as client:
        assert await status_of(client, pending_approval.path) == 403
        assert (await client.get("/approvals")).json()["items"] == []
    async with world.script(await world.person("operator", account)) as client:
        assert await status_of(client, pending_approval.path) == 200


async def test_only_named_members_may_answer(world: World, clock: TestClock, outside: Outside) -> None:
    named = await world.person("viewer", await world.account())
    pending_approval = await ask(world, clock, outside, [named.user_id])
    await world.join(named.user_id, pending_approval.owner.account_id, "viewer")
    other = await world.person("viewer", pending_approval.owner.account_id)
    async with world.script(pending_approval.owner) as client:
        assert await status_of(client, pending_approval.path) == 403, "the question is for somebody else"
        assert (await client.get("/approvals")).json()["items"] == []
    async with world.script(other) as client:
        assert await status_of(client, pending_approval.path) == 403
    await world.sql(
        "update approvals set users = $2::jsonb where id = $1",
        pending_approval.approval,
        f'["{other.user_id}"]',
    )
    async with world.script(other) as client:
        assert len((await client.get("/approvals")).json()["items"]) == 1
        assert await status_of(client, pending_approval.path) == 200


async def test_an_unknown_approval_is_not_found(pending_approval: PendingApproval) -> None:
    async with pending_approval.world.script(pending_approval.owner) as client:
        assert await status_of(client, f"/approvals/{uuid7()}/answer") == 404
