"""Publishes a draft, and pauses, archives and holds what is published."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from app.engine.core.draft import Draft, walk
from app.engine.core.step_titles import step_titles
from app.engine.core.version import Version, content_hash, freeze, load_version
from app.engine.core.version_migration import rerenders_effect
from app.engine.schedules.trigger_schedules import sync_workflow_triggers
from app.errors import Conflict, Invalid, NotFound
from app.json_types import Json
from app.work import Work
from app.workflows.domain.lint import LintProblem, blocking
from app.workflows.domain.references import references
from app.workflows.schemas.publication import MoveChoice, Published, PublishForm
from app.workflows.use_cases.audience import add_audience_job
from app.workflows.use_cases.edit import Changes, header_of, open_draft, store_revision
from app.workflows.use_cases.input_reader import BuilderNames, read_builder_names
from app.workflows.use_cases.read import has_content
from app.workflows.use_cases.version_migration import AT_ONCE, add_move_job, checked_choices, move_enrollments
from db.models import WorkflowVersion
from db.queries.circuit_breakers import reopen_changed_steps
from db.queries.version_migration import wake_archived_enrollments
from db.queries.workflow_pages import read_last_version

MOST_VERSIONS = 1_000_000  # far beyond use, far within the column


class NotPublishable(Invalid):
    """The draft has problems; `problems` are those of `blocking`."""

    def __init__(self, problems: list[LintProblem]) -> None:
        super().__init__({_key(number, problem): problem.message for number, problem in enumerate(problems)})
        self.problems = problems


def _key(number: int, problem: LintProblem) -> str:
    place = f"{problem.key or problem.where}.{problem.field}".rstrip(".")
    return f"{place}#{number}" if number else place


async def publish(work: Work, workflow_id: UUID, form: PublishForm) -> Published:
    """Freezes the draft of revision `form.rev` as the next version, which new contacts enter from now on,
    and moves the enrollments of older versions as chosen, all in one transaction; a job moves them if they
    are many. A paused workflow stays paused. Raises `Conflict` (stale, or nothing changed) and
    `NotPublishable`."""
    header, draft = await open_draft(work, workflow_id, form.rev)
    names = await read_builder_names(work)
    if problems := blocking(draft, names.fields, names.names):
        raise NotPublishable(problems)
    number = await read_last_version(work.session, workflow_id) + 1
    version = freeze(draft, workflow_id, number)
    digest = content_hash(version)
    live = await work.versions.find(workflow_id, header.live_version) if header.live_version else None
    same = live is not None and has_content(live, digest)
    status = "paused" if header.status == "paused" else "active"
    if live and same:  # archived, or enrollments are moved: the same version stays live
        version = load_version(live.document)
    choices = await checked_choices(work, workflow_id, version.number, version, form.choices)
    if live and same and header.status == status and not choices:
        resume = " It is paused. Resume it to accept new contacts." if status == "paused" else ""
        raise Conflict(
            f"Nothing has changed since version {live.number} was published.{resume}",
            current={"rev": header.rev, "live_version": live.number},
        )
    if not same:
        used = references(version, names.fields)
        await work.versions.store(version, digest, work.actor.name, used, work.now)
    changes: Changes = {
        "live_version": (header.live_version, version.number),
        "status": (header.status, status),
    }
    header.live_version, header.status = version.number, status
    await work.workflows.save(header, work.now)
    done = await _move_enrollments(work, version, choices, paused=status == "paused")
    await _try_again(work, version, load_version(live.document) if live else None, choices)
    if not same:
        await add_audience_job(work, version)
    noted = await _noted(work, version, choices, names)
    work.audit("workflow.published", "workflow", workflow_id, {**changes, **noted})
    await sync_workflow_triggers(work, workflow_id)
    work.notify_worker("advance", "schedules", "send")
    await work.commit()
    return done


async def _move_enrollments(
    work: Work, version: Version, choices: Sequence[MoveChoice], *, paused: bool
) -> Published:
    """Moves a few enrollments at once, many by a job."""
    done = Published(version.workflow_id, version.number, paused=paused)
    if sum(choice.enrollments for choice in choices) > AT_ONCE:
        done.job = await add_move_job(work, version, choices)
        return done
    moved = await move_enrollments(work, version, choices, work.actor.name)
    done.moved, done.exited, done.under_way = moved.moved, moved.exited, moved.under_way
    done.renewed = moved.renewed
    return done


async def _try_again(
    work: Work, version: Version, before: Version | None, choices: Sequence[MoveChoice]
) -> None:
    """Lets the breakers of changed steps try at once: the change of the step, or of its enrollments, may have
    solved the problem."""
    keys = {step.key for _, _, step in walk(version.steps)}
    steps = {key for key in keys if rerenders_effect(before, version, key)} | {
        choice.to for choice in choices
    }
    await reopen_changed_steps(work.session, version.workflow_id, sorted(steps & keys), work.now)


async def _noted(
    work: Work, version: Version, choices: Sequence[MoveChoice], lookup: BuilderNames
) -> Changes:
    """The moves of enrollments for the audit log, with the titles of the steps: "version 1, “Wait 1 day”" ->
    ("3 enrollments", "Email: Welcome"); the second may also be "finish" or "exit"."""
    titles = {version.number: step_titles(version, lookup.fields, lookup.names)}
    for number in {choice.version for choice in choices} - titles.keys():
        before = await work.versions.load(version.workflow_id, number)
        titles[number] = step_titles(before, lookup.fields, lookup.names) if before else {}
    changes: dict[str, tuple[Json, Json]] = {}
    for choice in choices:
        step = titles[choice.version].get(choice.step or "", "before the first step")
        to = titles[version.number].get(choice.to, choice.to)
        count = "1 enrollment" if choice.enrollments == 1 else f"{choice.enrollments:,} enrollments"
        changes[f"version {choice.version}, “{step}”"] = (count, to)
    return changes


async def set_held(work: Work, workflow_id: UUID, held: bool) -> None:
    """Holds all enrollments of the workflow (none moves, nothing is sent), or releases them. Raises
    `NotFound`."""
    header = await header_of(work, workflow_id, lock=True)
    if header.held is held:
        return
    header.held = held
    await work.workflows.save(header, work.now)
    verb = "held" if held else "released"
    work.audit(f"workflow.{verb}", "workflow", workflow_id, {"held": (not held, held)})
    work.notify_worker("advance", "send")
    await work.commit()


async def set_status(work: Work, workflow_id: UUID, to: str) -> None:
    """Stops entries (paused, archived) or allows them again (active). Active enrollments continue, but those
    of an archived workflow end. Raises `Conflict` for a status that does not follow from the present one."""
    header = await header_of(work, workflow_id, lock=True)
    if header.status == to:
        return
    allowed = {
        "paused": ("active",),
        "active": ("paused", "archived"),
        "archived": ("draft", "active", "paused"),
    }
    if header.status not in allowed[to] or (to == "active" and header.live_version is None):
        raise Conflict(
            f"The workflow is {header.status}, so it can't become {to}.",
            current={"status": header.status},
        )
    before, header.status = header.status, to
    await work.workflows.save(header, work.now)
    if to == "archived":
        await wake_archived_enrollments(work.session, workflow_id, work.now)
        work.notify_worker("advance")
    verb = {"paused": "paused", "active": "resumed", "archived": "archived"}[to]
    work.audit(f"workflow.{verb}", "workflow", workflow_id, {"status": (before, to)})
    await sync_workflow_triggers(work, workflow_id)
    await work.commit()


async def version_of(work: Work, workflow_id: UUID, number: int) -> WorkflowVersion:
    """One published version. Raises `NotFound`."""
    await header_of(work, workflow_id)
    version = await work.versions.find(workflow_id, number) if number <= MOST_VERSIONS else None
    if version is None:
        raise NotFound("version")
    return version


async def restore(work: Work, workflow_id: UUID, number: int, rev: int) -> None:
    """Copies a published version into the draft, as one more edit that can be undone."""
    header, draft = await open_draft(work, workflow_id, rev)
    row = await version_of(work, workflow_id, number)
    version = load_version(row.document)
    copy = Draft(version.triggers, version.entry, version.steps, version.settings, draft.next_key)
    await store_revision(work, header, msgspec.structs.replace(copy), f"Restored version {number}")
