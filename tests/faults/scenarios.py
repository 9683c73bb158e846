"""The scenes in which each point of `app/fault_hook.py` is reached."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec

from app.engine.core.steps import SendEmail, Unit, UpdateField, Wait, Webhook
from app.engine.core.triggers import ContactCreated, Manual
from app.fault_hook import Boundary, Moment
from db.ids import uuid7
from jobs.tasks import match_and_advance
from tests.support.scenario import Stage

MAIL = SendEmail(subject="Hello", body="Hi")
FAR = UpdateField(field="city", value="Far")
HOOK = Webhook(url="http://example.com/hook", body="")


class Prepared(msgspec.Struct, kw_only=True):
    """What the process under test does (see tests/faults/child.py)."""

    action: str = "drain"
    target: UUID | None = None
    contacts: list[UUID] = []
    poison: UUID | None = None


Scene = Callable[[Stage], Awaitable[Prepared]]


async def entering(stage: Stage, count: int = 3) -> list[UUID]:
    await stage.workflow([FAR, MAIL, HOOK], ContactCreated(key="t1"))
    people = await stage.contacts(count)
    for person in people:
        await stage.emit("contact.created", person)
    return people


async def path(stage: Stage) -> Prepared:
    """Three people enter, are changed, written to and reported."""
    await entering(stage)
    return Prepared()


async def poison_event(stage: Stage) -> Prepared:
    """One of the events cannot be matched."""
    return Prepared(poison=(await entering(stage))[1])


async def inside(stage: Stage, count: int, steps: list[Any]) -> list[UUID]:
    """People who are in already and whose first step is due; their ids as enrollments."""
    workflow = await stage.workflow(steps, Manual(key="t1"))
    people, enrollment_ids = await stage.contacts(count), [uuid7() for _ in range(count)]
    await stage.sql(
        "insert into enrollments (account_id, id, workflow_id, version, contact_id, event_id, root_event_id, "
        "due_at, entered_at) select $1, e, $2, 1, i, i, i, now(), now() "
        "from unnest($3::uuid[], $4::uuid[]) v(i, e)",
        stage.account, workflow, people, enrollment_ids,
    )  # fmt: skip
    return enrollment_ids


async def poison_row(stage: Stage) -> Prepared:
    """The database refuses what the step of one of them would write."""
    people = await inside(stage, 3, [FAR])
    await stage.sql(
        "insert into enrollment_executions (account_id, enrollment_id, seq, step_key, kind, started_at) "
        "values ($1, $2, 1, 's1', 'wait', now())",
        stage.account, people[1],
    )  # fmt: skip
    return Prepared()


async def left_behind(stage: Stage) -> Prepared:
    """A worker died while it moved them."""
    people = await inside(stage, 3, [FAR])
    await stage.sql(
        "insert into batches (account_id, id, worker_id, ids, begun_at) "
        "values ($1, gen_random_uuid(), gen_random_uuid(), $2, now() - interval '1 hour')",
        stage.account, people,
    )  # fmt: skip
    return Prepared()


async def events_left_behind(stage: Stage) -> Prepared:
    """A worker died while it matched them."""
    await entering(stage)
    await stage.sql(
        "insert into batches (account_id, id, kind, worker_id, ids, begun_at) "
        "select $1, gen_random_uuid(), 'match', gen_random_uuid(), array_agg(id order by id), "
        "now() - interval '1 hour' from events where account_id = $1",
        stage.account,
    )  # fmt: skip
    return Prepared()


async def sending(stage: Stage, step: Any = MAIL, count: int = 2) -> list[UUID]:
    """People whose message is pending; the ids of the messages."""
    await stage.workflow([step, FAR], ContactCreated(key="t1"))
    for person in await stage.contacts(count):
        await stage.emit("contact.created", person)
    await match_and_advance(stage.runtime, stage.account)
    rows = await stage.sql("select id from effects where account_id = $1 order by due_at, id", stage.account)
    return [row["id"] for row in rows]


async def leaving(stage: Stage) -> Prepared:
    """The worker is told to stop when it has just claimed."""
    await sending(stage)
    return Prepared(action="give back")


async def in_doubt(stage: Stage) -> Prepared:
    """A worker died in the middle of a call."""
    effects = await sending(stage)
    await stage.sql(
        "update effects set status = 'claimed', fence = 1, attempts = 1, "
        "begun_at = now() - interval '1 hour', lease_until = now() - interval '1 minute' "
        "where account_id = $1 and id = $2",
        stage.account, effects[0],
    )  # fmt: skip
    return Prepared()


async def job(stage: Stage) -> Prepared:
    tag, people = await stage.tag("late"), await stage.contacts(3)
    await stage.job(
        "bulk.tag", tag_id=str(tag), tag="late", operation="add", ids=[str(person) for person in people]
    )
    return Prepared()


async def failing_job(stage: Stage) -> Prepared:
    """Its handler breaks and it is tried again later."""
    await stage.job("bulk.tag", tag_id="none")
    return Prepared()


async def _effect_in(stage: Stage, state: str) -> UUID:
    (effect,) = await sending(stage, count=1)
    await stage.sql(f"update effects set {state} where id = $1", effect)  # noqa: S608 -- a text of ours
    await match_and_advance(stage.runtime, stage.account)
    return effect


async def settle_out(stage: Stage) -> Prepared:
    return Prepared(
        action="settle out",
        target=await _effect_in(stage, "status = 'unknown', begun_at = now(), attempts = 1"),
    )


async def settle_again(stage: Stage) -> Prepared:
    return Prepared(
        action="settle again",
        target=await _effect_in(stage, "status = 'unknown', begun_at = now(), attempts = 1"),
    )


async def retry_effect(stage: Stage) -> Prepared:
    state = "status = 'retry', attempts = 1, due_at = now() + interval '1 hour'"
    return Prepared(action="retry effect", target=await _effect_in(stage, state))


async def cancel_effect(stage: Stage) -> Prepared:
    state = "status = 'retry', attempts = 1, due_at = now() + interval '1 hour'"
    return Prepared(action="cancel effect", target=await _effect_in(stage, state))


async def _waiting(stage: Stage) -> UUID:
    (enrollment_id,) = await inside(stage, 1, [Wait(amount=1, unit=Unit.DAYS), FAR])
    await match_and_advance(stage.runtime, stage.account)
    return enrollment_id


async def remove(stage: Stage) -> Prepared:
    return Prepared(action="remove", target=await _waiting(stage))


async def skip_wait(stage: Stage) -> Prepared:
    return Prepared(action="skip wait", target=await _waiting(stage))


async def retry_enrollment(stage: Stage) -> Prepared:
    (enrollment_id,) = await inside(stage, 1, [FAR])
    await stage.sql(
        "update enrollments set status = 'failed', exit_reason = 'failed_permanent', error = 'It broke.', "
        "due_at = null, ended_at = now() where id = $1", enrollment_id,
    )  # fmt: skip
    return Prepared(action="retry enrollment", target=enrollment_id)


async def enroll(stage: Stage) -> Prepared:
    workflow = await stage.workflow([FAR], Manual(key="t1"))
    return Prepared(action="enroll", target=workflow, contacts=await stage.contacts(3))


def sides(*boundaries: Boundary) -> tuple[str, ...]:
    return tuple(f"{boundary}.{side}" for boundary in boundaries for side in ("before", "after"))


WORK = sides(Boundary.WORK)
SCENES: dict[str, tuple[Scene, tuple[str, ...]]] = {
    "path": (
        path,
        (
            *sides(Boundary.MATCH, Boundary.ADVANCE, Boundary.MARK_SET, Boundary.EFFECT_CLAIMED),
            *sides(Boundary.EFFECT_STARTED, Boundary.EFFECT_FINISHED),
            Moment.MATCH_CONTACT,
            Moment.ADVANCE_CONTACT,
            Moment.EFFECT_CALLED,
        ),
    ),
    # What marks of events and marks of enrollments have in common is broken in both.
    "poison event": (poison_event, sides(Boundary.MATCH_SKIPPED, Boundary.MARK_REMOVED)),
    "events left behind": (events_left_behind, sides(Boundary.MARK_SPLIT, Boundary.MARK_CLAIMED)),
    "poison row": (poison_row, sides(Boundary.MARK_SET, Boundary.ADVANCE_PARKED, Boundary.MARK_REMOVED)),
    "left behind": (left_behind, sides(Boundary.MARK_SPLIT, Boundary.MARK_CLAIMED)),
    "leaving": (leaving, sides(Boundary.EFFECT_RELEASED)),
    "in doubt": (in_doubt, (Moment.EFFECT_IN_DOUBT,)),
    "job": (job, (*sides(Boundary.JOB_CLAIMED, Boundary.JOB_FINISHED), Moment.JOB_BATCH, *WORK)),
    "failing job": (failing_job, sides(Boundary.JOB_REQUEUED)),
    "settle: it went out": (settle_out, WORK),
    "settle: send again": (settle_again, WORK),
    "retry effect": (retry_effect, WORK),
    "cancel effect": (cancel_effect, WORK),
    "remove": (remove, WORK),
    "skip wait": (skip_wait, WORK),
    "retry enrollment": (retry_enrollment, WORK),
    "enroll": (enroll, WORK),
}
