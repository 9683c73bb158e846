"""Counters are what they count, whatever writes and whoever folds meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg
import pytest

from app.contacts.use_cases import add_tag, create_contact, delete_contact, remove_tag, restore_contact
from app.engine.core.draft import Draft
from app.engine.core.steps import AddNote, Branch, BranchLane, Unit, Wait
from app.engine.core.triggers import TagAdded
from app.engine.recovery.retention import delete_expired_data
from app.enrollments.use_cases.effects import retry_enrollment
from app.enrollments.use_cases.membership import remove_enrollment
from app.enrollments.use_cases.progress import jump
from app.errors import Conflict, NotFound
from app.filters.ast import Op
from app.settings import Settings
from app.tags.use_cases import delete_tag
from app.work import Work, open_work
from app.workflows.schemas.publication import MoveChoice
from db.ids import uuid7
from db.queries.counter_folds import begin_snapshot, count_family, lock_counters
from db.queries.counters import read_counts, read_sizes
from db.queries.workflow_pages import count_by_place, count_visits
from jobs import counter_upkeep
from jobs.counter_upkeep import count_in_account, fold_account, keep_counters
from jobs.worker import WorkerProcess
from scripts._lib.faults.counter_check import KNOWN_FAMILIES, WRONG_COUNTS
from tests.support.publication_kit import Flow, draft_of
from tests.support.scenario import USER, Stage, ask

ALL = {"contacts", "tags", "segments", "enrollments", "visits"}
NOW = timedelta(0)


@pytest.fixture
async def db(admin_url: str, app: object) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, which does not say that it counts."""
    connection = await asyncpg.connect(admin_url)
    yield connection
    await connection.close()


@pytest.fixture
async def two_users(settings: Settings, stage: Stage) -> AsyncIterator[tuple[asyncpg.Connection, ...]]:
    """Two connections as app_user, in the account."""
    connections = [await asyncpg.connect(settings.database_url) for _ in range(2)]
    for connection in connections:
        await connection.execute("select set_config('app.account_id', $1, false)", str(stage.account))
    yield tuple(connections)
    for connection in connections:
        await connection.close()


async def differences(db: asyncpg.Connection, account: UUID) -> list[asyncpg.Record]:
    return list(await db.fetch(WRONG_COUNTS, account))


async def known_families(db: asyncpg.Connection, account: UUID) -> set[str]:
    return {row["family"] for row in await db.fetch(KNOWN_FAMILIES, account)}


async def in_work(stage: Stage, command: Callable[[Work], Awaitable[object]]) -> None:
    """Runs a command that may find that it can't."""
    async with open_work(stage.runtime, stage.account, USER) as work:
        try:
            await command(work)
        except (Conflict, NotFound):
            await work.session.rollback()


async def open_deltas(stage: Stage) -> int:
    row = await stage.row("select count(*) from counter_deltas where account_id = $1", stage.account)
    return int(row[0])


async def until_blocked(db: asyncpg.Connection, blocked: asyncpg.Connection) -> None:
    for _ in range(2000):
        if await db.fetchval("select cardinality(pg_blocking_pids($1)) > 0", blocked.get_server_pid()):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("It does not wait.")


class CounterWalk:
    """Random commands on one account with a workflow, which is published again now and then."""

    def __init__(self, stage: Stage, flow: Flow, tag: UUID, seed: int) -> None:
        self.stage, self.flow, self.tag, self.dice = stage, flow, tag, random.Random(seed)  # noqa: S311 -- a test
        self.version, self.people, self.tags = 1, list[UUID](), [tag]

    async def step(self) -> str:
        names = [name for name in dir(self) if name.startswith("do_")]
        name = self.dice.choice(names)
        await getattr(self, name)()
        return name

    async def do_create(self) -> None:
        async with open_work(self.stage.runtime, self.stage.account, USER) as work:
            created = await create_contact(work, {"first_name": "Ann", "state": "ca"})
            self.people.append(created.id)
        self.people += await self.stage.contacts(3)

    async def do_tag(self) -> None:
        for contact in self.dice.sample(self.people, min(4, len(self.people))):
            name = self.dice.choice(["vip", "cold"])
            await in_work(self.stage, partial(add_tag, contact_id=contact, name=name))

    async def do_untag(self) -> None:
        if self.people:
            contact = self.dice.choice(self.people)
            await in_work(self.stage, lambda work: remove_tag(work, contact, self.tag))

    async def do_delete(self) -> None:
        if self.people:
            contact = self.dice.choice(self.people)
            await in_work(self.stage, lambda work: delete_contact(work, contact))

    async def do_restore(self) -> None:
        if self.people:
            contact = self.dice.choice(self.people)
            await in_work(self.stage, lambda work: restore_contact(work, contact))

    async def do_delete_cold(self) -> None:
        for row in await self.stage.sql(
            "select id from tags where account_id = $1 and slug = 'cold'", self.stage.account
        ):
            await in_work(self.stage, partial(delete_tag, tag_id=row["id"]))

    async def do_drain(self) -> None:
        await self.stage.drain(days=self.dice.choice([0, 1, 2]))

    async def do_command(self) -> None:
        rows = await self.stage.sql("select id from enrollments where account_id = $1", self.stage.account)
        if rows:
            chosen = self.dice.choice(rows)["id"]
            command = self.dice.choice([
                lambda work: jump(work, chosen, "s1"),
                lambda work: remove_enrollment(work, chosen),
                lambda work: retry_enrollment(work, chosen),
            ])  # fmt: skip
            await in_work(self.stage, command)

    async def do_publish(self) -> None:
        """A new version, to which the enrollments at the wait move."""
        waiting = await self.stage.row(
            "select count(*) from enrollments where workflow_id = $1 and status = 'active'"
            " and version = $2 and step_key = 's2'",
            self.flow.id, self.version,
        )  # fmt: skip
        await self.flow.save(draft(self.tag, note=f"note {self.version}"))
        move = MoveChoice(version=self.version, to="s2", enrollments=waiting[0], step="s2")
        await self.flow.publish(*([move] if waiting[0] else []))
        self.version += 1

    async def do_fold(self) -> None:
        await fold_account(self.stage.runtime, self.stage.account)

    async def do_count(self) -> None:
        for family in ALL:
            await count_in_account(self.stage.runtime, self.stage.account, family)

    async def do_erase(self) -> None:
        self.stage.clock.forward(days=20)
        await delete_expired_data(self.stage.runtime)


def draft(tag: UUID, note: str = "hello") -> Draft:
    lanes = Branch(branches=[BranchLane("west", "West", ask("state", Op.IS, "ca"))])
    return draft_of(
        lanes, Wait(amount=1, unit=Unit.DAYS), AddNote(text=note), trigger=TagAdded(key="t1", tag=tag)
    )


@pytest.mark.parametrize("seed", range(3))
async def test_every_way_to_write_keeps_the_counters_true(
    stage: Stage, db: asyncpg.Connection, seed: int
) -> None:
    tag, flow = await stage.tag("vip"), await Flow.create(stage)
    await flow.save(draft(tag))
    await flow.publish()
    walk = CounterWalk(stage, flow, tag, seed)
    await walk.do_create()
    done = []
    for _ in range(60):
        done.append(await walk.step())
        assert await differences(db, stage.account) == [], done
        assert await known_families(db, stage.account) == ALL, done
    places = await stage.row("select count(*) from enrollments where account_id = $1", stage.account)
    assert places[0] > 0, "nobody entered: the walk says nothing"


async def test_a_fold_changes_no_sum_and_leaves_no_delta(stage: Stage) -> None:
    people = await stage.contacts(5)
    tag = await stage.tag("vip")
    for contact in people:
        await stage.add_tag(contact, tag)
    async with open_work(stage.runtime, stage.account, USER) as work:
        before = await read_sizes(work.session, "tags")
    assert before == {tag: 5}
    assert await open_deltas(stage) >= 5
    await fold_account(stage.runtime, stage.account)
    assert await open_deltas(stage) == 0
    async with open_work(stage.runtime, stage.account, USER) as work:
        assert await read_sizes(work.session, "tags") == before


async def test_workers_that_fold_at_once_add_each_delta_once(stage: Stage, db: asyncpg.Connection) -> None:
    for _ in range(5):
        for _ in range(20):
            await db.execute(
                "insert into contacts (account_id, id, first_name) values ($1, $2, 'Ann')",
                stage.account,
                uuid7(),
            )
        folded = await asyncio.gather(*(fold_account(stage.runtime, stage.account) for _ in range(4)))
        await fold_account(stage.runtime, stage.account)
        assert sum(folded) <= 20
        assert await differences(db, stage.account) == []


async def test_a_tag_waits_for_the_deletion_of_its_contact(
    stage: Stage, db: asyncpg.Connection, two_users: tuple[asyncpg.Connection, asyncpg.Connection]
) -> None:
    """Whichever comes first, the tag counts for a live contact only."""
    tagging, deleting = two_users
    tag = await stage.tag("vip")
    add = f"insert into contact_tags (contact_id, tag_id) values ($1, '{tag}')"  # noqa: S608 -- our id
    remove = f"delete from contact_tags where contact_id = $1 and tag_id = '{tag}'"  # noqa: S608 -- our id
    delete = "update contacts set deleted_at = now() where id = $1"
    restore = "update contacts set deleted_at = null where id = $1"
    for change, flip in ((add, delete), (remove, delete), (add, restore), (remove, restore)):
        for first, second in (((tagging, change), (deleting, flip)), ((deleting, flip), (tagging, change))):
            [contact] = await stage.contacts(1)
            if change == remove:
                await db.execute(
                    add.replace("(contact_id", "(account_id, contact_id").replace(
                        "($1", f"('{stage.account}', $1"
                    ),
                    contact,
                )
            if flip == restore:
                await db.execute(delete, contact)
            transaction = first[0].transaction()
            await transaction.start()
            await first[0].execute(first[1], contact)
            other = asyncio.ensure_future(second[0].execute(second[1], contact))
            await until_blocked(db, second[0])
            await transaction.commit()
            await other
            assert await differences(db, stage.account) == [], (change, flip, first[0] is tagging)


async def test_what_others_write_makes_the_counts_unknown_until_they_are_counted_again(
    stage: Stage, db: asyncpg.Connection
) -> None:
    tag, flow = await stage.tag("vip"), await Flow.create(stage)
    await flow.save(draft(tag))
    await flow.publish()
    for contact in await stage.contacts(3):
        await stage.add_tag(contact, tag)
    await stage.drain()

    async def read() -> tuple[bool, object, object]:
        async with open_work(stage.runtime, stage.account, USER) as work:
            available = await read_counts(work.session, "enrollments", flow.id) is not None
            places, visits = (
                await count_by_place(work.session, flow.id),
                await count_visits(work.session, flow.id),
            )
        return available, sorted(places, key=str), sorted(visits, key=str)

    available, *before = await read()
    assert available
    assert before[0]
    await db.execute(
        "update enrollments set status = 'exited', ended_at = now() where account_id = $1", stage.account
    )
    await db.execute(
        "update enrollment_executions set outcome = 'left' where account_id = $1 and outcome is not null",
        stage.account,
    )
    available, *scanned = await read()
    assert not available
    assert scanned != before
    await keep_counters(stage.runtime, timedelta(days=1))
    assert not (await read())[0], "others may still be writing"
    await keep_counters(stage.runtime, NOW)
    available, *counted = await read()
    assert (available, counted) == (True, scanned)
    assert await differences(db, stage.account) == []


async def test_counting_is_exact_while_others_write(stage: Stage, db: asyncpg.Connection) -> None:
    """Writers commit before and after the snapshot of the count, and some of what they wrote is folded."""
    await stage.contacts(10)
    await db.execute("delete from counter_states where account_id = $1", stage.account)
    late = await asyncpg.connect(stage.world.admin_url)
    open_before = late.transaction()
    await open_before.start()
    insert = "insert into contacts (account_id, id, first_name) values ($1, $2, 'Ann')"
    await late.execute(insert, stage.account, uuid7())
    async with stage.runtime.engine.connect() as connection:
        await begin_snapshot(connection, stage.account)
        level = await connection.exec_driver_sql("show transaction_isolation")
        assert level.scalar_one() == "repeatable read"
        assert await lock_counters(connection)
        await open_before.commit()
        await db.execute(insert, stage.account, uuid7())
        await count_family(connection, "contacts")
        assert not await fold_account(stage.runtime, stage.account), "one at a time"
        await db.execute(insert, stage.account, uuid7())
        await connection.commit()
    await late.close()
    assert "contacts" in await known_families(db, stage.account)
    assert await differences(db, stage.account) == []
    await fold_account(stage.runtime, stage.account)
    assert await differences(db, stage.account) == []


async def test_a_worker_that_dies_while_it_counts_leaves_the_rest_to_the_next(
    stage: Stage, db: asyncpg.Connection
) -> None:
    await stage.contacts(3)
    await db.execute("delete from counter_states where account_id = $1", stage.account)
    assert await count_in_account(stage.runtime, stage.account, "tags")
    async with stage.runtime.engine.connect() as connection:
        await begin_snapshot(connection, stage.account)
        pid = (await connection.exec_driver_sql("select pg_backend_pid()")).scalar_one()
        await count_family(connection, "contacts")
        await db.execute("select pg_terminate_backend($1)", pid)
        await connection.invalidate()
    assert await known_families(db, stage.account) == {"tags"}
    await keep_counters(stage.runtime)
    assert await known_families(db, stage.account) == ALL
    assert await differences(db, stage.account) == []


async def test_an_account_that_is_deleted_takes_its_counters_along(
    stage: Stage, db: asyncpg.Connection
) -> None:
    tag = await stage.tag("vip")
    for contact in await stage.contacts(3):
        await stage.add_tag(contact, tag)
    await db.execute("delete from events where account_id = $1", stage.account)
    await db.execute("delete from accounts where id = $1", stage.account)
    assert not await open_deltas(stage)


async def test_a_batch_appends_one_row_per_count(stage: Stage) -> None:
    tag, flow = await stage.tag("vip"), await Flow.create(stage)
    await flow.save(draft(tag))
    await flow.publish()
    for contact in await stage.contacts(40):
        await stage.add_tag(contact, tag)
    await fold_account(stage.runtime, stage.account)
    await stage.drain()
    rows = await stage.sql(
        "select family, sum(n)::int as n, count(*)::int as rows from counter_deltas where account_id = $1"
        " group by 1 order by 1",
        stage.account,
    )
    # Entered, left the start, at the wait; and one visit of the branch that found no lane but the last.
    assert [tuple(row) for row in rows] == [("enrollments", 40, 3), ("visits", 40, 1)]


async def test_a_worker_folds(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.contacts(3)
    monkeypatch.setattr(counter_upkeep, "FOLD_SECONDS", 0.01)
    process = WorkerProcess(stage.runtime)
    running = asyncio.create_task(process.keep_counters())
    for _ in range(2000):
        if not await open_deltas(stage):
            break
        await asyncio.sleep(0.01)
    process.stop.set()
    await running
    assert await open_deltas(stage) == 0
    await process.saq.close()
