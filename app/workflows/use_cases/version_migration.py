"""Moves enrollments of older versions to the version that was just published, or ends them."""

from collections.abc import Mapping, Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from app.engine.core.draft import walk
from app.engine.core.steps import StepConfig
from app.engine.core.types import ExitReason
from app.engine.core.version import Version
from app.engine.core.version_migration import (
    EFFECTS,
    STARTS_AGAIN,
    MovedWait,
    rerenders_effect,
    wait_after_move,
)
from app.engine.matching.enroll import end_enrollments
from app.enrollments.use_cases.progress import close_open_visits
from app.errors import Conflict, Invalid, NotFound
from app.work import Work
from app.workflows.schemas.publication import EXIT, FINISH, START, MoveChoice
from db.ids import uuid7
from db.models import Job
from db.queries.version_migration import (
    LockedEnrollment,
    MarkedEnrollment,
    MovedEnrollment,
    NewDeadline,
    NewMove,
    StepChoice,
    cancel_unbegun_claims,
    count_enrollments_at_step,
    insert_moves,
    lock_enrollments_at_step,
    lock_enrollments_at_steps,
    lock_next_marked,
    lock_unfinished_effects,
    mark_for_migration,
    migrate_enrollments,
    unmark_enrollments,
    update_approval_deadlines,
)

TASK, QUEUE = "workflow.migrate_enrollments", "bulk"
AT_ONCE = 5000
BATCH = 500
STALE = (
    "Enrollments have moved since you opened this page. Nothing was published. Below are their current steps."
)
MOVED_BEFORE_SENT = "The enrollment was moved to another step before this was sent."
RENEWED = "Not sent yet; version {} replaces it."
FIRST_ID = UUID(int=0)
Configs = Mapping[str, StepConfig]


class MoveArgs(msgspec.Struct):
    """What the job moves, and to which version."""

    workflow_id: UUID
    number: int
    choices: list[MoveChoice]


class MoveResult(msgspec.Struct):
    """How many enrollments were moved and ended, and how many stay on their version because an effect may be
    in flight, or because a member moved them meanwhile (`elsewhere`). `renewed` of the moved ones had not
    tried to send their effect: it is rendered from the new version."""

    moved: int = 0
    exited: int = 0
    under_way: int = 0
    elsewhere: int = 0
    renewed: int = 0

    def add(self, other: "MoveResult") -> None:
        self.moved += other.moved
        self.exited += other.exited
        self.under_way += other.under_way
        self.elsewhere += other.elsewhere
        self.renewed += other.renewed

    @property
    def enrollments(self) -> int:
        """The number of enrollments, each counted once."""
        return self.moved + self.exited + self.under_way + self.elsewhere


async def checked_choices(
    work: Work, workflow_id: UUID, number: int, version: Version, choices: Sequence[MoveChoice]
) -> list[MoveChoice]:
    """The choices that do something; the enrollments, if few, are locked until the transaction ends.
    Raises `Invalid` for an impossible choice, `Conflict` when the enrollments are not the ones that the
    plan showed."""
    keys = {step.key for _, _, step in walk(version.steps)}
    problems, chosen, places = {}, [], set()
    for place, choice in enumerate(choices):
        if choice.to == FINISH:
            continue
        if choice.version == number:
            problems[f"choices.{place}.version"] = f"They are already on version {number}."
        elif (choice.version, choice.step) in places:
            problems[f"choices.{place}.step"] = "Choose once what happens to these enrollments."
        elif choice.to not in ({EXIT, START} if not choice.step else {EXIT}) | keys:
            problems[f"choices.{place}.to"] = "Choose a step of the new version, finish or exit."
        places.add((choice.version, choice.step))
        chosen.append(choice)
    if problems:
        raise Invalid(problems)
    await _check_unchanged(work, workflow_id, chosen)
    return chosen


async def _check_unchanged(work: Work, workflow_id: UUID, choices: Sequence[MoveChoice]) -> None:
    """Raises `Conflict` when the enrollments are not those of the choices. Locks them first if they are
    few."""
    if sum(choice.enrollments for choice in choices) <= AT_ONCE:
        await lock_enrollments_at_steps(work.session, workflow_id, _steps_of(choices))
    for choice in choices:
        step = choice.step or None
        there = await count_enrollments_at_step(work.session, workflow_id, choice.version, step)
        if there != choice.enrollments:
            raise _stale(choice, there)


def _steps_of(choices: Sequence[MoveChoice]) -> list[StepChoice]:
    return [StepChoice(choice.version, choice.step or None, place) for place, choice in enumerate(choices)]


def _stale(choice: MoveChoice, there: int) -> Conflict:
    current = {"version": choice.version, "step": choice.step or None, "enrollments": there}
    return Conflict(STALE, current=current)


async def move_enrollments(
    work: Work, version: Version, choices: Sequence[MoveChoice], by: str
) -> MoveResult:
    """Moves all of them in the running transaction."""
    done = MoveResult()
    for choice in choices:
        rows: list[LockedEnrollment] = []
        while not rows or len(rows) == BATCH:
            after = rows[-1].id if rows else FIRST_ID
            rows = await lock_enrollments_at_step(
                work.session, version.workflow_id, choice.version, choice.step or None, after, BATCH
            )
            if not rows:
                break
            done.add(await _move_group(work, version, choice, rows, by))
    return done


async def _move_group(
    work: Work, version: Version, choice: MoveChoice, rows: Sequence[LockedEnrollment], by: str
) -> MoveResult:
    """Moves these (locked) enrollments, which are at the place that the choice names."""
    ids = [row.id for row in rows]
    if choice.to == EXIT:
        await end_enrollments(work, ids, ExitReason.REMOVED_BY_USER)
        return MoveResult(exited=len(rows))
    unsettled = await lock_unfinished_effects(work.session, ids)
    busy = {effect.enrollment_id for effect in unsettled if effect.under_way}
    untried = {effect.enrollment_id for effect in unsettled if effect.untried}
    free = [row for row in rows if row.id not in busy]
    renewed = await _move_to_step(work, version, choice, free, untried, by)
    return MoveResult(moved=len(free), under_way=len(rows) - len(free), renewed=renewed)


async def _move_to_step(
    work: Work,
    version: Version,
    choice: MoveChoice,
    rows: Sequence[LockedEnrollment],
    untried: set[UUID],
    by: str,
) -> int:
    """How many of them start their step again, because nothing of their effect was tried."""
    to = None if choice.to == START else choice.to
    before = await work.versions.load(version.workflow_id, choice.version)
    old, new = _configs(before), _configs(version)
    zone = ZoneInfo((await work.accounts.own()).time_zone)
    anew: set[UUID] = set()
    if to is not None and to == choice.step and rerenders_effect(before, version, to):
        anew = {row.id for row in rows if row.id in untried and row.wait_reason in EFFECTS}
    places = [(row, STARTS_AGAIN if row.id in anew else _place(row, to, old, new, zone)) for row in rows]
    left = [row for row, place in places if not place.goes_on and row.wait_reason is not None]
    if left:
        error = RENEWED.format(version.number) if anew else MOVED_BEFORE_SENT
        await close_open_visits(work, left, {"reason": "moved", "by": by}, error)
        await cancel_unbegun_claims(work.session, [row.id for row in left], error)
    moved = [MovedEnrollment(row.id, to, place.goes_on, place.until) for row, place in places]
    await migrate_enrollments(work.session, moved, version.number, work.now)
    deadlines = [
        NewDeadline(row.id, row.seq, place.until)
        for row, place in places
        if place.goes_on and row.wait_reason == "approval" and place.until != row.wait_until
    ]
    await update_approval_deadlines(work.session, deadlines)
    moves = [NewMove(uuid7(), row.id, row.step_key, to) for row in rows]
    await insert_moves(work.session, moves, choice.version, version.number, by, work.now)
    return len(anew)


def _place(row: LockedEnrollment, to: str | None, old: Configs, new: Configs, zone: ZoneInfo) -> MovedWait:
    if row.step_key is None and to is None:
        return MovedWait(True, row.wait_until)  # not begun: the settle time continues
    if to is None or row.step_key != to:
        return STARTS_AGAIN
    if row.wait_reason in EFFECTS:
        return MovedWait(True, row.wait_until)
    return wait_after_move(old.get(to), new.get(to), row.wait_reason, row.wait_until, row.started_at, zone)


def _configs(version: Version | None) -> Configs:
    return {step.key: step.config for _, _, step in walk(version.steps)} if version else {}


async def add_move_job(work: Work, version: Version, choices: Sequence[MoveChoice]) -> UUID:
    """Adds the job for more enrollments than one transaction should move. They are marked now, in the
    transaction that publishes. Raises `Conflict` when they are not those of the choices."""
    args = MoveArgs(version.workflow_id, version.number, list(choices))
    total = sum(choice.enrollments for choice in choices)
    job = work.add_job(QUEUE, TASK, msgspec.to_builtins(args), total=total)
    await work.session.flush()
    counts = await mark_for_migration(work.session, version.workflow_id, job, _steps_of(choices))
    for place, choice in enumerate(choices):
        if counts.get(place, 0) != choice.enrollments:
            raise _stale(choice, counts.get(place, 0))
    return job


async def run_move(work: Work, job: Job) -> bool:
    """Moves the next batch of marked enrollments; True after the last one. Moving them and deleting their
    marks is one transaction. Raises `Conflict` when the version is no longer live."""
    args = msgspec.convert(job.args, MoveArgs)
    header = await work.workflows.header(args.workflow_id)
    version = await work.versions.load(args.workflow_id, args.number)
    if header is None or version is None or header.live_version != args.number:
        raise Conflict(f"Version {args.number} is no longer live, so no more enrollments were moved to it.")
    locked = await work.jobs.lock(job.id)
    if locked is None:
        raise NotFound("job")
    rows = await lock_next_marked(work.session, job.id, BATCH)
    done = MoveResult()
    for place, choice in enumerate(args.choices):
        there = [row for row in rows if row.choice == place and _is_there(row, choice)]
        if there:
            done.add(await _move_group(work, version, choice, there, job.actor_name))
    done.elsewhere = len(rows) - done.enrollments
    await unmark_enrollments(work.session, [row.id for row in rows])
    total = msgspec.convert(locked.result or {}, MoveResult)
    total.add(done)
    locked.progress, locked.result = total.enrollments, msgspec.structs.asdict(total)
    work.notify_worker("advance", "send")
    return len(rows) < BATCH  # the worker commits


def _is_there(row: MarkedEnrollment, choice: MoveChoice) -> bool:
    """Whether they are still where the plan showed them; only members can have moved them meanwhile."""
    return row.status == "active" and (row.version, row.step_key) == (choice.version, choice.step or None)
