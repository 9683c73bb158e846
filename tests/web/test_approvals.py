"""Questions that workflows ask people."""

from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest

from app.engine.core.steps import Approval as ApprovalStep
from app.engine.core.steps import ApprovalOption
from app.engine.core.triggers import ContactCreated
from db.ids import uuid7
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.web_kit import PARTIAL
from tests.support.world import Somebody, World


@dataclass
class Asked:
    """One contact waits with an open question in a real workflow."""

    world: World
    stage: Stage
    owner: Somebody
    contact: UUID
    approval: UUID

    @property
    def path(self) -> str:
        return f"/approvals/{self.approval}/answer"

    async def row(self) -> dict[str, object]:
        return dict(await self.stage.one("select * from approvals where id = $1", self.approval))


async def ask(world: World, clock: TestClock, outside: Outside, users: list[UUID] | None = None) -> Asked:
    owner = await world.person()
    stage = Stage(world, owner.account_id, clock, outside)
    options = [ApprovalOption(key="a1", name="Yes"), ApprovalOption(key="a2", name="No")]
    step = ApprovalStep(question="Call {{ contact.first_name }}?", options=options, users=users or [])
    await stage.workflow([step], ContactCreated(key="t1"))
    contact = await stage.contact()
    await stage.emit("contact.created", contact)
    await stage.drain()
    row = await stage.one("select id from approvals where contact_id = $1", contact)
    return Asked(world, stage, owner, contact, row["id"])


@pytest.fixture
async def asked(world: World, clock: TestClock, outside: Outside) -> Asked:
    return await ask(world, clock, outside)


async def lane(asked: Asked) -> str:
    await asked.stage.drain()
    rows = await asked.stage.sql(
        "select x.detail::text as said, x.outcome from enrollment_executions x join enrollments e "
        "on e.id = x.enrollment_id where e.contact_id = $1 order by x.seq", asked.contact,
    )  # fmt: skip
    return str(rows[0]["said"])


async def test_by_script(asked: Asked) -> None:
    async with asked.world.script(asked.owner) as client:
        listed = (await client.get("/approvals")).json()
        [one] = listed["items"]
        assert one["question"] == "Call Ann?"
        assert [option["name"] for option in one["options"]] == ["Yes", "No"]
        [action] = listed["actions"]
        assert action["href"] == asked.path
        assert action["fields"][0]["options"] == ["a1", "a2"]
        assert (await client.post(asked.path, json={"option": "maybe"})).status_code == 422
        taken = await client.post(asked.path, json={"option": "a2"})
        assert taken.status_code == 200, taken.text
        assert taken.json()["items"] == []
        assert taken.json()["settled"][0]["answer"] == "No"
        again = await client.post(asked.path, json={"option": "a1"})
        assert again.status_code == 409
        assert "answered this already: No" in again.text
    row = await asked.row()
    assert (row["status"], row["answer"], row["answered_by"]) == ("answered", "a2", asked.owner.name)
    assert "a2" in await lane(asked)
    assert (await asked.stage.enrollment(asked.contact))["status"] == "completed"
    audit = await asked.world.sql("select changes from audit_logs where subject_id = $1", str(asked.approval))
    assert len(audit) == 1


async def test_by_browser_from_both_pages(asked: Asked) -> None:
    enrollment = await asked.stage.enrollment(asked.contact)
    async with asked.world.browser(asked.owner) as client:
        for path in ("/approvals", f"/enrollments/{enrollment['id']}"):
            page = await client.get(path)
            assert "Call Ann?" in page.text
            assert f'action="{asked.path}"' in page.text
            assert '<span class="n">1</span>' in page.text, "the navigation counts it"
        answer = await client.post(asked.path, data={"option": "a1"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/approvals")
        assert "Yes" in (await client.get("/approvals")).text


async def test_as_a_part_of_the_page(asked: Asked) -> None:
    async with asked.world.browser(asked.owner) as client:
        part = await client.get("/approvals", headers=PARTIAL)
        assert "<html" not in part.text
        answer = await client.post(asked.path, data={"option": "a1"}, headers=PARTIAL)
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert "Settled lately" in answer.text


async def test_too_late_is_a_conflict(asked: Asked) -> None:
    asked.stage.clock.forward(days=3)
    async with asked.world.script(asked.owner) as client:
        late = await client.post(asked.path, json={"option": "a1"})
        assert late.status_code == 409
        await asked.stage.drain()
        assert (await client.post(asked.path, json={"option": "a1"})).status_code == 409
        assert "nobody answered in time" not in late.text
        settled = (await client.get("/approvals")).json()["settled"]
        assert [one["status"] for one in settled] == ["expired"]


async def test_who_left_is_not_answered_for(asked: Asked) -> None:
    await asked.stage.sql(
        "update enrollments set status = 'exited', ended_at = now() where contact_id = $1", asked.contact
    )
    async with asked.world.script(asked.owner) as client:
        assert (await client.post(asked.path, json={"option": "a1"})).status_code == 409


async def test_a_paused_one_goes_on_when_it_is_resumed(asked: Asked) -> None:
    await asked.stage.sql(
        "update enrollments set paused_at = now(), due_at = null where contact_id = $1", asked.contact
    )
    async with asked.world.script(asked.owner) as client:
        assert (await client.post(asked.path, json={"option": "a1"})).status_code == 200
        enrollment = await asked.stage.enrollment(asked.contact)
        assert enrollment["due_at"] is None
        await client.post(f"/enrollments/{enrollment['id']}/pause/deletion")
    assert "a1" in await lane(asked)


async def status_of(client: httpx.AsyncClient, path: str) -> int:
    return (await client.post(path, json={"option": "a1"})).status_code


async def test_who_may_answer_where_nobody_is_named(asked: Asked) -> None:
    world, account = asked.world, asked.owner.account_id
    viewer, stranger = await world.person("viewer", account), await world.person()
    async with world.script(stranger) as client:
        assert await status_of(client, asked.path) == 404
    async with world.script(viewer) as client:
        assert await status_of(client, asked.path) == 403
        assert (await client.get("/approvals")).json()["items"] == []
    async with world.script(await world.person("operator", account)) as client:
        assert await status_of(client, asked.path) == 200


async def test_who_may_answer_where_somebody_is_named(
    world: World, clock: TestClock, outside: Outside
) -> None:
    named = await world.person("viewer", await world.account())
    asked = await ask(world, clock, outside, [named.user_id])
    await world.join(named.user_id, asked.owner.account_id, "viewer")
    other = await world.person("viewer", asked.owner.account_id)
    async with world.script(asked.owner) as client:
        assert await status_of(client, asked.path) == 403, "the question is for somebody else"
        assert (await client.get("/approvals")).json()["items"] == []
    async with world.script(other) as client:
        assert await status_of(client, asked.path) == 403
    await world.sql(
        "update approvals set users = $2::jsonb where id = $1", asked.approval, f'["{other.user_id}"]'
    )
    async with world.script(other) as client:
        assert len((await client.get("/approvals")).json()["items"]) == 1
        assert await status_of(client, asked.path) == 200


async def test_an_unknown_one_is_not_found(asked: Asked) -> None:
    async with asked.world.script(asked.owner) as client:
        assert await status_of(client, f"/approvals/{uuid7()}/answer") == 404
