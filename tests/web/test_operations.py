"""The Jobs page and its buttons."""

import pytest

from app.integrations.job_notifier import JobNotifier
from tests.support.sample_account import Cast, cast_of
from tests.support.web_kit import PARTIAL
from tests.support.world import World


async def status(world: World, cast: Cast) -> str:
    [row] = await world.sql("select status from jobs where id = $1", cast.job)
    return str(row["status"])


async def test_jobs_page_counts_due_and_failed_work(world: World) -> None:
    cast = await cast_of(world)
    async with world.script(cast.owner) as client:
        board = (await client.get("/jobs")).json()
        tiles = {tile["key"]: tile["value"] for tile in board["tiles"]}
        assert (tiles["in_doubt"], tiles["failed"], tiles["waiting"]) == (1, 1, 1)
        queues = {queue["name"]: queue for queue in board["queues"]}
        assert queues["workflow"]["ready"] == 1, "an event that nobody has matched"
        assert queues["email"]["in_doubt"] == 1
        assert queues["workflow"]["oldest_seconds"] >= 0
        assert {failure["what"] for failure in board["failing"]} == {"job", "email"}
        assert {failure["name"] for failure in board["actions"]} == {f"retry:{cast.job}"}
        assert (await client.get("/jobs?status=done")).json()["items"] == []
        assert len((await client.get("/jobs?queue=default&status=failed")).json()["items"]) == 1
    async with world.browser(cast.owner) as client:
        whole, part = await client.get("/jobs"), await client.get("/jobs", headers=PARTIAL)
        assert "It broke." in whole.text
        assert "It broke." in part.text
        assert "<html" not in part.text
        assert 'hx-trigger="every 2s"' in whole.text
        assert "Retry" in whole.text


async def test_held_or_stopped_work_counts_as_waiting_and_not_late(world: World) -> None:
    cast = await cast_of(world)

    async def numbers() -> list[tuple[int, int]]:
        queues = {queue["name"]: queue for queue in (await client.get("/jobs")).json()["queues"]}
        return [(queues[name]["ready"], queues[name]["waiting"]) for name in ("workflow", "email")]

    await world.sql("update events set matched_at = now() where account_id = $1", cast.account)
    await world.sql(
        "update enrollments set due_at = now() - interval '1 hour' where account_id = $1", cast.account
    )
    await world.sql(
        "update effects set status = 'retry', due_at = now() - interval '1 hour' where id = $1", cast.effect
    )
    async with world.script(cast.owner) as client:
        assert await numbers() == [(1, 0), (1, 0)]
        await world.sql("update workflows set held = true where account_id = $1", cast.account)
        assert await numbers() == [(0, 1), (0, 1)]
        await world.sql("update workflows set held = false where account_id = $1", cast.account)
        await world.sql(
            "insert into circuit_breakers (account_id, workflow_id, step_key, error_class, state)"
            " select account_id, workflow_id, step_key, 'unreachable', 'open' from effects where id = $1",
            cast.effect,
        )
        assert await numbers() == [(1, 0), (0, 1)]


async def test_the_overview_names_a_failed_job_as_its_own_page_does(world: World) -> None:
    cast = await cast_of(world)
    await world.sql(
        "update jobs set task = 'bulk.tag', total = 6, args = '{\"tag\": \"vip\"}' where id = $1", cast.job
    )
    async with world.script(cast.owner) as client:
        failures = (await client.get("/")).json()["failures"]
        [job] = [failure for failure in failures if failure["what"] == "job"]
        assert (job["title"], job["href"]) == ("Tag 6 contacts with vip", f"/jobs/{cast.job}")
        assert "Tag 6 contacts with vip" in (await client.get(job["href"])).text


async def test_the_page_of_a_job_has_labels_instead_of_keys(world: World) -> None:
    cast = await cast_of(world)
    await world.sql(
        "update jobs set task = 'workflow.migrate_enrollments', queue = 'bulk', status = 'cancelled',"
        ' result = \'{"moved": 1204, "under_way": 1, "cursor": "0192"}\' where id = $1',
        cast.job,
    )
    async with world.browser(cast.owner) as client:
        page = (await client.get(f"/jobs/{cast.job}")).text
        assert "Moved: 1,204 · Not moved because a message may be going out: 1" in page
        assert "under_way" not in page
        assert "<dd>Bulk edits</dd>" in page
        filtered = (await client.get("/jobs?queue=bulk&status=cancelled")).text
        assert "Bulk edits · Canceled" in filtered
        assert "cancelled</" not in filtered


async def test_a_viewer_has_no_buttons(world: World) -> None:
    cast = await cast_of(world)
    viewer = await world.person("viewer", cast.account)
    async with world.script(viewer) as client:
        assert (await client.get("/jobs")).json()["actions"] == []
        for path in ("retry", "cancellation"):
            assert (await client.post(f"/jobs/{cast.job}/{path}")).status_code == 403
            assert (await client.post(f"/effects/{cast.effect}/{path}")).status_code == 403


async def test_failed_job_is_retried_and_canceled(world: World) -> None:
    cast = await cast_of(world)
    await world.sql(
        "update jobs set started_at = now() - interval '7 hours', finished_at = now() where id = $1", cast.job
    )
    async with world.browser(cast.owner) as client:
        form = {"account": str(cast.account)}
        page = await client.get(f"/jobs/{cast.job}")
        assert "It broke." in page.text
        done = await client.post(f"/jobs/{cast.job}/retry", data=form)
        assert (done.status_code, done.headers["location"]) == (303, f"/jobs/{cast.job}")
        assert await status(world, cast) == "queued"
        [row] = await world.sql("select started_at, finished_at, error from jobs where id = $1", cast.job)
        assert list(row) == [None, None, None], "the time it takes is that of this run"
        again = await client.post(f"/jobs/{cast.job}/retry", data=form)
        assert (again.status_code, "Only a failed" in again.text) == (409, True)
        part = await client.get(f"/jobs/{cast.job}", headers=PARTIAL)
        assert ("Waiting for a worker" in part.text, "<html" in part.text) == (True, False)
        assert (await client.post(f"/jobs/{cast.job}/cancellation", data=form)).status_code == 303
    assert await status(world, cast) == "cancelled"
    assert [action for action, _ in await world.audit(cast.account) if action.startswith("job.")] == [
        "job.retried", "job.cancelled",
    ]  # fmt: skip


async def test_canceled_running_job_loses_its_fence(world: World) -> None:
    cast = await cast_of(world)
    await world.sql("update jobs set status = 'running', fence = 3 where id = $1", cast.job)
    async with world.script(cast.owner) as client:
        page = (await client.get(f"/jobs/{cast.job}")).json()
        assert (page["live"], [action["name"] for action in page["actions"]]) == (True, ["cancel"])
        assert (await client.post(f"/jobs/{cast.job}/cancellation")).status_code == 200
        assert (await client.post(f"/jobs/{cast.job}/cancellation")).status_code == 409
    [row] = await world.sql("select fence, lease_until from jobs where id = $1", cast.job)
    assert tuple(row) == (4, None)


async def test_an_import_is_linked(world: World) -> None:
    cast = await cast_of(world)
    await world.sql(
        "update jobs set task = 'import.run', args = jsonb_build_object('import_id', $2::text) where id = $1",
        cast.job, str(cast.upload),
    )  # fmt: skip
    async with world.script(cast.owner) as client:
        page = (await client.get(f"/jobs/{cast.job}")).json()
    assert (page["title"], page["import_href"]) == ("Run import", f"/imports/{cast.upload}")


async def test_without_redis_the_page_works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cast = await cast_of(world)
    async with world.browser(cast.owner) as client:
        assert "responding. Nothing is lost" not in (await client.get("/jobs")).text
        nowhere = JobNotifier("redis://127.0.0.1:1/0", 60)
        monkeypatch.setitem(world.runtime.__dict__, "enqueue", nowhere)
        page = await client.get("/jobs")
        assert (page.status_code, "responding. Nothing is lost" in page.text) == (200, True)
        assert "It broke." in page.text


async def test_other_accounts_find_no_job(world: World) -> None:
    cast, stranger = await cast_of(world), await world.person()
    async with world.script(stranger) as client:
        board = (await client.get("/jobs")).json()
        assert (board["items"], board["failing"]) == ([], [])
        assert sum(queue["ready"] + queue["failed"] for queue in board["queues"]) == 0
        assert (await client.get(f"/jobs/{cast.job}")).status_code == 404
        for path in ("retry", "cancellation"):
            assert (await client.post(f"/jobs/{cast.job}/{path}")).status_code == 404


async def test_jobs_page_shows_the_queues_of_saq_beside_what_is_due(world: World) -> None:
    cast = await cast_of(world)
    other = await cast_of(world)
    async with world.script(cast.owner) as client:
        before = {turn["task"]: turn for turn in (await client.get("/jobs")).json()["turns"]}
        assert list(before) == ["match", "advance", "send", "schedules", "jobs"]
        assert before["match"]["due"], "an event that nobody has matched"
        await world.sql("update events set matched_at = now() where account_id = $1", cast.account)
        await world.runtime.enqueue("match", other.account)
        after = {turn["task"]: turn for turn in (await client.get("/jobs")).json()["turns"]}
        assert not after["match"]["due"], "only of this account"
        assert after["match"]["all_accounts"]["queued"] == before["match"]["all_accounts"]["queued"] + 1
        assert after["match"]["all_accounts"]["running"] == 0
    async with world.browser(cast.owner) as client:
        page = (await client.get("/jobs")).text
        assert "Advancing" in page
        assert "By sweep" in page


async def test_what_all_accounts_do_is_not_shown_to_viewers(world: World) -> None:
    cast = await cast_of(world)
    viewer = await world.person("viewer", cast.account)
    async with world.script(viewer) as client:
        turns = (await client.get("/jobs")).json()["turns"]
        assert [turn["all_accounts"] for turn in turns] == [None] * 5
        assert turns[0]["due"]
    async with world.browser(viewer) as client:
        assert "By sweep" not in (await client.get("/jobs")).text
