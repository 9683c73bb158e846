"""Scenes that bring the engine to each point of `app/fault_hook.py`.

`SCENES` names them with the points that they reach. A scene sets up an account and returns what the process
under test does then. Some of its helpers (`entering`, `inside`) also set up other fault tests.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec

from app.engine.core.steps import SendEmail, Unit, UpdateField, Wait, Webhook
from app.engine.core.triggers import ContactCreated, Manual
from app.fault_hook import Boundary, Moment
from db.ids import uuid7
from jobs.turns import match_and_advance
from tests.support.scenario import Stage

MAIL = SendEmail(subject="Hello", body="Hi")
FAR = UpdateField(field="city", value="Far")
HOOK = Webhook(url="http://example.com/hook", body="")
IN_DOUBT = "status = 'unknown', started_at = now(), attempts = 1"
WAITS_FOR_RETRY = "status = 'retry', attempts = 1, due_at = now() + interval '1 hour'"


class Prepared(msgspec.Struct, kw_only=True):
    """What the process under test does: a part of `Order` in `child_process.py`."""

    action: str = "drain"
    target: UUID | None = None
    contacts: list[UUID] = []
    poison: UUID | None = None


Scene = Callable[[Stage], Awaitable[Prepared]]


async def entering(stage: Stage, count: int = 3) -> list[UUID]:
    """Contacts with an unmatched event that starts a workflow of three steps."""
    await stage.workflow([FAR, MAIL, HOOK], ContactCreated(key="t1"))
    contacts = await stage.contacts(count)
    for contact in contacts:
        await stage.emit("contact.created", contact)
    return contacts


async def path(stage: Stage) -> Prepared:
    """Three contacts enter, get a field set, an email and a webhook call."""
    await entering(stage)
    return Prepared()


async def poison_event(stage: Stage) -> Prepared:
    """Matching one of the events fails."""
    return Prepared(poison=(await entering(stage))[1])


async def inside(stage: Stage, count: int, steps: list[Any]) -> list[UUID]:
    """Enrollments whose first step is due; returns their ids."""
    workflow = await stage.workflow(steps, Manual(key="t1"))
    contacts, enrollment_ids = await stage.contacts(count), [uuid7() for _ in range(count)]
    await stage.sql(
        "insert into enrollments (account_id, id, workflow_id, version, contact_id, event_id, root_event_id, "
        "due_at, entered_at) select $1, e, $2, 1, i, i, i, now(), now() "
        "from unnest($3::uuid[], $4::uuid[]) v(i, e)",
        stage.account, workflow, contacts, enrollment_ids,
    )  # fmt: skip
    return enrollment_ids


async def poison_row(stage: Stage) -> Prepared:
    """The database refuses what the step of one enrollment writes."""
    enrollment_ids = await inside(stage, 3, [FAR])
    await stage.sql(
        "insert into enrollment_executions (account_id, enrollment_id, seq, step_key, kind, started_at) "
        "values ($1, $2, 1, 's1', 'wait', now())",
        stage.account, enrollment_ids[1],
    )  # fmt: skip
    return Prepared()


async def enrollments_left_behind(stage: Stage) -> Prepared:
    """A worker died while it advanced three enrollments."""
    enrollment_ids = await inside(stage, 3, [FAR])
    await stage.sql(
        "insert into inflight_batches (account_id, id, worker_id, ids, started_at) "
        "values ($1, gen_random_uuid(), gen_random_uuid(), $2, now() - interval '1 hour')",
        stage.account, enrollment_ids,
    )  # fmt: skip
    return Prepared()


async def events_left_behind(stage: Stage) -> Prepared:
    """A worker died while it matched three events."""
    await entering(stage)
    await stage.sql(
        "insert into inflight_batches (account_id, id, kind, worker_id, ids, started_at) "
        "select $1, gen_random_uuid(), 'match', gen_random_uuid(), array_agg(id order by id), "
        "now() - interval '1 hour' from events where account_id = $1",
        stage.account,
    )  # fmt: skip
    return Prepared()


async def sending(stage: Stage, step: Any = MAIL, count: int = 2) -> list[UUID]:
    """Contacts with a pending effect; returns the ids of the effects."""
    await stage.workflow([step, FAR], ContactCreated(key="t1"))
    for contact in await stage.contacts(count):
        await stage.emit("contact.created", contact)
    await match_and_advance(stage.runtime, stage.account)
    rows = await stage.sql("select id from effects where account_id = $1 order by due_at, id", stage.account)
    return [row["id"] for row in rows]


async def stopping(stage: Stage) -> Prepared:
    """The worker is told to stop when it has just claimed effects, and releases them."""
    await sending(stage)
    return Prepared(action="release")


async def in_doubt(stage: Stage) -> Prepared:
    """A worker died in the middle of a call."""
    effects = await sending(stage)
    await stage.sql(
        "update effects set status = 'claimed', fence = 1, attempts = 1, "
        "started_at = now() - interval '1 hour', lease_until = now() - interval '1 minute' "
        "where account_id = $1 and id = $2",
        stage.account, effects[0],
    )  # fmt: skip
    return Prepared()


async def job(stage: Stage) -> Prepared:
    """A bulk edit of three contacts."""
    tag, contacts = await stage.tag("late"), await stage.contacts(3)
    ids = [str(contact) for contact in contacts]
    await stage.job("bulk.tag", tag_id=str(tag), tag="late", operation="add", ids=ids)
    return Prepared()


async def failing_job(stage: Stage) -> Prepared:
    """A job whose handler fails; it is tried again later."""
    await stage.job("bulk.tag", tag_id="none")
    return Prepared()


async def _effect_in(stage: Stage, state: str) -> UUID:
    """An effect whose columns are set to `state`; returns its id."""
    (effect,) = await sending(stage, count=1)
    await stage.sql(f"update effects set {state} where id = $1", effect)  # noqa: S608 -- a text of ours
    await match_and_advance(stage.runtime, stage.account)
    return effect


async def mark_as_sent(stage: Stage) -> Prepared:
    """A member says that an effect in doubt was sent."""
    return Prepared(action="mark as sent", target=await _effect_in(stage, IN_DOUBT))


async def send_again(stage: Stage) -> Prepared:
    """A member says that an effect in doubt was not sent."""
    return Prepared(action="send again", target=await _effect_in(stage, IN_DOUBT))


async def retry_effect(stage: Stage) -> Prepared:
    """A member retries an effect that waits for its next attempt."""
    return Prepared(action="retry effect", target=await _effect_in(stage, WAITS_FOR_RETRY))


async def cancel_effect(stage: Stage) -> Prepared:
    """A member cancels an effect that waits for its next attempt."""
    return Prepared(action="cancel effect", target=await _effect_in(stage, WAITS_FOR_RETRY))


async def _waiting(stage: Stage) -> UUID:
    """An enrollment that waits for a time; returns its id."""
    (enrollment_id,) = await inside(stage, 1, [Wait(amount=1, unit=Unit.DAYS), FAR])
    await match_and_advance(stage.runtime, stage.account)
    return enrollment_id


async def remove(stage: Stage) -> Prepared:
    """A member removes a waiting enrollment."""
    return Prepared(action="remove", target=await _waiting(stage))


async def skip_wait(stage: Stage) -> Prepared:
    """A member ends the wait of an enrollment."""
    return Prepared(action="skip wait", target=await _waiting(stage))


async def retry_enrollment(stage: Stage) -> Prepared:
    """A member retries an enrollment that failed."""
    (enrollment_id,) = await inside(stage, 1, [FAR])
    await stage.sql(
        "update enrollments set status = 'failed', exit_reason = 'failed_permanent', error = 'It broke.', "
        "due_at = null, ended_at = now() where id = $1", enrollment_id,
    )  # fmt: skip
    return Prepared(action="retry enrollment", target=enrollment_id)


async def enroll(stage: Stage) -> Prepared:
    """A member enrolls three contacts by hand."""
    workflow = await stage.workflow([FAR], Manual(key="t1"))
    return Prepared(action="enroll", target=workflow, contacts=await stage.contacts(3))


def sides(*boundaries: Boundary) -> tuple[str, ...]:
    """The two points of each commit."""
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
    # Marks of events and marks of enrollments share their code, so both break there.
    "poison event": (poison_event, sides(Boundary.MATCH_SKIPPED, Boundary.MARK_REMOVED)),
    "events left behind": (events_left_behind, sides(Boundary.MARK_SPLIT, Boundary.MARK_CLAIMED)),
    "poison row": (poison_row, sides(Boundary.MARK_SET, Boundary.ADVANCE_PARKED, Boundary.MARK_REMOVED)),
    "enrollments left behind": (enrollments_left_behind, sides(Boundary.MARK_SPLIT, Boundary.MARK_CLAIMED)),
    "stopping": (stopping, sides(Boundary.EFFECT_RELEASED)),
    "in doubt": (in_doubt, (Moment.EFFECT_IN_DOUBT,)),
    "job": (job, (*sides(Boundary.JOB_CLAIMED, Boundary.JOB_FINISHED), Moment.JOB_BATCH, *WORK)),
    "failing job": (failing_job, sides(Boundary.JOB_REQUEUED)),
    "mark in doubt: sent": (mark_as_sent, WORK),
    "mark in doubt: send again": (send_again, WORK),
    "retry effect": (retry_effect, WORK),
    "cancel effect": (cancel_effect, WORK),
    "remove": (remove, WORK),
    "skip wait": (skip_wait, WORK),
    "retry enrollment": (retry_enrollment, WORK),
    "enroll": (enroll, WORK),
}
