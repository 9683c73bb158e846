"""Commands on one enrollment: pause, resume, skip, jump; by form, by htmx and as JSON."""

from typing import Any

import pytest

from app.engine.advancing.runner import advance_enrollments
from app.engine.effects.dispatcher import send_effects
from app.engine.matching.matcher import match_events
from app.work import SYSTEM, open_work
from db.ids import uuid7
from tests.support.sample_account import Cast, cast_of
from tests.support.web_kit import PARTIAL
from tests.support.world import World


async def engine(world: World, cast: Cast) -> None:
    for task in (match_events, advance_enrollments):
        async with open_work(world.runtime, cast.account, SYSTEM) as work:
            await task(work)
    await send_effects(world.runtime, cast.account)


async def started(world: World, effect: str = "sent") -> Cast:
    """An enrollment that waits at the second step and has not met the goal."""
    cast = await cast_of(world)
    await world.sql("update contacts set city = 'Paris' where id = $1", cast.contact)
    await world.sql("update effects set status = $2 where id = $1", cast.effect, effect)
    return cast


async def state(world: World, cast: Cast) -> Any:
    [row] = await world.sql("select * from enrollments where id = $1", cast.enrollment)
    return row


async def test_pause_and_resume(world: World) -> None:
    cast = await started(world)
    base = f"/enrollments/{cast.enrollment}"
    async with world.script(cast.owner) as client:
        done = await client.post(f"{base}/pause")
        assert (done.status_code, done.json()["wait_reason"]) == (200, "paused_enrollment")
        assert done.json()["waits_for"].startswith("Paused since")
        assert {action["name"] for action in done.json()["actions"]} == {"resume", "jump", "remove"}
        assert (await client.post(f"{base}/pause")).status_code == 409
        assert (await client.post(f"{base}/skip")).status_code == 409
        await world.sql("update enrollments set wait_until = now() where id = $1", cast.enrollment)
        await engine(world, cast)
        assert (await state(world, cast))["step_key"] == "s2", "a wait that ends wakes nobody who is paused"
        assert (await client.post(f"{base}/pause/deletion")).status_code == 200
        assert (await client.post(f"{base}/pause/deletion")).status_code == 409
    await engine(world, cast)
    row = await state(world, cast)
    assert (row["step_key"], row["wait_reason"], row["paused_at"]) == ("s4", "condition", None)
    audit = await world.audit(cast.account)
    assert {("enrollment.paused", "enrollment"), ("enrollment.resumed", "enrollment")} <= set(audit)


async def test_wait_continues_after_a_pause(world: World) -> None:
    cast = await started(world)
    before = (await state(world, cast))["wait_until"]
    async with world.script(cast.owner) as client:
        await client.post(f"/enrollments/{cast.enrollment}/pause")
        await client.post(f"/enrollments/{cast.enrollment}/pause/deletion")
    await engine(world, cast)
    row = await state(world, cast)
    assert (row["step_key"], row["wait_until"], row["due_at"]) == ("s2", before, before)


async def test_nothing_is_sent_for_a_paused_enrollment(world: World) -> None:
    cast = await started(world)
    async with world.script(cast.owner) as client:
        assert (
            await client.post(f"/enrollments/{cast.enrollment}/jump", json={"step": "s1"})
        ).status_code == 200
        async with open_work(world.runtime, cast.account, SYSTEM) as work:
            await advance_enrollments(work)
        assert (await client.post(f"/enrollments/{cast.enrollment}/pause")).status_code == 200
        await engine(world, cast)
        [effect] = await world.sql(
            "select status, attempts from effects where enrollment_id = $1 and seq = 3", cast.enrollment
        )
        assert tuple(effect) == ("pending", 0)
        await client.post(f"/enrollments/{cast.enrollment}/pause/deletion")
    await engine(world, cast)
    await engine(world, cast)
    row = await state(world, cast)
    assert (row["step_key"], row["seq"]) == ("s2", 4)


async def test_jump_closes_the_visit_and_cancels_unsent_effects(world: World) -> None:
    cast = await started(world, "pending")
    base = f"/enrollments/{cast.enrollment}"
    form = {"account": str(cast.account)}
    async with world.browser(cast.owner) as client:
        page = await client.get(base)
        assert f'action="{base}/jump"' in page.text
        wrong = await client.post(f"{base}/jump", data=form | {"step": "s99"})
        assert (wrong.status_code, "Choose a step of version 1" in wrong.text) == (422, True)
        done = await client.post(f"{base}/jump", data=form | {"step": "s4"})
        assert (done.status_code, done.headers["location"]) == (303, base)
    [visit] = await world.sql(
        "select outcome, detail ->> 'reason' as reason from enrollment_executions"
        " where enrollment_id = $1 and seq = 2",
        cast.enrollment,
    )
    assert (visit["outcome"], visit["reason"]) == ("left", "moved")
    [effect] = await world.sql("select status from effects where id = $1", cast.effect)
    assert effect["status"] == "cancelled"
    await engine(world, cast)
    row = await state(world, cast)
    assert (row["step_key"], row["seq"], row["wait_reason"]) == ("s4", 3, "condition")
    assert ("enrollment.moved", "enrollment") in await world.audit(cast.account)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [("unknown", "We can't tell whether"), ("claimed", "being sent for this enrollment right now")],
)
async def test_jump_is_refused_while_an_effect_is_in_flight(world: World, status: str, sentence: str) -> None:
    cast = await started(world, status)
    await world.sql("update effects set lease_until = now() + interval '1 hour' where id = $1", cast.effect)
    async with world.script(cast.owner) as client:
        refused = await client.post(f"/enrollments/{cast.enrollment}/jump", json={"step": "s4"})
        assert (refused.status_code, sentence in refused.text) == (409, True)
        page = (await client.get(f"/enrollments/{cast.enrollment}")).json()
        assert "jump" not in {action["name"] for action in page["actions"]}
    assert (await state(world, cast))["step_key"] == "s2"


async def test_an_effect_of_an_ended_enrollment_is_marked_as_not_sent(world: World) -> None:
    cast = await started(world, "unknown")
    path = f"/enrollments/{cast.enrollment}"
    async with world.browser(cast.owner) as client:
        assert (await client.post(f"{path}/removal", data={"account": str(cast.account)})).status_code == 303
        shown = (await client.get(path)).text
        assert ("Mark as not sent" in shown, "Send again" in shown) == (True, False)
        done = await client.post(
            f"/effects/{cast.effect}/settlement", data={"account": str(cast.account), "sent": "false"}
        )
        page = (await client.get(done.headers["location"])).text
        assert "Marked as not sent. The enrollment has ended, so it will not be sent again." in page
        assert "Sending again." not in page


async def test_failed_enrollment_continues_at_another_step(world: World) -> None:
    cast = await started(world)
    await world.sql(
        "update enrollments set status = 'failed', due_at = null, wait_until = null, wait_reason = null,"
        " error = 'no', exit_reason = 'failed_permanent', ended_at = now() where id = $1", cast.enrollment,
    )  # fmt: skip
    async with world.script(cast.owner) as client:
        again = uuid7()
        await world.sql(
            "insert into enrollments (account_id, id, workflow_id, version, contact_id, event_id,"
            " root_event_id, entered_at) values ($1, $2, $3, 1, $4, $2, $2, now())",
            cast.account, again, cast.workflow, cast.contact,
        )  # fmt: skip
        twice = await client.post(f"/enrollments/{cast.enrollment}/jump", json={"step": "s4"})
        assert (twice.status_code, "with another enrollment" in twice.text) == (409, True)
        await world.sql("update enrollments set status = 'exited', due_at = null where id = $1", again)
        done = await client.post(f"/enrollments/{cast.enrollment}/jump", json={"step": "s4"})
        assert (done.status_code, done.json()["status"]) == (200, "active")
        gone = await client.post(f"/enrollments/{again}/jump", json={"step": "s4"})
        assert (gone.status_code, "already ended" in gone.text) == (409, True)
    await engine(world, cast)
    assert (await state(world, cast))["step_key"] == "s4"


async def test_an_htmx_button_gets_the_fragment(world: World) -> None:
    cast = await started(world)
    async with world.browser(cast.owner) as client:
        done = await client.post(
            f"/enrollments/{cast.enrollment}/pause", data={"account": str(cast.account)}, headers=PARTIAL
        )
        assert done.status_code == 303
        page = await client.get(done.headers["location"], headers=PARTIAL)
        assert ("Paused since" in page.text, "<html" in page.text) == (True, False)
