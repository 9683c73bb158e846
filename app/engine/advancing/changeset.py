"""Collects what a batch of decisions writes, row by row, and writes it table by table: `ChangeSet.advance`
for each enrollment on which its steps decided, `ChangeSet.add` for one that ends for another reason, then
`ChangeSet.write`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from uuid import UUID

from msgspec.structs import replace

from app.engine.advancing.enrollment_rows import ActingEnrollment, EnrolledRow, EnrollmentRow
from app.engine.advancing.side_records import SideRecords
from app.engine.core.events import (
    CONTACT_DELETED,
    CONTACT_UPDATED,
    ENROLLMENT_ENDED,
    LEAVE_REQUESTED,
    MANUAL,
    NOTE_ADDED,
    TAG_ADDED,
    TAG_REMOVED,
    TASK_ADDED,
    EngineEvent,
    Source,
)
from app.engine.core.types import EFFECT_WAITS, ContactChange, Decision, Outcome, Status
from app.engine.core.version import Program
from app.engine.matching.event_subscriptions import subscribed_kinds
from app.engine.program_cache import AccountContext
from app.filters.facts import FactValue
from app.filters.fields import Fields
from app.json_types import Json, JsonObject
from app.work import Work
from db.ids import uuid7
from db.queries import contact_batches as contacts
from db.queries import enrollment_changes as changes
from db.queries.counters import Place, Visit, append_counts, counts
from db.queries.new_events import NewEvent, insert_events
from db.queries.step_side_effects import StepAuditEntry, insert_audit_entries

_NewValues = tuple[dict[str, FactValue], dict[str, FactValue]]  # built-in and custom ones
# Kind of change -> audit action, and the name of what changed.
_AUDITED = {
    "field": ("contact.updated", ""),
    "tag_added": ("tag.added", "tag"),
    "tag_removed": ("tag.removed", "tag"),
    "note_added": ("note.created", "note"),
    "task_added": ("task.created", "task"),
    "deleted": ("contact.deleted", "deleted"),
}


class ChangeSet:
    """The rows of one batch. Call `add` in the order in which things happened."""

    def __init__(self) -> None:
        self.enrollments: list[changes.EnrollmentUpdate] = []
        self.stayed: list[changes.DueTime] = []
        self.executions: list[changes.NewExecution] = []
        self.closed: list[changes.ClosedExecution] = []
        self.effects: list[changes.NewEffect] = []
        self.events: list[NewEvent] = []
        self.audit: list[StepAuditEntry] = []
        self.contacts: dict[UUID, _NewValues] = {}
        self.tagged: dict[tuple[UUID, UUID], bool] = {}
        self.ended_ids: list[UUID] = []
        self.canceled_visits: list[changes.VisitKey] = []
        self.ended: list[tuple[EnrolledRow, Decision]] = []
        self.side_records = SideRecords()
        self.places: Counter[Place] = Counter()
        self.visits: Counter[Visit] = Counter()

    def advance(self, row: ActingEnrollment, decision: Decision, program: Program | None) -> None:
        """Adds one claimed enrollment and the decision on it."""
        if decision.moved and decision.changes and program is not None:
            self._contact(row, decision, program.fields)
        self.add(row, decision)

    def add(self, row: EnrollmentRow, decision: Decision) -> None:
        """Adds one enrollment and a decision that changes nothing of its contact."""
        if not decision.moved:
            self.stayed.append(changes.DueTime(row.id, decision.due_at))
            return
        self.enrollments.append(_update(row, decision))
        self._count(row, decision)
        self.executions.extend(
            changes.NewExecution(
                enrollment_id=row.id,
                seq=execution.seq,
                step_key=execution.step_key,
                kind=execution.kind,
                outcome=execution.outcome,
                detail=execution.detail,
                error=execution.error,
            )
            for execution in decision.executions
        )
        self.closed.extend(
            changes.ClosedExecution(
                row.id, execution.seq, execution.outcome, execution.detail, execution.error
            )
            for execution in decision.closed
        )
        if decision.status is not Status.ACTIVE:
            self.end(row, decision)
        if row.wait_reason in EFFECT_WAITS and any(
            execution.outcome is Outcome.SKIPPED for execution in decision.closed
        ):
            self.canceled_visits.append(changes.VisitKey(row.id, row.seq))
        self.side_records.add(row, decision)
        self._effects(row, decision)
        for workflow in decision.enter:
            self._event(row, MANUAL, {"workflow_id": str(workflow)})
        for workflow_id in decision.leave:
            event_data: JsonObject = (
                {"workflow_id": str(workflow_id)}
                if workflow_id
                else {"workflow_id": None, "not": str(row.workflow_id)}
            )
            self._event(row, LEAVE_REQUESTED, event_data)

    def _count(self, row: EnrollmentRow, decision: Decision) -> None:
        """Counts the enrollment at its new place, and the visits that ended. It was active: nothing decides
        on one that has ended."""
        if decision.step_key != row.step_key or decision.status is not Status.ACTIVE:
            self.places[row.workflow_id, row.version, row.step_key, Status.ACTIVE] -= 1
            self.places[row.workflow_id, row.version, decision.step_key, decision.status] += 1
        for execution in decision.executions:
            if execution.outcome is not None:
                self._count_visit(row.workflow_id, execution.step_key, execution.outcome, execution.detail)
        for closed in decision.closed:
            self._count_visit(row.workflow_id, row.step_key or "", closed.outcome, closed.detail)

    def _count_visit(self, workflow_id: UUID, step_key: str, outcome: Outcome, detail: JsonObject) -> None:
        if counts(outcome, detail):
            lane = str(detail.get("branch") or "")
            self.visits[workflow_id, step_key, outcome, lane] += 1

    def _effects(self, row: EnrollmentRow, decision: Decision) -> None:
        for effect in decision.effects:
            self.effects.append(
                changes.NewEffect(
                    id=uuid7(),
                    enrollment_id=row.id,
                    seq=effect.seq,
                    workflow_id=row.workflow_id,
                    contact_id=row.contact_id,
                    step_key=effect.step_key,
                    kind=effect.kind,
                    idempotency_key=effect.idempotency_key,
                    payload=effect.payload,
                    on_doubt=effect.on_doubt,
                )
            )

    def end(self, row: EnrolledRow, decision: Decision) -> None:
        """Adds the end of an enrollment: an event, and its unsent effects are canceled."""
        self.ended_ids.append(row.id)
        self.ended.append((row, decision))

    def _contact(self, row: ActingEnrollment, decision: Decision, fields: Fields) -> None:
        if decision.fields or decision.tags_added or decision.tags_removed:
            built_in, custom = self.contacts.setdefault(row.contact_id, ({}, {}))
            for key, value in decision.fields.items():
                custom_id = fields[key].custom_id
                if custom_id is None and key not in contacts.UPDATED_FIELDS:
                    raise ValueError(f"update_contacts does not write the field {key!r}.")
                (built_in if custom_id is None else custom)[custom_id or key] = value
        self.tagged.update({(row.contact_id, tag): True for tag in decision.tags_added})
        self.tagged.update({(row.contact_id, tag): False for tag in decision.tags_removed})
        changed = self._changes(row, decision)
        if changed:
            self._event(row, CONTACT_UPDATED, {"changes": changed})
        for tag in decision.tags_added:
            self._event(row, TAG_ADDED, {"tag_id": str(tag)})
        for tag in decision.tags_removed:
            self._event(row, TAG_REMOVED, {"tag_id": str(tag)})
        if decision.delete:
            self._event(row, CONTACT_DELETED, {})

    def _changes(self, row: ActingEnrollment, decision: Decision) -> JsonObject:
        """Audits each change and adds notes and tasks; returns [first old, last new] value of each changed
        field."""
        old_and_new: dict[str, list[Json]] = {}
        tasks = iter(decision.tasks)
        for change in decision.changes:
            self._audit(row, change)
            if change.kind == "field":
                first = old_and_new.get(change.name, [change.old])[0]
                old_and_new[change.name] = [first, change.new]
            elif change.kind == "note_added":
                note = self.side_records.note(row, change.step_key, change.name)
                self._event(row, NOTE_ADDED, {"note_id": str(note)})
            elif change.kind == "task_added":
                task = self.side_records.task(row, change.step_key, next(tasks))
                self._event(row, TASK_ADDED, {"task_id": str(task)})
        return {**old_and_new}

    def _event(self, row: EnrolledRow, kind: str, data: JsonObject) -> None:
        self.events.append(
            NewEvent(uuid7(), kind, row.contact_id, "workflow", data, row.root_event_id, row.depth + 1)
        )

    def _audit(self, row: ActingEnrollment, change: ContactChange) -> None:
        action, name = _AUDITED[change.kind]
        values: JsonObject
        if change.kind == "field":
            values = {change.name: [change.old, change.new]}
        elif change.kind == "deleted":
            values = {name: [False, True]}
        else:
            values = {name: [change.name, None] if change.kind == "tag_removed" else [None, change.name]}
        self.audit.append(
            StepAuditEntry(
                id=uuid7(),
                actor_id=f"{row.workflow_id}:{change.step_key}",
                actor_name=row.workflow_name,
                action=action,
                subject_id=str(row.contact_id),
                changes=values,
            )
        )

    async def _named_audit(self, work: Work) -> Sequence[StepAuditEntry]:
        """The audit entries, with the current names of tags instead of their ids."""
        if not any("tag" in entry.changes for entry in self.audit):
            return self.audit
        tags = list({tag for _, tag in self.tagged})
        names = {str(tag): name for tag, name in (await contacts.read_tag_names(work.session, tags)).items()}
        return [
            replace(entry, changes={"tag": _named(entry.changes["tag"], names)})
            if "tag" in entry.changes
            else entry
            for entry in self.audit
        ]

    async def _emit_ends(self, account: AccountContext) -> None:
        """Emits enrollment.ended, where something in the account subscribes to it."""
        index = (await account.live()).index
        subscribed = ENROLLMENT_ENDED in await subscribed_kinds(account.session)
        for row, decision in self.ended:
            reason = decision.exit_reason.value if decision.exit_reason else None
            event_data: JsonObject = {
                "workflow_id": str(row.workflow_id),
                "status": decision.status.value,
                "reason": reason,
            }
            event = EngineEvent(
                row.id, ENROLLMENT_ENDED, Source.WORKFLOW, row.contact_id, event_data, row.depth + 1
            )
            if subscribed or index.candidates(event):
                self._event(row, ENROLLMENT_ENDED, event_data)

    async def write(self, work: Work, account: AccountContext | None = None) -> None:
        """Writes everything in the current transaction. `account` is read if it is needed and not passed."""
        session, now = work.session, work.now
        if self.ended:
            await self._emit_ends(account or await AccountContext.of(work))
        updates = [
            contacts.ContactUpdate(contact, built_in, custom)
            for contact, (built_in, custom) in sorted(self.contacts.items(), key=itemgetter(0))
        ]
        tags = [(contacts.TagOfContact(*pair), on) for pair, on in sorted(self.tagged.items())]
        await contacts.update_contacts(session, updates, now)
        await contacts.add_contact_tags(session, [tag for tag, on in tags if on])
        await contacts.remove_contact_tags(session, [tag for tag, on in tags if not on])
        await changes.insert_executions(session, self.executions, now)
        await changes.close_executions(session, self.closed, now)
        await changes.insert_effects(session, self.effects, now)
        await self.side_records.write(work)
        await insert_events(session, self.events, now)
        await insert_audit_entries(session, await self._named_audit(work), now)
        await changes.update_enrollments(session, self.enrollments, now)
        await changes.update_due_times(session, self.stayed)
        error = "The goal was met before this was sent."
        await changes.cancel_effects_of_visits(session, self.canceled_visits, error)
        if self.ended_ids:
            error = "The enrollment ended before this was sent."
            await changes.cancel_unsent_effects(session, self.ended_ids, error)
        await append_counts(session, self.places, self.visits)


def _named(values: Json, names: Mapping[str, str]) -> Json:
    return [names.get(str(value), value) for value in values] if isinstance(values, list) else values


def _update(row: EnrollmentRow, decision: Decision) -> changes.EnrollmentUpdate:
    return changes.EnrollmentUpdate(
        id=row.id,
        status=decision.status,
        step_key=decision.step_key,
        seq=decision.seq,
        due_at=decision.due_at,
        wait_until=decision.wait_until,
        wait_reason=decision.wait_reason,
        exit_reason=decision.exit_reason,
        goal_key=decision.goal_key,
        error=decision.error,
    )
