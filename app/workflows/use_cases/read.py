"""Reads a workflow for its screens: the canvas with its counts, what changed, and the enrollments at each
step."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.draft import Draft, lane_label, walk
from app.engine.core.secret_headers import hidden, hidden_steps
from app.engine.core.steps import Exit, Step, StepConfig, kind_of, lane_keys
from app.engine.core.triggers import Trigger
from app.engine.core.types import Outcome
from app.engine.core.version import Version, content_hash, freeze, load_version
from app.filters.ast import Filter
from app.filters.parse import describe
from app.json_types import JsonObject
from app.permissions import Permission
from app.work import Work
from app.workflows.domain.lint import LintProblem, blocking
from app.workflows.schemas.pages import (
    CanvasLane,
    CanvasStep,
    CanvasTrigger,
    Count,
    ProblemView,
    Totals,
    VersionRow,
    WorkflowRow,
    WorkflowView,
)
from app.workflows.use_cases.edit import header_of
from app.workflows.use_cases.input_reader import BuilderNames, read_builder_names
from app.workflows.use_cases.step_labels import lane_sentence, lookup_for, step_sentence
from db.models import Workflow, WorkflowVersion
from db.queries.statements import StatementStopped
from db.queries.workflow_drafts import read_draft
from db.queries.workflow_pages import (
    EnrollmentsAtPlace,
    VisitCount,
    count_by_place,
    count_visits,
    fetch_workflow_page,
    list_stopped_steps,
    list_versions,
    read_last_version,
)

Row = TypeVar("Row")


class LoadedWorkflow(msgspec.Struct):
    """One workflow as read: header, draft, live version, names that it may refer to, counts. `veiled` means
    that the reader may not edit it."""

    view: WorkflowView
    draft: Draft
    live: Version | None
    lookup: BuilderNames
    counts: dict[str, Count]
    totals: Totals
    problems: list[LintProblem]
    undo: str = ""
    redo: str = ""
    veiled: bool = False

    def shown(self, config: StepConfig) -> StepConfig:
        """A config as its reader may see it. Differences are computed from the configs themselves."""
        return hidden(config) if self.veiled else config

    def shown_document(self, stored: JsonObject) -> JsonObject:
        """The document of a version as its reader may see it."""
        if not self.veiled:
            return stored
        version = load_version(stored)
        document: JsonObject = msgspec.to_builtins(
            msgspec.structs.replace(version, steps=hidden_steps(version.steps))
        )
        return document


async def workflows(
    work: Work, *, after: UUID | None, before: UUID | None, limit: int
) -> tuple[list[WorkflowRow], bool]:
    """At most `limit` workflows, newest first, older than `after` or newer than `before`, and whether there
    are more in that direction."""
    rows, more = await fetch_workflow_page(work.session, after=after, before=before, limit=limit)
    page_rows = [
        WorkflowRow(row.id, row.name, row.status, row.live_version, row.live, row.updated_at) for row in rows
    ]
    return page_rows, more


async def view_of(work: Work, header: Workflow, draft: Draft) -> tuple[WorkflowView, Version | None]:
    """The header for screens, and the live version."""
    row = await work.versions.find(header.id, header.live_version) if header.live_version else None
    live = load_version(row.document) if row else None
    changed = not row or not has_content(row, content_hash(freeze(draft, header.id, 0)))
    last = await read_last_version(work.session, header.id)
    view = WorkflowView(
        header.id, header.name, header.description, header.status, header.rev, header.live_version,
        last + 1, changed, header.updated_at, header.held,
    )  # fmt: skip
    return view, live


def has_content(row: WorkflowVersion, digest: str) -> bool:
    """Whether a stored version does what `digest` (a content hash) says. The stored hash is that of the
    document as it was published, maybe with a former name of an event."""
    return row.content_hash == digest or content_hash(load_version(row.document)) == digest


async def open_workflow(work: Work, workflow_id: UUID) -> LoadedWorkflow:
    """Everything that the builder shows. Raises `NotFound`."""
    header = await header_of(work, workflow_id)
    draft = await read_draft(work.session, header)
    view, live = await view_of(work, header, draft)
    lookup = lookup_for(draft.steps, await read_builder_names(work))
    counts, totals = await counted(work, workflow_id)
    opened = LoadedWorkflow(
        view, draft, live, lookup, counts, totals, blocking(draft, lookup.fields, lookup.names)
    )
    opened.veiled = not work.may(Permission.EDIT_WORKFLOWS)
    last = await work.revisions.find(workflow_id, header.rev)
    if last is not None and last.undo_to is not None:
        opened.undo = last.operation
    if last is not None and last.redo_to is not None:
        again = await work.revisions.find(workflow_id, last.redo_to)
        opened.redo = again.operation if again else ""
    return opened


async def live_counts(work: Work, workflow_id: UUID) -> tuple[dict[str, str], dict[str, Count], Totals]:
    """Kinds and counts of the draft's steps by key, and the totals: all that the polling needs, and up to one
    polling interval old."""
    draft = await read_draft(work.session, await header_of(work, workflow_id))
    await work.pause()  # many may wait for the same counts
    counts, totals = await counted(work, workflow_id, POLL_SECONDS)
    kinds = {step.key: step.kind for _, _, step in walk(draft.steps)}
    return kinds, {key: counts.get(key, Count(counted=totals.counted)) for key in kinds}, totals


# A goal jumped over the step, or the enrollment ended while it was there: the step did nothing.
NOT_DONE = (Outcome.SKIPPED, Outcome.LEFT)
POLL_SECONDS = 2.0


async def counted(work: Work, workflow_id: UUID, seconds: float = 0.0) -> tuple[dict[str, Count], Totals]:
    """Counts by step key and enrollments by status, over all versions; `seconds` is how old they may be,
    those of a large workflow even older (`SharedResults`)."""
    counts: dict[str, Count] = {}
    totals = Totals()
    places = await enrollments_by_place(work, workflow_id, seconds)
    visits = await _visits(work, workflow_id, seconds)
    totals.counted = places is not None and visits is not None
    for row in places or () if totals.counted else ():
        setattr(totals, row.status, getattr(totals, row.status) + row.enrollments)
        if row.step_key and row.status == "active":
            counts.setdefault(row.step_key, Count()).current += row.enrollments
    for visit in visits or () if totals.counted else ():
        count = counts.setdefault(visit.step_key, Count(lanes={}))
        if visit.outcome == "failed":
            count.failed += visit.enrollments
        elif visit.outcome not in NOT_DONE:
            count.completed += visit.enrollments
        if visit.branch:
            count.lanes = count.lanes | {visit.branch: count.lanes.get(visit.branch, 0) + visit.enrollments}
    await work.resume()
    for step_key in await list_stopped_steps(work.session, workflow_id):
        counts.setdefault(step_key, Count(counted=totals.counted)).stopped = True
    return counts, totals


async def enrollments_by_place(
    work: Work, workflow_id: UUID, seconds: float = 0.0
) -> list[EnrollmentsAtPlace] | None:
    """The enrollments by place (`count_by_place`), shared by all readers of the workflow; None while counting
    them takes too long."""
    key = ("standing", work.account_id, workflow_id)
    count = partial(_count, work, count_by_place, workflow_id)
    return await work.runtime.counts.get(key, count, seconds, wait=work.resume)


async def _visits(work: Work, workflow_id: UUID, seconds: float) -> list[VisitCount] | None:
    key = ("visits", work.account_id, workflow_id)
    count = partial(_count, work, count_visits, workflow_id)
    return await work.runtime.counts.get(key, count, seconds, wait=work.resume)


async def _count(
    work: Work, query: Callable[[AsyncSession, UUID], Awaitable[list[Row]]], workflow_id: UUID
) -> list[Row] | None:
    """The rows; None when counting took too long. That is shared too, so that not every reader waits for
    it."""
    try:
        return await query(work.session, workflow_id)
    except StatementStopped:
        return None


async def version_rows(work: Work, view: WorkflowView) -> list[VersionRow]:
    """Every published version, the newest first, with its active enrollments."""
    live: Counter[int] = Counter()
    for place in await enrollments_by_place(work, view.id) or ():
        if place.status == "active":
            live[place.version] += place.enrollments
    return [
        VersionRow(
            version.number, version.content_hash, version.published_by, version.published_at,
            live[version.number], version.number == view.live_version,
        )
        for version in await list_versions(work.session, view.id)
    ]  # fmt: skip


def canvas(
    steps: list[Step], opened: LoadedWorkflow, before: dict[str, Step] | None = None
) -> list[CanvasStep]:
    """The steps as the canvas shows them; `before` are the live ones by key, None to mark no changes."""
    bad = {problem.key for problem in opened.problems}
    return [_canvas(step, opened, bad, before) for step in steps]


def live_steps(opened: LoadedWorkflow) -> dict[str, Step] | None:
    """The live version's steps by key; None when nothing is live."""
    return None if opened.live is None else {step.key: step for _, _, step in walk(opened.live.steps)}


def _canvas(
    step: Step, opened: LoadedWorkflow, bad: set[str | None], before: dict[str, Step] | None
) -> CanvasStep:
    kind = kind_of(step.config)
    title, summary = step_sentence(step, opened.lookup)
    count = opened.counts.get(step.key, Count(counted=opened.totals.counted))
    lanes = []
    for lane in lane_keys(step.config):
        inside = step.lanes.get(lane, [])
        lanes.append(
            CanvasLane(
                lane, f"{step.key}.{lane}", lane_label(step, lane), lane_sentence(step, lane, opened.lookup),
                count.lanes.get(lane, 0), bool(inside) and isinstance(inside[-1].config, Exit),
                [_canvas(inner, opened, bad, before) for inner in inside],
            )
        )  # fmt: skip
    old = None if before is None else before.get(step.key)
    changed = before is not None and (old is None or (old.config, old.name) != (step.config, step.name))
    config = msgspec.to_builtins(opened.shown(step.config))
    return CanvasStep(
        step.key, step.kind, title, summary, step.name, step.note, config, count, step.key in bad, changed,
        lanes, kind.icon, kind.tone,
    )  # fmt: skip


def trigger_cards(triggers: Iterable[Trigger], opened: LoadedWorkflow) -> list[CanvasTrigger]:
    """The triggers as the canvas shows them."""
    bad = {problem.key for problem in opened.problems}
    return [_card(trigger, opened.lookup, trigger.key in bad) for trigger in triggers]


def _card(trigger: Trigger, lookup: BuilderNames, invalid: bool) -> CanvasTrigger:
    title, summary = trigger.title(lookup.fields, lookup.names), trigger.summary(lookup.fields, lookup.names)
    config = msgspec.to_builtins(trigger)
    return CanvasTrigger(trigger.key, trigger.kind, title, summary, config, invalid, trigger.icon)


def entry_sentence(entry: Filter | None, lookup: BuilderNames) -> str:
    """The entry condition as a sentence; "" when there is none."""
    return describe(entry, lookup.fields, lookup.tags) if entry is not None else ""


def problem_views(opened: LoadedWorkflow) -> list[ProblemView]:
    """The problems, each with the page where to fix it."""
    base = f"/workflows/{opened.view.id}"
    pages = {
        "trigger": f"{base}/triggers/",
        "entry": f"{base}/entry",
        "settings": f"{base}/settings",
        "workflow": base,
        "step": f"{base}/steps/",
    }
    titles = {step.key: step_sentence(step, opened.lookup).title for _, _, step in walk(opened.draft.steps)}
    titles |= {trigger.key: trigger.label for trigger in opened.draft.triggers}
    return [
        ProblemView(
            problem.message,
            titles.get(problem.key or "", problem.where.capitalize()),
            pages[problem.where] + (problem.key or ""),
            problem.key,
            problem.field,
        )
        for problem in opened.problems
    ]
