"""A held workflow costs nothing: no claim reads its enrollments, and an account with nothing else is not
due."""

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.steps import AddTag, SendEmail, Wait
from app.engine.core.triggers import Manual
from app.work import SYSTEM, open_work
from db.queries.due_accounts import find_due_accounts
from db.queries.effect_claims import claim_effects, mark_interrupted_calls
from db.queries.enrollment_batches import claim_due_enrollments
from tests.support.scenario import Stage

MAIL = SendEmail(subject="Hello", body="Welcome.")
CROWD = 3_000
# `apart` seconds between one and the next; the last of them is due `ago` seconds ago.
ENTERED = """
insert into enrollments (account_id, id, workflow_id, version, contact_id, event_id, root_event_id, status,
                         due_at, entered_at, entry_key)
select $1, uuidv7(), $2, 1, $3, gen_random_uuid(), gen_random_uuid(), 'active',
       clock_timestamp() - $4 * interval '1 second' - ($5::int - i) * $6 * interval '1 second',
       clock_timestamp(), i::text
  from generate_series(1, $5::int) i returning id
"""
PENDING = """
insert into effects (account_id, id, enrollment_id, seq, workflow_id, contact_id, step_key, kind, status,
                     idempotency_key, payload, on_doubt, due_at)
select account_id, uuidv7(), id, 1, workflow_id, contact_id, 's1', 'email', 'pending', id::text,
       '{"to": "a@people.example", "subject": "Hello", "body": "Hi"}', 'hold', due_at
  from enrollments where workflow_id = $1
"""
RELOCATING = """
with j as (insert into jobs (account_id, id, queue, task, due_at, actor_kind, actor_id, actor_name)
           values ($1, uuidv7(), 'slow', 'relocate', 'infinity', 'system', '', '') returning id)
insert into enrollment_migrations (account_id, enrollment_id, job_id, choice) select $1, $2, j.id, 0 from j
"""


async def crowd(
    stage: Stage, workflow: UUID, count: int, ago: float = 60, apart: float = 0.001
) -> list[UUID]:
    """So many due enrollments of one workflow."""
    [contact] = await stage.contacts(1)
    rows = await stage.sql(ENTERED, stage.account, workflow, contact, ago, count, apart)
    return [row["id"] for row in rows]


async def flow(stage: Stage, *steps: Any, held: bool = False) -> UUID:
    workflow_id = await stage.workflow(list(steps), Manual(key="t1"))
    await stage.sql("update workflows set held = $2 where id = $1", workflow_id, held)
    return workflow_id


async def due(stage: Stage) -> bool:
    async with stage.runtime.engine.connect() as connection:
        due = await find_due_accounts(connection, stage.clock.offset)
    return stage.account in {account.account_id for account in due}


async def claimed(stage: Stage, most: int) -> list[UUID]:
    """The workflows of what one claim takes, in its order; taken back."""
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        rows = await claim_due_enrollments(work.session, work.now, most)
    return [row.workflow_id for row in rows]


async def test_held_workflow_stops_and_others_continue(stage: Stage) -> None:
    tag = await stage.tag("vip")
    held, other = await flow(stage, AddTag(tag=tag), held=True), await flow(stage, AddTag(tag=tag))
    await crowd(stage, held, 20)
    assert not await due(stage), "nothing but held work"
    await crowd(stage, other, 5)
    assert await due(stage)
    await stage.drain()
    status = "select status, count(*) from enrollments where workflow_id = $1 group by 1"
    assert [tuple(row) for row in await stage.sql(status, held)] == [("active", 20)]
    assert [tuple(row) for row in await stage.sql(status, other)] == [("completed", 5)]
    assert not await due(stage)
    await stage.sql("update workflows set held = false where id = $1", held)
    assert await due(stage)
    await stage.drain()
    assert [tuple(row) for row in await stage.sql(status, held)] == [("completed", 20)]


async def test_an_archived_workflow_is_due_even_when_held(stage: Stage) -> None:
    held = await flow(stage, Wait(amount=1), held=True)
    await crowd(stage, held, 1)
    await stage.sql("update workflows set status = 'archived' where id = $1", held)
    assert await due(stage)


async def test_effects_of_held_and_paused_enrollments_are_not_due(stage: Stage) -> None:
    held, other = await flow(stage, MAIL, held=True), await flow(stage, MAIL)
    for workflow in (held, other):
        await crowd(stage, workflow, 3)
        await stage.sql(PENDING, workflow)
    await stage.sql("update enrollments set due_at = null where account_id = $1", stage.account)
    await stage.sql("update enrollments set paused_at = now() where workflow_id = $1", other)
    assert not await due(stage)
    await stage.sql("update enrollments set paused_at = null where workflow_id = $1", other)
    assert await due(stage)


async def test_interrupted_call_of_a_held_workflow_is_due(stage: Stage) -> None:
    """Whether it went out is in doubt, and that has to be said."""
    held = await flow(stage, MAIL, held=True)
    [enrollment] = await crowd(stage, held, 1)
    await stage.sql(PENDING, held)
    await stage.sql("update enrollments set due_at = null where id = $1", enrollment)
    calling = (
        "update effects set status = 'claimed', started_at = now(), lease_until = now() + $2 * interval '1 s'"
    )
    await stage.sql(f"{calling} where workflow_id = $1", held, 60)
    assert not await due(stage), "its worker is calling"
    await stage.sql(f"{calling} where workflow_id = $1", held, -1)
    assert await due(stage)
    await stage.drain()
    assert (await stage.row("select status from effects where workflow_id = $1", held))["status"] == "unknown"


async def test_workflow_that_waits_longest_goes_first(stage: Stage) -> None:
    """And one with many does not keep the others from their turn."""
    many, few, late = [await flow(stage, AddTag(tag=await stage.tag(name))) for name in "abc"]
    await crowd(stage, many, 30, ago=10, apart=1)
    await crowd(stage, few, 2, ago=32, apart=1)
    await crowd(stage, late, 2, ago=1)
    assert await claimed(stage, 10) == [many] * 10
    assert await claimed(stage, 100) == [many] * 30 + [few] * 2 + [late] * 2
    await stage.sql(
        "update enrollments set due_at = null where workflow_id = $1 and due_at < now() - interval '31 s'",
        many,
    )
    assert await claimed(stage, 3) == [few] * 2 + [many]


async def test_two_workers_share_due_enrollments(stage: Stage) -> None:
    first, second = [await flow(stage, AddTag(tag=await stage.tag(name))) for name in "ab"]
    await crowd(stage, first, 6, ago=20)
    await crowd(stage, second, 6, ago=10)
    async with (
        open_work(stage.runtime, stage.account, SYSTEM) as first_work,
        open_work(stage.runtime, stage.account, SYSTEM) as two,
    ):
        rows = [await claim_due_enrollments(work.session, work.now, 4) for work in (first_work, two)]
    assert [[row.workflow_id for row in part] for part in rows] == [[first] * 4, [first] * 2 + [second] * 2]
    assert len({row.id for part in rows for row in part}) == 8


@pytest.mark.parametrize("why", ["under way", "paused"])
async def test_unsendable_effect_gives_its_workflow_no_turn(stage: Stage, why: str) -> None:
    """Or a workflow with much to send would always be first, and the others would never have their turn."""
    many, few = await flow(stage, MAIL), await flow(stage, MAIL)
    await crowd(stage, many, 20, ago=10)
    await crowd(stage, few, 2, ago=20)
    [first] = await crowd(stage, many, 1, ago=60)
    for workflow in (many, few):
        await stage.sql(PENDING, workflow)
    if why == "paused":
        await stage.sql("update enrollments set paused_at = now(), due_at = null where id = $1", first)
    else:
        claim = "update effects set status = 'claimed', lease_until = now() + interval '1 h'"
        await stage.sql(f"{claim} where enrollment_id = $1", first)
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        effects = await claim_effects(work.session, work.now, 2, 60)
    assert [effect.workflow_id for effect in effects] == [few] * 2


async def test_enrollments_being_moved_give_their_workflow_no_turn(stage: Stage) -> None:
    many, few = await flow(stage, MAIL), await flow(stage, MAIL)
    await crowd(stage, many, 20, ago=10)
    await crowd(stage, few, 2, ago=20)
    moved = await crowd(stage, many, 1, ago=60)
    await stage.sql(RELOCATING, stage.account, moved[0])
    assert await claimed(stage, 3) == [few] * 2 + [many]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


Query = Callable[[AsyncSession], Awaitable[object]]


async def statement_of(stage: Stage, query: Query, table: str) -> tuple[str, Sequence[object]]:
    """The statement of a query that reads a table, and its values; what it wrote is undone."""
    executed: list[tuple[str, Sequence[object]]] = []

    def record(_c: object, _cursor: object, statement: str, values: Sequence[object], *_: object) -> None:
        executed.append((statement, values))

    engine = stage.runtime.engine.sync_engine
    event.listen(engine, "before_cursor_execute", record)
    try:
        async with open_work(stage.runtime, stage.account, SYSTEM) as work:
            await query(work.session)
    finally:
        event.remove(engine, "before_cursor_execute", record)
    [reading] = [(statement, values) for statement, values in executed if table in statement]
    return reading


async def touched(stage: Stage, plans: str, query: Query, table: str) -> int:
    """Rows of a table that a query reads, those it then leaves out included; undone. `plans` is the mode of
    the plan cache: workers prepare a statement once and keep its plan."""
    statement, values = await statement_of(stage, query, table)
    arguments = ", ".join(f"'{value}'" for value in values)
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        run = (await work.session.connection()).exec_driver_sql
        await run(f"set local plan_cache_mode = {plans}")
        await run(f"prepare looked_at as {statement}")
        [[plan]] = (await run(f"explain (analyze, format json) execute looked_at({arguments})")).all()
        await run("deallocate looked_at")
    explained = plan if isinstance(plan, list) else json.loads(plan)
    scans = [node for node in nodes(explained[0]["Plan"]) if node.get("Relation Name") == table]
    assert scans, "it reads the table"
    read = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return int(sum(sum(node.get(name, 0) for name in read) * node["Actual Loops"] for node in scans))


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("analyzed", ["before", "after"])
async def test_claims_read_no_rows_of_held_workflows(stage: Stage, analyzed: str, plans: str) -> None:
    """With statistics from before or after the crowd came."""
    held, other = await flow(stage, MAIL, held=True), await flow(stage, MAIL)
    for _ in range(20):
        await flow(stage, MAIL)
    if analyzed == "before":
        await stage.sql("analyze enrollments, effects, workflows")
    for workflow, count in ((held, CROWD), (other, 5)):
        await crowd(stage, workflow, count)
        await stage.sql(PENDING, workflow)
    if analyzed == "after":
        await stage.sql("analyze enrollments, effects, workflows")
    now = await stage.now()

    def due_enrollments(session: AsyncSession) -> Awaitable[object]:
        return claim_due_enrollments(session, now, 500)

    def due_effects(session: AsyncSession) -> Awaitable[object]:
        return claim_effects(session, now, 40, 60)

    def interrupted_calls(session: AsyncSession) -> Awaitable[object]:
        return mark_interrupted_calls(session, 12)

    assert await touched(stage, plans, due_enrollments, "enrollments") <= 20
    # With statistics older than an account's effects, PostgreSQL may join the few claimed ones by hashing all
    # of the account's. That lasts until autovacuum has analyzed the table, a minute or two.
    if analyzed == "after":
        for table in ("effects", "enrollments"):
            assert await touched(stage, plans, due_effects, table) <= 30, table
        assert await touched(stage, plans, interrupted_calls, "effects") <= 5
    await stage.sql("delete from accounts where id = $1", stage.account)
