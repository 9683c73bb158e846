"""Builds the enrollment pages from repository rows: the list, one enrollment, and their actions."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from app.approvals.pages import answering
from app.approvals.pages import line_of as line_of_approval
from app.contacts.domain import contact_name
from app.contacts.listing import choice_of, find_choices
from app.engine.core.step_titles import step_titles
from app.enrollments.labels import SKIPPED, reason_of, visit_note, waits_for, why
from app.enrollments.schemas import (
    STATUSES,
    DecisionView,
    EffectView,
    EnrollForm,
    EnrollmentLine,
    EnrollmentList,
    EnrollmentPage,
    EnrollPage,
    EnterPage,
    FilterOption,
    JumpForm,
    MoveView,
    SettlementForm,
    Visit,
    WorkflowChoice,
)
from app.errors import NotFound
from app.json_types import JsonObject
from app.permissions import Permission
from app.web.actions import Action, action, actions
from app.web.paging import Paging, neighbor_links
from app.work import Work
from db.models import Effect, Workflow
from db.queries.approvals import find_open_approval
from db.queries.contact_pages import MOST_COUNTED_IN_LIST, find_contact
from db.queries.enrollment_pages import (
    ListedEnrollment,
    StoredDecision,
    count_by_status,
    fetch_enrollment_page,
    find_decision,
    find_enrollment,
)
from db.queries.name_lookup import read_member_names, read_names
from db.queries.workflow_pages import list_workflow_names, list_workflows_to_enter

MANAGE = Permission.MANAGE_ENROLLMENTS
# The keys of an effect's payload that hold its subject and its recipient.
EFFECT_WORDS = {
    "email": ("subject", "to"),
    "sms": ("body", "to"),
    "chat": ("text", "channel"),
    "webhook": ("url", "method"),
}
Titles = Mapping[tuple[UUID, int], Mapping[str, str]]


def zone_of(work: Work) -> str:
    """The account's zone."""
    return work.require_principal().time_zone


async def titles_of(work: Work, versions: set[tuple[UUID, int]]) -> Titles:
    """The step titles of each version, with today's names of fields, tags and workflows."""
    if not versions:
        return {}
    fields, names = await work.fields.catalog(), await read_names(work.session)
    titles: dict[tuple[UUID, int], Mapping[str, str]] = {}
    for workflow_id, number in sorted(versions):
        version = await work.versions.load(workflow_id, number)
        titles[workflow_id, number] = step_titles(version, fields, names) if version else {}
    return titles


def line_of(work: Work, row: ListedEnrollment, names: Mapping[str, str]) -> EnrollmentLine:
    """An enrollment as a line of the list; `names` has the titles of its version's steps."""
    step = names.get(row.step_key or "", row.step_key or "")
    return EnrollmentLine(
        id=row.id,
        workflow_id=row.workflow_id,
        workflow_name=row.workflow_name,
        version=row.version,
        contact_id=row.contact_id,
        contact_name=contact_name(row.first_name, row.last_name, row.email),
        status=row.status,
        step_key=row.step_key,
        step=step,
        wait_reason=reason_of(row),
        waits_for=waits_for(row, step, work.now, zone_of(work)),
        wait_until=row.wait_until,
        entered_at=row.entered_at,
        ended_at=row.ended_at,
        href=f"/enrollments/{row.id}",
    )


async def enrollment_list(
    work: Work,
    path: str,
    *,
    workflow: Workflow | None = None,
    workflow_id: UUID | None = None,
    contact_id: UUID | None = None,
    status: str = "",
    step: str = "",
    q: str = "",
    paging: Paging,
) -> EnrollmentList:
    """A page of enrollments, of all workflows or of one (`workflow`, its row)."""
    of = workflow.id if workflow is not None else workflow_id
    rows, more = await fetch_enrollment_page(
        work.session, workflow_id=of, contact_id=contact_id, status=status, step=step, q=q.strip(),
        after=paging.after, before=paging.before, limit=paging.size(),
    )  # fmt: skip
    names = await titles_of(work, {(row.workflow_id, row.version) for row in rows})
    items = [line_of(work, row, names[row.workflow_id, row.version]) for row in rows]
    counts = await count_by_status(work.session, of, MOST_COUNTED_IN_LIST)
    query = {
        "workflow_id": "" if workflow is not None else str(workflow_id or ""),
        "contact_id": str(contact_id or ""), "status": status, "step": step, "q": q,
    }  # fmt: skip
    following, previous = neighbor_links(path, query, items, paging, more=more)
    return EnrollmentList(
        items=items,
        next=following,
        previous=previous,
        counts={status_name: min(counts[status_name], MOST_COUNTED_IN_LIST) for status_name in STATUSES},
        total=min(sum(counts.values()), MOST_COUNTED_IN_LIST),
        counted_to=MOST_COUNTED_IN_LIST,
        workflow_id=of,
        workflow_name=workflow.name if workflow is not None else "",
        status=status,
        step=step,
        q=q,
        workflows=[] if workflow is not None else await workflow_choices(work),
        steps=await _steps(work, workflow),
        actions=enroll_actions(work, workflow),
    )


async def workflow_choices(work: Work) -> list[FilterOption]:
    """The workflows of the account, by name."""
    return [FilterOption(str(row.id), row.name) for row in await list_workflow_names(work.session)]


def enroll_actions(work: Work, workflow: Workflow | None) -> list[Action]:
    """The form that adds a contact by hand and the search for one; only for an active workflow with a live
    version."""
    if workflow is None:
        return []
    accepts = workflow.status == "active" and workflow.live_version is not None
    return actions(
        action(
            work, "enroll", "Add a contact", f"/workflows/{workflow.id}/enrollments", permission=MANAGE,
            form=EnrollForm, when=accepts,
        ),
        action(
            work, "find", "Search for a contact", f"/workflows/{workflow.id}/enrollments/new",
            permission=MANAGE, method="GET", when=accepts,
        ),
    )  # fmt: skip


async def enroll_page(work: Work, workflow_id: UUID, q: str) -> EnrollPage:
    """The contacts that a search finds, to add one to a workflow. Raises `NotFound`, `Invalid`."""
    workflow = await work.workflows.header(workflow_id)
    if workflow is None:
        raise NotFound("workflow")
    accepts = workflow.status == "active" and workflow.live_version is not None
    choices = await find_choices(work, q) if accepts else []
    enroll = enroll_actions(work, workflow)[:1] if choices else []
    return EnrollPage(workflow_id, workflow.name, accepts, q, choices, enroll)


async def enter_page(work: Work, contact_id: UUID) -> EnterPage:
    """The workflows that a contact can be added to. Raises `NotFound`."""
    contact = await find_contact(work.session, contact_id)
    if contact is None or contact.deleted_at is not None:
        raise NotFound("contact")
    workflows = await list_workflows_to_enter(work.session)
    return EnterPage(
        contact_id,
        choice_of(contact).name,
        [WorkflowChoice(workflow.id, workflow.name) for workflow in workflows],
        actions(
            *(
                action(
                    work, f"enroll:{workflow.id}", f"Add to {workflow.name}",
                    f"/workflows/{workflow.id}/enrollments", permission=MANAGE, form=EnrollForm,
                )
                for workflow in workflows
            )
        ),
    )  # fmt: skip


async def _steps(work: Work, workflow: Workflow | None) -> list[FilterOption]:
    if workflow is None or workflow.live_version is None:
        return []
    version = (workflow.id, workflow.live_version)
    named = (await titles_of(work, {version}))[version]
    return [FilterOption(key, title) for key, title in named.items() if "." not in key]


async def enrollment_page(work: Work, enrollment_id: UUID) -> EnrollmentPage:
    """One enrollment with its path, effects, approval and moves. Raises `NotFound`."""
    row = await find_enrollment(work.session, enrollment_id)
    if row is None:
        raise NotFound("enrollment")
    moves = await work.moves.of(enrollment_id)
    numbers = [*(move.from_version for move in moves), row.version]
    versions = await titles_of(work, {(row.workflow_id, number) for number in numbers})
    names: dict[str, str] = {}
    for number in numbers:  # steps of earlier versions keep their names
        names |= versions[row.workflow_id, number]
    effects = [effect_view(effect) for effect in await work.effects.of_enrollment(enrollment_id)]
    by_seq = {effect.seq: effect for effect in effects}
    own = versions[row.workflow_id, row.version]
    steps = [FilterOption(key, title) for key, title in own.items() if "." not in key]
    approval = (
        await find_open_approval(work.session, row.id, row.seq) if row.wait_reason == "approval" else None
    )
    return EnrollmentPage(
        **msgspec.structs.asdict(line_of(work, row, names)),
        contact_email=row.email,
        contact_href="" if row.deleted_at else f"/contacts/{row.contact_id}",
        due_at=row.due_at,
        exit_reason=row.exit_reason,
        goal_key=row.goal_key,
        error=row.error,
        held=row.held,
        paused_at=row.paused_at,
        live_version=row.live_version,
        steps=steps,
        path=await path_of(work, enrollment_id, names, by_seq),
        effects=effects,
        approval=line_of_approval(approval, await read_member_names(work.session)) if approval else None,
        decision=decision_view(await find_decision(work.session, row.event_id, row.workflow_id)),
        moves=[
            MoveView(
                move.from_version,
                move.to_version,
                move.from_step,
                move.to_step,
                move.moved_by,
                move.moved_at,
            )
            for move in moves
        ],
        actions=[
            *actions(answering(work, approval.approval) if approval else None),
            *enrollment_actions(work, row, effects, steps),
        ],
    )


def enrollment_actions(
    work: Work, row: ListedEnrollment, effects: Sequence[EffectView], steps: Sequence[FilterOption]
) -> list[Action]:
    """The actions that the enrollment allows in its present state."""
    href = f"/enrollments/{row.id}"
    live, paused = row.status == "active", row.paused_at is not None
    waits = live and not paused and row.wait_reason in SKIPPED
    busy = any(effect.status in ("claimed", "unknown") for effect in effects)
    return actions(
        action(work, "pause", "Pause", f"{href}/pause", permission=MANAGE, when=live and not paused),
        action(
            work, "resume", "Resume", f"{href}/pause", method="DELETE", permission=MANAGE,
            when=live and paused,
        ),
        action(work, "skip", "Skip wait", f"{href}/skip", permission=MANAGE, when=waits),
        action(
            work, "retry", "Retry step", f"{href}/retry", permission=MANAGE,
            when=row.deleted_at is None and not busy
            and (row.status == "failed" or (live and not paused and row.effect_status == "retry")),
        ),
        action(
            work, "jump", "Go to a step", f"{href}/jump", permission=MANAGE, form=JumpForm,
            options={"step": [step.value for step in steps]},
            when=bool(steps) and not busy and (live or row.status == "failed"),
        ),
        action(work, "remove", "Remove", f"{href}/removal", permission=MANAGE, when=live),
        *(
            action(
                work, f"settle:{effect.id}", "Settle", f"/effects/{effect.id}/settlement", permission=MANAGE,
                form=SettlementForm, when=effect.status == "unknown",
            )
            for effect in effects
        ),
    )  # fmt: skip


async def path_of(
    work: Work, enrollment_id: UUID, names: Mapping[str, str], effects: Mapping[int, EffectView]
) -> list[Visit]:
    """The visits so far, in order."""
    visits = await work.visits.of(enrollment_id)
    fields = await work.fields.catalog()
    labels = {**await work.tags.names(), **{key: spec.label for key, spec in fields.items()}}
    labels |= {str(workflow.id): workflow.name for workflow in await list_workflow_names(work.session)}
    labels |= await read_member_names(work.session)
    return [
        Visit(
            visit.seq, visit.step_key, names.get(visit.step_key, visit.step_key), visit.kind,
            visit.started_at, visit.finished_at, visit.outcome, visit.detail,
            visit_note(visit.step_key, visit.detail, names, labels, work.now, zone_of(work)),
            visit.error, effects.get(visit.seq),
        )
        for visit in visits
    ]  # fmt: skip


def effect_view(effect: Effect) -> EffectView:
    payload: JsonObject = effect.payload
    label, goes = EFFECT_WORDS[effect.kind]
    what, to = payload.get(label), payload.get(goes) or ""
    if payload.get("internal"):
        users = payload.get("users")
        to = f"{len(users) if isinstance(users, list) else 0} members"
    return EffectView(
        effect.id,
        effect.seq,
        effect.kind,
        effect.status,
        str(what or ""),
        str(to),
        effect.attempts,
        effect.due_at,
        effect.sent_at,
        effect.error,
        effect.result,
    )


def decision_view(decision: StoredDecision | None) -> DecisionView | None:
    if decision is None:
        return None
    return DecisionView(
        why(decision), decision.verdict, decision.kind, decision.source, decision.decided_at, decision.detail
    )
