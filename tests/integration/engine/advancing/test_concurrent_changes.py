"""Publishing and member commands while workers advance the same enrollments: nothing is lost or done
twice."""

import asyncio
from uuid import UUID

from app.engine.core.steps import AddNote, Exit, Unit, Wait
from app.enrollments.use_cases.progress import jump, pause_enrollment, resume_enrollment
from app.errors import Conflict
from app.work import open_work
from app.workflows.schemas.publication import MoveChoice
from jobs.turns import drain
from tests.support.publication_kit import Flow, draft_of
from tests.support.scenario import USER, Stage

TINY = Wait(amount=1, unit=Unit.SECONDS)


async def counted(stage: Stage, flow: Flow) -> list[tuple[int, str, int]]:
    rows = await stage.sql(
        "select version, coalesce(step_key, '') as step, count(*) as people from enrollments"
        " where workflow_id = $1 and status = 'active' group by 1, 2", flow.id,
    )  # fmt: skip
    return [(row["version"], row["step"], row["people"]) for row in rows]


async def test_publishing_while_enrollments_advance(stage: Stage) -> None:
    flow = await Flow.create(stage)
    await flow.save(draft_of(*[TINY] * 6, AddNote(text="end")))
    await flow.publish()
    people = await stage.contacts(120)
    for person in people:
        await stage.emit("contact.created", person)

    over = asyncio.Event()

    async def work() -> None:
        while not over.is_set():
            stage.clock.forward(seconds=0.05)
            await drain(stage.runtime, stage.account)
            await asyncio.sleep(0)

    async def publish() -> None:
        moved = 0
        for number in range(40):
            await flow.save(draft_of(*[TINY] * 6, AddNote(text="end"), Exit(reason=f"{number}")))
            choices = [
                MoveChoice(version=version, to=step or "start", enrollments=count, step=step)
                for version, step, count in await counted(stage, flow)
            ]
            try:
                moved += (await flow.publish(*choices)).moved
            except Conflict:
                await asyncio.sleep(0.01)
            if moved > 200:
                break
        over.set()

    await asyncio.gather(work(), work(), publish())
    moves = await stage.sql("select 1 from enrollment_moves where account_id = $1", stage.account)
    assert moves, "some plan was true long enough"
    for _ in range(9):
        await stage.drain(seconds=10)
    rows = await stage.sql("select status, error from enrollments where workflow_id = $1", flow.id)
    assert (len(rows), {row["error"] for row in rows}) == (120, {None})
    assert {row["status"] for row in rows} <= {"completed", "exited"}
    notes = await stage.sql("select contact_id from notes where account_id = $1", stage.account)
    assert (len(notes), len({row["contact_id"] for row in notes})) == (120, 120)
    open_visits = await stage.sql(
        "select 1 from enrollment_executions where account_id = $1 and finished_at is null", stage.account
    )
    assert open_visits == []


async def test_member_commands_while_enrollments_advance(stage: Stage) -> None:
    flow = await Flow.create(stage)
    await flow.save(draft_of(*[TINY] * 4, AddNote(text="end")))
    await flow.publish()
    people = await flow.people(40)
    ids = [(await stage.enrollment(person))["id"] for person in people]

    async def steer(enrollment: UUID) -> None:
        for verb in (pause_enrollment, resume_enrollment):
            async with open_work(stage.runtime, stage.account, USER) as work:
                try:
                    await verb(work, enrollment)
                except Conflict:
                    return
        async with open_work(stage.runtime, stage.account, USER) as work:
            try:
                await jump(work, enrollment, "s1")
            except Conflict:
                return

    async def work() -> None:
        for _ in range(10):
            stage.clock.forward(seconds=0.2)
            await drain(stage.runtime, stage.account)

    await asyncio.gather(work(), work(), *(steer(enrollment) for enrollment in ids))
    for _ in range(6):
        await stage.drain(seconds=10)
    rows = await stage.sql("select status from enrollments where workflow_id = $1", flow.id)
    assert [row["status"] for row in rows] == ["completed"] * 40
    notes = await stage.sql("select 1 from notes where account_id = $1", stage.account)
    assert len(notes) == 40
