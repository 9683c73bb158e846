"""Reads what `core.advance` needs for a batch of enrollments, and calls it for each of them. Entry point:
`load`, which returns the `BatchContext` of the batch."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from app.engine.advancing.enrollment_rows import EnrollmentRow
from app.engine.core.advance import advance, leave
from app.engine.core.types import (
    EFFECT_WAITS,
    Decision,
    EffectState,
    EffectStatus,
    EnrollmentState,
    ExitReason,
    Status,
    StepContext,
    WaitReason,
)
from app.engine.core.version import Program
from app.engine.program_cache import AccountContext, Programs, Version
from app.filters.analysis import UsedHistory
from app.filters.facts import ContactWorkflows, Facts, Happened
from app.work import Work
from db.queries import step_contexts
from db.queries.effect_claims import UNWANTED_CLASS
from db.queries.enrollment_batches import ClaimedEnrollment, EffectOutcome, read_effect_outcomes
from db.queries.event_matching import read_oldest_unmatched

_State = tuple[UUID, str]


class BatchContext(msgspec.Struct):
    """Everything that `load` read for a batch. `facts` are those of existing contacts, `deleted` those of
    deleted contacts whose deletion started an enrollment. `step_contexts` has the step context of each
    workflow, with the state of its steps; `states_as_read` has that state as it was read, encoded, so that
    only changes are written back."""

    programs: Programs
    facts: dict[UUID, Facts]
    deleted: dict[UUID, Facts]
    effects: dict[UUID, EffectState]
    answers: dict[UUID, str]
    step_contexts: dict[UUID, StepContext]
    states_as_read: dict[_State, bytes]

    def decide(self, row: ClaimedEnrollment, now: datetime, one_step: bool = False) -> Decision:
        """Decides on one claimed enrollment; with `one_step` it advances by one step only. The facts of its
        contact change in place: the next enrollment of the same contact sees the change."""
        state = state_of(row, self.effects.get(row.id), self.answers.get(row.id))
        facts = self.facts.get(row.contact_id)
        if facts is None and row.contact_deleted:
            facts = self.deleted.get(row.contact_id)
        if row.workflow_status == "archived":
            return leave(state, now, Status.EXITED, ExitReason.WORKFLOW_ARCHIVED)
        if facts is None:
            return leave(state, now, Status.EXITED, ExitReason.SUBJECT_DELETED)
        program = self.programs.get((row.workflow_id, row.version))
        if not isinstance(program, Program):
            reason = str(program or "This version no longer exists.")
            return leave(state, now, Status.FAILED, ExitReason.FAILED_PERMANENT, reason)
        facts.data = row.data
        decision = advance(program, state, facts, now, self.step_contexts[row.workflow_id], one_step)
        if decision.delete:
            self.facts.pop(row.contact_id, None)
        return decision

    async def write_step_states(self, work: Work) -> None:
        """Writes the step states that changed."""
        rows: list[step_contexts.StateUpdate] = []
        for workflow, context in self.step_contexts.items():
            for key, state in context.states.items():
                encoded = msgspec.json.encode(state)
                if encoded != self.states_as_read.get((workflow, key)):
                    rows.append(step_contexts.StateUpdate(workflow, key, encoded.decode()))
        await step_contexts.update_step_states(work.session, rows)


def state_of(
    row: EnrollmentRow, effect: EffectState | None = None, answer: str | None = None
) -> EnrollmentState:
    """The enrollment of a claimed row."""
    return EnrollmentState(
        row.id,
        row.contact_id,
        row.step_key,
        row.seq,
        WaitReason(row.wait_reason) if row.wait_reason else None,
        row.wait_until,
        row.goal_key,
        effect,
        answer,
        row.wake_event_id is not None,
        row.entered_at,
        row.contact_deleted,
    )


async def load(account: AccountContext, rows: Sequence[ClaimedEnrollment]) -> BatchContext:
    """Reads a batch. Locks first the contacts that a step may change, then the step states; all stay locked
    until the transaction ends."""
    programs = await account.programs((row.workflow_id, row.version) for row in rows)
    program_of = {row.workflow_id: programs.get((row.workflow_id, row.version)) for row in rows}
    facts, deleted = await _facts(account, rows, programs)
    batch = BatchContext(programs, facts, deleted, {}, {}, {}, {})
    batch.effects = await _effect_outcomes(account, rows)
    batch.answers = await _approval_answers(account, rows)
    running = {
        (row.workflow_id, row.version): program
        for row in rows
        if isinstance(program := programs.get((row.workflow_id, row.version)), Program)
    }
    shared = await _account_context(account, list(running.values()), [*facts.values(), *deleted.values()])
    shared.unmatched_since = await _oldest_unmatched_event(account, rows)
    batch.step_contexts = {workflow: replace(shared, states={}) for workflow in program_of}
    await _load_step_states(account, running, batch)
    return batch


_ByContact = dict[UUID, Facts]


async def _facts(
    account: AccountContext, rows: Sequence[ClaimedEnrollment], programs: Programs
) -> tuple[_ByContact, _ByContact]:
    locked, gone = set(), set()
    contacts_reading: dict[str, set[UUID]] = {"workflows": set(), "history": set()}
    history = UsedHistory()
    for row in rows:
        program = programs.get((row.workflow_id, row.version))
        if row.contact_deleted:
            gone.add(row.contact_id)
        if not isinstance(program, Program):
            continue
        if program.changes_contact:
            locked.add(row.contact_id)
        if program.asks_workflows:
            contacts_reading["workflows"].add(row.contact_id)
        if program.asks_history:
            contacts_reading["history"].add(row.contact_id)
            history |= program.asks_history
    facts = await account.facts((row.contact_id for row in rows), lock=locked)
    deleted = await account.deleted_facts(gone - facts.keys()) if gone else {}
    every = facts | deleted
    await add_history(account, every, contacts_reading["workflows"], contacts_reading["history"], history)
    return facts, deleted


async def add_history(
    account: AccountContext,
    facts: Mapping[UUID, Facts],
    workflows: set[UUID],
    history: set[UUID],
    history_filter: UsedHistory,
) -> None:
    """Adds to the facts: the workflow membership of the contacts in `workflows`, and the events that
    `history_filter` selects for the contacts in `history`. It replaces what the facts had of both."""
    session = account.session
    if workflows:
        for row in await step_contexts.read_workflow_memberships(session, sorted(workflows)):
            if row.contact_id in facts:
                facts[row.contact_id].workflows = ContactWorkflows(
                    set(row.active or ()), set(row.ever), set(row.completed or ())
                )
    if not history:
        return
    for contact in history & facts.keys():
        facts[contact].history = []
    events = await step_contexts.read_past_events(
        session,
        sorted(history),
        kinds=sorted(history_filter.kinds),
        since=account.now - history_filter.within,
        fields=sorted(history_filter.fields),
    )
    for event in events:
        if event.contact_id in facts:
            facts[event.contact_id].history.append(
                Happened(event.kind, event.occurred_at, event.changes or {})
            )


async def _account_context(
    account: AccountContext, programs: Sequence[Program], facts: Sequence[Facts]
) -> StepContext:
    """The step context that all workflows share: members and owned contacts, if a program needs them. Also
    puts the members' names into the contacts' facts."""
    shared = StepContext()
    if any(program.asks_members for program in programs):
        members = await step_contexts.read_account_members(account.session)
        names = {str(member.id): member.name for member in members}
        shared = StepContext(members=[member.id for member in members])
        for contact_facts in facts:
            contact_facts.users = names
    if any(program.asks_owned for program in programs):
        shared.owned = await step_contexts.count_owned_contacts(account.session)
    return shared


async def _oldest_unmatched_event(
    account: AccountContext, rows: Sequence[ClaimedEnrollment]
) -> datetime | None:
    """When the oldest unmatched event happened. Read only if a wait for an event is over."""
    if not any(
        row.wait_reason == "event" and row.wait_until is not None and row.wait_until <= account.now
        for row in rows
    ):
        return None
    return await read_oldest_unmatched(account.session)


async def _load_step_states(
    account: AccountContext, running: Mapping[Version, Program], batch: BatchContext
) -> None:
    state_keys = sorted(
        {(workflow, key) for (workflow, _), program in running.items() for key in program.steps_with_state}
    )
    if not state_keys:
        return
    for row in await step_contexts.lock_step_states(account.session, state_keys):
        batch.step_contexts[row.workflow_id].states[row.step_key] = row.state
        batch.states_as_read[row.workflow_id, row.step_key] = msgspec.json.encode(row.state)


async def _effect_outcomes(
    account: AccountContext, rows: Sequence[ClaimedEnrollment]
) -> dict[UUID, EffectState]:
    waiting = [(row.id, row.seq) for row in rows if row.wait_reason in EFFECT_WAITS]
    if not waiting:
        return {}
    effects = await read_effect_outcomes(account.session, waiting)
    return {effect.enrollment_id: _outcome(effect) for effect in effects}


def _outcome(row: EffectOutcome) -> EffectState:
    """The effect as `advance` sees it: a claimed effect counts as pending until its call begins."""
    status: EffectStatus
    if row.status == "cancelled":
        status = "skipped" if row.error_class == UNWANTED_CLASS else "failed_permanent"
    elif row.status == "claimed" and row.started_at is None:
        status = "pending"
    else:
        status = row.status
    next_at = row.due_at if row.status == "retry" else None
    return EffectState(status, next_at, row.error, row.result or {})


async def _approval_answers(account: AccountContext, rows: Sequence[ClaimedEnrollment]) -> dict[UUID, str]:
    waiting = [(row.id, row.seq) for row in rows if row.wait_reason == "approval"]
    if not waiting:
        return {}
    answers = await step_contexts.read_approval_answers(account.session, waiting)
    return {answer.enrollment_id: answer.answer for answer in answers}
