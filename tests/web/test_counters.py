"""Screens show the same numbers whether they read counters or scan."""

import json
from typing import Any

from app.engine.core.steps import AddTag, Unit, Wait
from app.engine.core.triggers import TagAdded
from app.filters.ast import Op
from app.work import SYSTEM, open_work
from db.queries.counters import make_unknown
from tests.support.fakes import Outside, TestClock
from tests.support.publication_kit import Flow, draft_of
from tests.support.scenario import Stage, ask
from tests.support.world import World

FAMILIES = ("contacts", "tags", "segments", "enrollments", "visits")


async def test_counted_and_scanned_numbers_are_equal(
    world: World, clock: TestClock, outside: Outside
) -> None:
    owner = await world.person()
    stage = Stage(world, owner.account_id, clock, outside)
    tag, other = await stage.tag("vip"), await stage.tag("done")
    flow = await Flow.create(stage)
    await flow.save(
        draft_of(AddTag(tag=other), Wait(amount=1, unit=Unit.DAYS), trigger=TagAdded(key="t1", tag=tag))
    )
    await flow.publish()
    people = await stage.contacts(4)
    for contact in people[:3]:
        await stage.add_tag(contact, tag)
    await stage.drain()
    async with world.script(owner) as client:
        assert (await client.post(f"/contacts/{people[0]}/deletion", json={})).status_code == 200
        addresses = (
            "/", "/tags", f"/tags/{tag}", "/workflows", f"/workflows/{flow.id}/counts",
            f"/workflows/{flow.id}/versions",
        )  # fmt: skip

        async def numbers() -> list[Any]:
            return [(await client.get(address)).json() for address in addresses]

        counted = await numbers()
        async with open_work(stage.runtime, stage.account, SYSTEM) as work:
            await make_unknown(work.session, *FAMILIES)
            await work.session.commit()
        assert await numbers() == counted
    assert [row["contacts"] for row in counted[1]["items"]] == [2, 2]
    assert counted[2]["tag"]["contacts"] == 2
    assert [row["live"] for row in counted[3]["items"]] == [2 + 1]
    assert counted[4]["counts"]["s1"]["completed"] == 3
    assert counted[4]["counts"]["s2"]["current"] == 3


async def test_the_list_of_segments_shows_the_stored_size_of_watched_ones(
    world: World, clock: TestClock, outside: Outside
) -> None:
    owner = await world.person()
    stage = Stage(world, owner.account_id, clock, outside)
    people = await stage.contacts(4)
    watched = await stage.segment(ask("first_name", Op.IS, "Ann"))
    await stage.sql(
        "insert into segment_members (account_id, segment_id, contact_id, entered_at)"
        " values ($1, $2, $3, now())",
        stage.account, watched, people[0],
    )  # fmt: skip

    async def shown(due: str) -> tuple[int | None, int | None]:
        """On the list and on the page of the segment, when it is compared next at that time."""
        change = f"update segments set due_at = {due} where id = $1"  # noqa: S608 -- our times
        await stage.sql(change, watched)
        async with world.script(owner) as client:
            [row] = (await client.get("/segments")).json()["items"]
            page = (await client.get(f"/segments/{watched}")).json()
        return row["contacts"], page["segment"]["contacts"]

    assert await shown("null") == (4, 4)
    assert await shown("now() + interval '1 hour'") == (1, 4)
    assert await shown("now() - interval '1 second'") == (4, 4), "a comparison is due: what is stored is old"
    gone = {"type": "predicate", "field": f"custom.{watched}", "op": "is", "value": "x"}
    await stage.sql("update segments set filter = $2 where id = $1", watched, json.dumps(gone))
    assert await shown("now() + interval '1 hour'") == (None, None), "nobody knows whom it selects"
