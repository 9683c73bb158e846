"""Enrollments: lists, one path, and the buttons on them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from app.engine.advancing.runner import advance_enrollments
from app.engine.matching.matcher import match_events
from app.enrollments import pages
from app.enrollments.labels import moment_label, reason_of, visit_note, waits_for
from app.work import SYSTEM, open_work
from db.ids import uuid7
from db.queries.enrollment_pages import ListedEnrollment
from tests.support.sample_account import Cast, cast_of, completed
from tests.support.world import World

NOW = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
VERBS: dict[str, dict[str, str]] = {
    "removal": {}, "skip": {}, "retry": {}, "pause": {}, "pause/deletion": {}, "jump": {"step": "s1"},
}  # fmt: skip


async def engine(world: World, account: UUID) -> None:
    """What a worker does for an account, without effects."""
    for task in (match_events, advance_enrollments):
        async with open_work(world.runtime, account, SYSTEM) as work:
            await task(work)


async def started(world: World) -> Cast:
    """An enrollment that waits and has not met the goal."""
    cast = await cast_of(world)
    await world.sql("update contacts set city = 'Paris' where id = $1", cast.contact)
    return cast


async def state(world: World, cast: Cast) -> Any:
    [row] = await world.sql(
        "select status, step_key, wait_reason, exit_reason, seq, error from enrollments where id = $1",
        cast.enrollment,
    )
    return row


async def test_lists_show_wait_reasons(world: World) -> None:
    cast = await started(world)
    async with world.script(cast.owner) as client:
        listed = (await client.get("/enrollments")).json()
        assert [item["id"] for item in listed["items"]] == [str(cast.enrollment)]
        assert "“1 minute”." in listed["items"][0]["waits_for"]
        assert listed["counts"]["active"] == 1
        for query, count in (("status=failed", 0), ("status=active", 1), ("q=lovelace", 1), ("q=%25", 0)):
            items = (await client.get(f"/enrollments?{query}")).json()["items"]
            assert len(items) == count, query
        of = f"/workflows/{cast.workflow}/enrollments"
        assert len((await client.get(f"{of}?step=s2")).json()["items"]) == 1
        assert not (await client.get(f"{of}?step=s1")).json()["items"]
        assert (await client.get("/enrollments?status=odd")).status_code in (400, 422)
        assert (await client.get(f"/workflows/{uuid7()}/enrollments")).status_code == 404
    async with world.browser(cast.owner) as client:
        for path in ("/enrollments", of, f"/enrollments/{cast.enrollment}"):
            page = await client.get(path)
            assert (page.status_code, "Ada Lovelace" in page.text) == (200, True), path


async def test_counts_stop_at_their_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cast = await started(world)
    other = await world.sql(
        "insert into workflows (account_id, id, name) values ($1, $2, 'Empty') returning id",
        cast.owner.account_id, uuid7(),
    )  # fmt: skip
    await completed(world, cast, 4)
    monkeypatch.setattr(pages, "MOST_COUNTED_IN_LIST", 2)
    none = dict.fromkeys(("incomplete", "exited", "failed"), 0)
    async with world.script(cast.owner) as client:
        listed = (await client.get("/enrollments")).json()
        assert listed["counts"] == {"active": 1, "completed": 2, **none}
        assert (listed["total"], listed["counted_to"]) == (2, 2)
        empty = (await client.get(f"/workflows/{other[0]['id']}/enrollments")).json()
        assert (set(empty["counts"].values()), empty["total"]) == ({0}, 0)
    async with world.browser(cast.owner) as client:
        page = (await client.get("/enrollments")).text
        assert "2+</span>" in page
        assert "1+" not in page


async def test_page_shows_path_reason_and_effects(world: World) -> None:
    cast = await started(world)
    async with world.script(cast.owner) as client:
        page = (await client.get(f"/enrollments/{cast.enrollment}")).json()
    assert [(visit["seq"], visit["outcome"]) for visit in page["path"]] == [(1, "sent"), (2, None)]
    assert page["path"][0]["effect"]["status"] == "unknown"
    assert page["decision"]["sentence"] == "A tag was added by a member."
    names = {visit["name"] for visit in page["actions"]}
    assert names == {"pause", "skip", "remove", f"settle:{cast.effect}"}


async def test_viewer_reads_and_cannot_change(world: World) -> None:
    cast = await started(world)
    viewer = await world.person("viewer", cast.account)
    async with world.script(viewer) as client:
        page = (await client.get(f"/enrollments/{cast.enrollment}")).json()
        assert page["actions"] == []
        for path, body in VERBS.items():
            done = await client.post(f"/enrollments/{cast.enrollment}/{path}", json=body)
            assert done.status_code == 403
        settled = await client.post(f"/effects/{cast.effect}/settlement", json={"sent": True})
        assert settled.status_code == 403


async def test_adding_by_hand_enters_through_the_matcher(world: World) -> None:
    cast = await started(world)
    contact = uuid7()
    await world.sql(
        "insert into contacts (account_id, id, email, city) values ($1, $2, $3, 'Paris')",
        cast.account, contact, f"{contact.hex}@x.example",
    )  # fmt: skip
    of = f"/workflows/{cast.workflow}/enrollments"
    async with world.browser(cast.owner) as client:
        form = {"account": str(cast.account), "contact": f" {contact.hex}@X.example "}
        assert (await client.post(of, data=form)).status_code == 303
        wrong = await client.post(of, data=form | {"contact": "nobody@x.example"})
        assert (wrong.status_code, "of a contact in this account" in wrong.text) == (422, True)
        # Found by name, email address or phone, and added with the button beside it.
        await world.sql("update contacts set phone = '+15046218927' where id = $1", cast.contact)
        assert f'href="{of}/new"' in (await client.get(of)).text
        for text in ("lovelace", "ada-", "5046218927"):
            results = (await client.get(f"{of}/new", params={"q": text})).text
            assert (f'value="{cast.contact}"' in results, f'action="{of}"' in results) == (True, True), text
        assert "No contact matches" in (await client.get(f"{of}/new?q=zebra")).text
        # From the contact's own page, among the workflows that accept contacts by hand.
        enter = f"/contacts/{contact}/enrollments/new"
        assert f'href="{enter}"' in (await client.get(f"/contacts/{contact}")).text
        assert f'action="{of}"' in (await client.get(enter)).text
        back = await client.post(of, data=form | {"contact": str(contact), "back": "contact"})
        assert (back.status_code, back.headers["location"]) == (303, f"/contacts/{contact}")
    await engine(world, cast.account)
    async with world.script(cast.owner) as client:
        items = (await client.get(f"{of}?status=active")).json()["items"]
        assert {item["contact_id"] for item in items} == {str(contact), str(cast.contact)}
        assert (await client.post(of, json={"contact_ids": [str(uuid7())]})).status_code == 422
        assert (await client.post(of, json={})).status_code == 422
        await world.sql("update workflows set status = 'paused' where id = $1", cast.workflow)
        assert (await client.post(of, json={"contact_ids": [str(contact)]})).status_code == 409
    assert ("enrollment.requested", "workflow") in await world.audit(cast.account)


async def test_skip_a_wait(world: World) -> None:
    cast = await started(world)
    async with world.script(cast.owner) as client:
        done = await client.post(f"/enrollments/{cast.enrollment}/skip")
        assert done.status_code == 200
        await engine(world, cast.account)
        page = (await client.get(f"/enrollments/{cast.enrollment}")).json()
        assert page["path"][1]["outcome"] == "passed"
        assert page["path"][1]["detail"]["skipped_by"] == "Owner"
        assert (page["status"], page["step_key"]) == ("active", "s4")
        assert "for the goal “Moved”" in page["waits_for"]
    assert ("enrollment.wait_skipped", "enrollment") in await world.audit(cast.account)


async def test_remove_cancels_unsent_effects(world: World) -> None:
    cast = await started(world)
    await world.sql("update effects set status = 'pending' where id = $1", cast.effect)
    async with world.browser(cast.owner) as client:
        form = {"account": str(cast.account)}
        done = await client.post(f"/enrollments/{cast.enrollment}/removal", data=form)
        assert done.headers["location"] == f"/enrollments/{cast.enrollment}"
        again = await client.post(f"/enrollments/{cast.enrollment}/removal", data=form)
        assert (again.status_code, "already ended" in again.text) == (409, True)
    row = await state(world, cast)
    assert (row["status"], row["exit_reason"]) == ("exited", "removed_by_user")
    [effect] = await world.sql("select status from effects where id = $1", cast.effect)
    assert effect["status"] == "cancelled"
    [visit] = await world.sql(
        "select outcome from enrollment_executions where enrollment_id = $1 and seq = 2", cast.enrollment
    )
    assert visit["outcome"] == "left"


async def test_retry_starts_the_failed_step_again(world: World) -> None:
    cast = await failed(world)
    async with world.script(cast.owner) as client:
        assert (await client.post(f"/enrollments/{cast.enrollment}/skip")).status_code == 409
        assert (await client.post(f"/enrollments/{cast.enrollment}/retry")).status_code == 200
        assert (await client.post(f"/enrollments/{cast.enrollment}/retry")).status_code == 409
    await engine(world, cast.account)
    row = await state(world, cast)
    assert (row["status"], row["step_key"], row["wait_reason"], row["seq"]) == ("active", "s1", "effect", 2)
    async with world.script(cast.owner) as client:
        board = (await client.get("/jobs")).json()
        assert [failure["what"] for failure in board["failing"]] == ["job"], (
            "what was taken up again fails no more"
        )
    effects = await world.sql(
        "select seq, status from effects where enrollment_id = $1 order by seq", cast.enrollment
    )
    assert [tuple(failure) for failure in effects] == [(1, "failed_permanent"), (2, "pending")]


async def failed(world: World) -> Cast:
    """The one person failed at the email."""
    cast = await started(world)
    await world.sql("delete from enrollment_executions where enrollment_id = $1 and seq = 2", cast.enrollment)
    await world.sql(
        "update enrollments set status = 'failed', step_key = 's1', seq = 1, due_at = null,"
        " wait_until = null, wait_reason = null, error = '550 no', exit_reason = 'failed_permanent',"
        " ended_at = now()"
        " where id = $1", cast.enrollment,
    )  # fmt: skip
    await world.sql("update effects set status = 'failed_permanent' where id = $1", cast.effect)
    return cast


async def in_doubt(world: World) -> Cast:
    cast = await failed(world)
    await world.sql(
        "update enrollments set status = 'active', wait_reason = 'hold', error = null, exit_reason = null,"
        " ended_at = null where id = $1", cast.enrollment,
    )  # fmt: skip
    await world.sql(
        "update enrollment_executions set outcome = null, finished_at = null where enrollment_id = $1",
        cast.enrollment,
    )
    await world.sql("update effects set status = 'unknown' where id = $1", cast.effect)
    return cast


@pytest.mark.parametrize(("sent", "status", "step"), [(True, "sent", "s2"), (False, "pending", "s1")])
async def test_effect_in_doubt_is_settled(world: World, sent: bool, status: str, step: str) -> None:
    cast = await in_doubt(world)
    path = f"/effects/{cast.effect}/settlement"
    async with world.browser(cast.owner) as client:
        shown = (await client.get(f"/enrollments/{cast.enrollment}")).text
        assert shown.count('<span class="badge warn">In doubt</span>') == 2, "at the top and in the ledger"
        assert shown.index("Mark as sent") < shown.index(">Pause"), "the question comes first"
    async with world.script(cast.owner) as client:
        assert "In doubt" in (await client.get(f"/enrollments/{cast.enrollment}")).json()["waits_for"]
        assert (await client.post(path, json={"sent": sent})).status_code == 200
        assert (await client.post(path, json={"sent": sent})).status_code == 409
        assert (await client.post(path, json={})).status_code == 422
    await engine(world, cast.account)
    [effect] = await world.sql("select status from effects where id = $1", cast.effect)
    assert effect["status"] == status
    assert (await state(world, cast))["step_key"] == step
    assert ("effect.resolved", "effect") in await world.audit(cast.account)


async def test_waiting_attempt_is_made_now_or_canceled(world: World) -> None:
    cast = await in_doubt(world)
    async with world.script(cast.owner) as client:
        await world.sql(
            "update effects set status = 'retry', due_at = now() + interval '1 hour' where id = $1",
            cast.effect,
        )
        assert (await client.post(f"/effects/{cast.effect}/retry")).status_code == 200
        [effect] = await world.sql(
            "select status, due_at <= now() as due from effects where id = $1", cast.effect
        )
        assert tuple(effect) == ("pending", True)
        assert (await client.post(f"/effects/{cast.effect}/retry")).status_code == 409
        assert (await client.post(f"/effects/{cast.effect}/cancellation")).status_code == 200
        assert (await client.post(f"/effects/{uuid7()}/cancellation")).status_code == 404
    await engine(world, cast.account)
    assert (await state(world, cast))["status"] == "failed"


async def test_step_that_waits_for_its_next_attempt_is_retried_at_once(world: World) -> None:
    cast = await in_doubt(world)
    path = f"/enrollments/{cast.enrollment}"
    await world.sql(
        "update effects set status = 'retry', due_at = now() + interval '1 hour' where id = $1", cast.effect
    )
    await world.sql("update enrollments set wait_reason = 'retry' where id = $1", cast.enrollment)
    async with world.script(cast.owner) as client:
        assert "retry" in {action["name"] for action in (await client.get(path)).json()["actions"]}
        assert (await client.post(f"{path}/retry")).status_code == 200
        [effect] = await world.sql(
            "select status, due_at <= now() as due from effects where id = $1", cast.effect
        )
        assert tuple(effect) == ("pending", True)
        assert (await client.post(f"{path}/retry")).status_code == 409
    assert ("effect.retried", "effect") in await world.audit(cast.account)


async def test_retry_is_refused_while_an_effect_is_in_doubt(world: World) -> None:
    """Failed for another reason than the email, of which it is unknown whether it was sent."""
    cast = await failed(world)
    await world.sql("update effects set status = 'unknown' where id = $1", cast.effect)
    async with world.script(cast.owner) as client:
        refused = await client.post(f"/enrollments/{cast.enrollment}/retry")
        assert (refused.status_code, "was sent" in refused.text) == (409, True)
        names = {
            action["name"]
            for action in (await client.get(f"/enrollments/{cast.enrollment}")).json()["actions"]
        }
        assert names & {"retry", "jump"} == set()
        assert (
            await client.post(f"/effects/{cast.effect}/settlement", json={"sent": True})
        ).status_code == 200
        assert (await client.post(f"/enrollments/{cast.enrollment}/retry")).status_code == 200


async def test_other_accounts_find_nothing(world: World) -> None:
    cast, stranger = await cast_of(world), await world.person()
    async with world.script(stranger) as client:
        assert (await client.get("/enrollments")).json()["items"] == []
        for path in (f"/enrollments/{cast.enrollment}", f"/workflows/{cast.workflow}/enrollments"):
            assert (await client.get(path)).status_code == 404
        for path, body in VERBS.items():
            done = await client.post(f"/enrollments/{cast.enrollment}/{path}", json=body)
            assert done.status_code == 404
        path = f"/effects/{cast.effect}/settlement"
        assert (await client.post(path, json={"sent": True})).status_code == 404
    assert (await state(world, cast))["status"] == "active"


def row(**changes: Any) -> ListedEnrollment:
    nothing: dict[str, Any] = dict.fromkeys(ListedEnrollment.__struct_fields__)
    return ListedEnrollment(**{**nothing, "status": "active", "held": False, "workflow_name": "W", **changes})


def test_settle_time_is_shown_as_a_timer() -> None:
    settling = row(wait_until=NOW, due_at=NOW)
    assert (reason_of(settling), waits_for(settling, "", NOW, "UTC")) == ("timer", "About to start.")
    assert reason_of(row(wait_until=NOW, held=True)) == "paused_workflow"
    assert reason_of(row(step_key="s1")) is None


def sending(reason: str, status: str) -> ListedEnrollment:
    effect = {"kind": "email", "status": status, "attempts": 1, "due_at": NOW, "error": "421 busy"}
    return row(wait_reason=reason, **{f"effect_{name}": value for name, value in effect.items()})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (row(), "About to continue with “Wait 1 minute”."),
        (row(held=True), "On hold: no enrollment in “W” moves until the workflow is released."),
        (row(held=True, paused_at=NOW), "Paused since 14:00: it stays here until you resume it."),
        (row(wait_reason="window", wait_until=NOW),
         "Waiting until 14:00, when the sending window for “1 minute” opens."),
        (row(wait_reason="event", wait_until=NOW), "Waiting for “1 minute” until 14:00 at the latest."),
        (row(wait_reason="approval", wait_until=NOW),
         "Waiting for an answer to “1 minute” until 14:00 at the latest."),
        (row(wait_reason="drip_slot", wait_until=NOW), "Waiting for its turn at 14:00: “1 minute”."),
        (row(wait_until=NOW, due_at=NOW.replace(day=25)),
         "Starts at 14:00 if the contact still matches."),
        (row(wait_reason="timer", wait_until=NOW), "Waiting until 14:00: “1 minute”."),
        (sending("effect", "pending"), "Waiting to send the email."),
        (sending("retry", "retry"),
         "Waiting to send the email (attempt 2 at 14:00): 421 busy"),
        (sending("hold", "unknown"),
         "In doubt: the email may have been sent. Mark it as sent, or send it again."),
        (row(status="failed", exit_reason="failed_permanent", error="550 no"),
         "A step failed permanently. 550 no"),
        (row(status="completed", exit_reason="goal_met"), "A goal was met."),
    ],
)  # fmt: skip
def test_wait_sentences(value: ListedEnrollment, sentence: str) -> None:
    assert waits_for(value, "Wait 1 minute", NOW, "Europe/Paris") == sentence


def test_time_of_another_day_includes_the_day() -> None:
    assert moment_label(NOW.replace(day=25), NOW, "UTC") == "25 Nov 13:00"
    assert moment_label(NOW.replace(year=2027), NOW, "UTC") == "2027-11-24 13:00"


@pytest.mark.parametrize(
    ("detail", "note"),
    [
        ({}, ""),
        ({"branch": "b1"}, "took “West”"),
        ({"goal": "s9"}, "because of “Goal: Bought”"),
        ({"tag": "t", "changed": False}, "vip, changed nothing"),
        ({"tag": "gone", "changed": True}, "a deleted tag"),
        ({"field": "city", "old": None, "new": "Rome", "changed": True}, "City: empty → Rome"),
        ({"until": "2026-11-24T13:00:00+00:00", "skipped_by": "Ana"}, "until 14:00, by Ana"),
        ({"reason": "subject_deleted"}, "subject deleted"),
        ({"reason": "moved", "by": "Ana"}, "moved, by Ana"),
        ({"window": True, "until": "2026-11-24T13:00:00+00:00"}, "sending window opens at 14:00"),
        (
            {"window": True, "until": "2026-11-24T13:00:00+00:00", "again": True},
            "sending window opens at 14:00",
        ),
        ({"until": "2026-11-24T13:00:00+00:00", "again": True}, "until 14:00, recalculated"),
        ({"until": "2026-11-24T13:00:00+00:00", "past": True}, "until 14:00, that time had already passed"),
        ({"workflow": None}, "all other workflows"),
        ({"to": "s9"}, "continued at “Goal: Bought”"),
        ({"question": "Call?", "until": "2026-11-24T13:00:00+00:00"}, "Call?, until 14:00"),
        ({"to": "a@x.example", "subject": "Hi"}, ""),
    ],
)
def test_visit_notes(detail: dict[str, Any], note: str) -> None:
    names, labels = {"s1.b1": "West", "s9": "Goal: Bought"}, {"t": "vip", "city": "City"}
    assert visit_note("s1", detail, names, labels, NOW, "Europe/Paris") == note
