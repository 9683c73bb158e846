"""Old events and deliveries go; what something refers to, or may ask about, stays."""

import msgspec

from app.engine.core.steps import Exit
from app.engine.core.triggers import TagAdded
from app.engine.recovery.retention import delete_old_events
from db.ids import uuid7
from tests.support.scenario import Stage, ask


async def kinds(stage: Stage) -> list[str]:
    rows = await stage.sql("select kind from events where account_id = $1 order by kind", stage.account)
    return [row["kind"] for row in rows]


async def test_old_events_are_deleted_unless_an_enrollment_refers_to_them(stage: Stage) -> None:
    tag = await stage.tag("vip")
    await stage.workflow([Exit()], TagAdded(key="t1", tag=tag))
    person = await stage.contact()
    await stage.change(person, "city", "Oslo")
    await stage.add_tag(person, tag)
    await stage.drain()
    stage.clock.forward(days=29)
    await delete_old_events(stage.runtime)
    assert await kinds(stage) == ["contact.updated", "tag.added"]
    stage.clock.forward(days=2)
    await stage.emit("note.added", person)
    await delete_old_events(stage.runtime)
    assert await kinds(stage) == ["note.added", "tag.added"]
    decided = await stage.sql("select event_id from trigger_decisions where contact_id = $1", person)
    assert len(decided) == 1


async def test_unmatched_events_stay(stage: Stage) -> None:
    await stage.change(await stage.contact(), "city", "Oslo")
    stage.clock.forward(days=31)
    await delete_old_events(stage.runtime)
    assert await kinds(stage) == ["contact.updated"]


async def test_events_stay_if_a_condition_on_history_exists(stage: Stage) -> None:
    condition = ask("history", "happened", ["contact.updated", 1, "90 days"])
    await stage.sql(
        "insert into segments (account_id, id, name, slug, filter) values ($1, $2, 'S', 's', $3)",
        stage.account, uuid7(), msgspec.json.encode(condition).decode(),
    )  # fmt: skip
    await stage.change(await stage.contact(), "city", "Oslo")
    await stage.drain()
    stage.clock.forward(days=31)
    await delete_old_events(stage.runtime)
    assert await kinds(stage) == ["contact.updated"]


async def test_old_deliveries_are_deleted(stage: Stage) -> None:
    flow = await stage.workflow([Exit()], TagAdded(key="t1"))
    hook = uuid7()
    await stage.sql(
        "insert into inbound_webhooks (account_id, id, workflow_id, trigger_key, token_hash, token_prefix) "
        "values ($1, $2, $3, 't1', $4, 'wh_')",
        stage.account, hook, flow, hook.bytes,
    )  # fmt: skip
    for days in (29, 31):
        await stage.sql(
            "insert into inbound_deliveries (account_id, webhook_id, delivery_id, received_at) "
            "values ($1, $2, $3, now() - make_interval(days => $4))",
            stage.account, hook, f"d{days}", days,
        )  # fmt: skip
    await delete_old_events(stage.runtime)
    left = await stage.sql("select delivery_id from inbound_deliveries where webhook_id = $1", hook)
    assert [row["delivery_id"] for row in left] == ["d29"]
