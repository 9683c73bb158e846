"""What has served its time goes, and nothing else."""

from app.engine.recovery.retention import delete_expired_data
from db.ids import uuid7
from tests.support.fakes import TestClock
from tests.support.world import World


async def test_contacts_deleted_for_30_days_are_erased_and_audited(world: World, clock: TestClock) -> None:
    account = await world.account()
    remaining, gone = uuid7(), uuid7()
    for contact_id, days in ((remaining, 29), (gone, 31)):
        await world.sql(
            "insert into contacts (id, account_id, first_name, deleted_at) "
            "values ($1, $2, 'Ann', now() - make_interval(days => $3))",
            contact_id, account, days,
        )  # fmt: skip
    assert await delete_expired_data(world.runtime) >= 1
    left = await world.sql("select id from contacts where account_id = $1", account)
    assert [row["id"] for row in left] == [remaining]
    assert await world.audit(account) == [("contact.erased", "contact")]
    clock.forward(days=2)
    await delete_expired_data(world.runtime)
    assert not await world.sql("select id from contacts where account_id = $1", account)


async def test_week_old_filter_refusals_are_deleted(world: World) -> None:
    account = await world.account()
    workflow = uuid7()
    await world.sql("insert into workflows (id, account_id, name) values ($1, $2, 'W')", workflow, account)
    for verdict, days in (("filter_false", 8), ("filter_false", 6), ("already_active", 8)):
        await world.sql(
            "insert into trigger_decisions (account_id, event_id, workflow_id, version, contact_id, verdict, "
            "decided_at) values ($1, $2, $3, 1, $4, $5, now() - make_interval(days => $6))",
            account, uuid7(), workflow, uuid7(), verdict, days,
        )  # fmt: skip
    assert await delete_expired_data(world.runtime) >= 1
    left = await world.sql(
        "select verdict from trigger_decisions where account_id = $1 order by verdict", account
    )
    assert [row["verdict"] for row in left] == ["already_active", "filter_false"]


async def test_notes_and_tasks_deleted_for_30_days_are_removed(world: World, clock: TestClock) -> None:
    account, contact = await world.account(), uuid7()
    await world.sql(
        "insert into contacts (id, account_id, first_name) values ($1, $2, 'Ann')", contact, account
    )
    for table, text in (("notes", "body"), ("tasks", "title")):
        for days in (29, 31, None):
            await world.sql(
                f"insert into {table} (id, account_id, contact_id, {text}, author_kind, author_id,"  # noqa: S608 -- our names
                " author_name, deleted_at)"
                " values ($1, $2, $3, $4, 'member', '', '', now() - make_interval(days => $5))",
                uuid7(), account, contact, str(days), days,
            )  # fmt: skip

    async def left() -> list[str]:
        rows = await world.sql(
            "select body as text from notes where account_id = $1"
            " union all select title from tasks where account_id = $1",
            account,
        )
        return sorted(row["text"] for row in rows)

    assert await delete_expired_data(world.runtime) >= 2
    assert await left() == ["29", "29", "None", "None"]
    clock.forward(days=2)
    await delete_expired_data(world.runtime)
    assert await left() == ["None", "None"]
