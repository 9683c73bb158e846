"""People who stand in older versions, taken to the one that was just published, or out of the workflow."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import select, update

from app.enrollments.letting_in import take_out
from app.enrollments.verbs import take_from
from app.errors import Conflict, Invalid
from app.work import Work
from app.workflows.domain.draft import walk
from app.workflows.domain.outcomes import ExitReason
from app.workflows.domain.relocation import ANEW, EFFECTS, Stand, stand
from app.workflows.domain.steps import StepConfig
from app.workflows.domain.version import Version, load_version
from app.workflows.schemas.publication import EXIT, FINISH, START, StandChoice
from db.ids import uuid7
from db.models import Job
from db.repositories.engine import Engine
from db.repositories.relocation import APPROVALS_DUE, COUNT, LOCKED, MOVES, RELOCATED, STANDING

TASK, QUEUE = "workflow.relocation", "bulk"
AT_ONCE = 5000
BATCH = 500
STALE = "The people have moved on since you looked. Nothing was published: this is where they stand now."
NOBODY = UUID(int=0)
Configs = Mapping[str, StepConfig]


class Relocated(msgspec.Struct):
    """How many were moved and taken out, and how many stay on their version because something may be going
    out for them. `after` is the last enrollment that was looked at, None when nobody is left."""

    moved: int = 0
    exited: int = 0
    under_way: int = 0
    after: UUID | None = None

    def add(self, other: "Relocated") -> None:
        self.moved += other.moved
        self.exited += other.exited
        self.under_way += other.under_way


async def checked(
    work: Work, workflow_id: UUID, number: int, version: Version, choices: Sequence[StandChoice]
) -> list[StandChoice]:
    """The choices that do something; few people stay where they are from now on until the transaction ends.
    Raises `Invalid` for a choice that cannot be, `Conflict` when other people stand there than the plan
    showed."""
    keys = {step.key for _, _, step in walk(version.steps)}
    problems, wanted, seen = {}, [], set()
    for place, choice in enumerate(choices):
        if choice.to == FINISH:
            continue
        if choice.version == number:
            problems[f"choices.{place}.version"] = f"They are on version {number} already."
        elif (choice.version, choice.step) in seen:
            problems[f"choices.{place}.step"] = "Choose once what happens to these people."
        elif choice.to not in ({EXIT, START} if not choice.step else {EXIT}) | keys:
            problems[f"choices.{place}.to"] = "Choose a step of the new version, finish or exit."
        seen.add((choice.version, choice.step))
        wanted.append(choice)
    if problems:
        raise Invalid(problems)
    await _still_there(work, workflow_id, wanted)
    return wanted


async def _still_there(work: Work, workflow_id: UUID, choices: Sequence[StandChoice]) -> None:
    """Raises `Conflict` when other people stand there than the choices say. Few of them are locked first."""
    engine = Engine(work.session)
    if choices and sum(choice.people for choice in choices) <= AT_ONCE:
        await engine.all(
            LOCKED,
            workflow=workflow_id,
            version=[choice.version for choice in choices],
            step=[choice.step or None for choice in choices],
        )
    for choice in choices:
        place = {"version": choice.version, "step": choice.step or None}
        row = (await engine.all(COUNT, workflow=workflow_id, **place))[0]
        if row.people != choice.people:
            raise Conflict(STALE, current={**place, "people": row.people})


async def relocate(work: Work, version: Version, choices: Sequence[StandChoice], by: str) -> Relocated:
    """All of them, in the transaction that runs."""
    done = Relocated()
    for choice in choices:
        after: UUID | None = NOBODY
        while after is not None:
            part = await relocate_batch(work, version, choice, by, after)
            done.add(part)
            after = part.after
    return done


async def relocate_batch(
    work: Work, version: Version, choice: StandChoice, by: str, after: UUID
) -> Relocated:
    """The next of those who stand where the choice says."""
    rows = await Engine(work.session).all(
        STANDING, workflow=version.workflow_id, version=choice.version, step=choice.step or None,
        after=after, most=BATCH,
    )  # fmt: skip
    if not rows:
        return Relocated()
    ids = [row.id for row in rows]
    busy = {effect.enrollment_id for effect in await work.effects.under_way(ids)}
    free = [row for row in rows if row.id not in busy]
    done = Relocated(under_way=len(rows) - len(free), after=ids[-1] if len(rows) == BATCH else None)
    if choice.to == EXIT:
        done.exited = len(rows)
        done.under_way = 0
        await take_out(work, Engine(work.session), ids, ExitReason.REMOVED_BY_USER)
    else:
        done.moved = len(free)
        await _take_along(work, version, choice, free, by)
    return done


async def _take_along(
    work: Work, version: Version, choice: StandChoice, rows: Sequence[Any], by: str
) -> None:
    to = None if choice.to == START else choice.to
    old = await _configs(work, version.workflow_id, choice.version)
    new = {step.key: step.config for _, _, step in walk(version.steps)}
    zone = ZoneInfo((await work.accounts.own()).time_zone)
    places = [(row, _place(row, to, old, new, zone)) for row in rows]
    left = [row for row, place in places if not place.kept and row.wait_reason is not None]
    if left:
        await take_from(work, left, {"reason": "moved", "by": by})
    engine = Engine(work.session)
    await engine.insert(
        RELOCATED,
        [
            {"id": row.id, "step_key": to, "kept": place.kept, "wait_until": place.until}
            for row, place in places
        ],
        version=version.number,
        now=work.now,
    )
    asked = [
        {"id": row.id, "seq": row.seq, "wait_until": place.until}
        for row, place in places
        if place.kept and row.wait_reason == "approval" and place.until != row.wait_until
    ]
    await engine.insert(APPROVALS_DUE, asked)
    moves = [
        {"id": uuid7(), "enrollment_id": row.id, "from_step": row.step_key, "to_step": to} for row in rows
    ]
    await engine.insert(
        MOVES, moves, from_version=choice.version, to_version=version.number, by=by, now=work.now
    )


def _place(row: Any, to: str | None, old: Configs, new: Configs, zone: ZoneInfo) -> Stand:
    if row.step_key is None and to is None:
        return Stand(True, row.wait_until)  # not begun: whoever settles goes on doing so
    if to is None or row.step_key != to:
        return ANEW
    if row.wait_reason in EFFECTS:
        return Stand(True, row.wait_until)
    return stand(old.get(to), new.get(to), row.wait_reason, row.wait_until, row.started_at, zone)


async def _configs(work: Work, workflow_id: UUID, number: int) -> Configs:
    row = await work.workflows.version(workflow_id, number)
    return {step.key: step.config for _, _, step in walk(load_version(row.document).steps)} if row else {}


def add_relocation_job(work: Work, version: Version, choices: Sequence[StandChoice]) -> UUID:
    """The job for more people than one transaction should hold."""
    args = {
        "workflow_id": str(version.workflow_id),
        "number": version.number,
        "choices": msgspec.to_builtins(list(choices)),
    }
    return work.add_job(QUEUE, TASK, args, total=sum(choice.people for choice in choices))


async def run_relocation(work: Work, job: Job) -> bool:
    """The next batch; True after the last one. Moving and the place where the walk goes on are one
    transaction. Raises `Conflict` when the version is not live any more."""
    workflow_id, number = UUID(job.args["workflow_id"]), job.args["number"]
    header = await work.workflows.header(workflow_id)
    row = await work.workflows.version(workflow_id, number)
    if header is None or row is None or header.live_version != number:
        raise Conflict(f"Version {number} is not live any more: nobody else was moved to it.")
    version = load_version(row.document)
    choices = msgspec.convert(job.args["choices"], list[StandChoice])
    mine = (Job.account_id == work.account_id, Job.id == job.id)
    result = dict(await work.session.scalar(select(Job.result).where(*mine).with_for_update()) or {})
    place = int(result.get("place", 0))
    if place < len(choices):
        after = UUID(result["cursor"]) if result.get("cursor") else NOBODY
        done = await relocate_batch(work, version, choices[place], job.actor_name, after)
        for name in ("moved", "exited", "under_way"):
            result[name] = result.get(name, 0) + getattr(done, name)
        result["cursor"] = str(done.after) if done.after else ""
        result["place"] = place = place if done.after else place + 1
    last = place >= len(choices)
    seen = sum(result.get(name, 0) for name in ("moved", "exited", "under_way"))
    await work.session.execute(
        update(Job)
        .where(*mine)
        .values(progress=Job.total if last else seen, result=result)
        .execution_options(synchronize_session=False)
    )
    work.ring()
    return last  # the worker commits
