"""Collects what a batch of decisions writes, row by row, and writes it table by table: `ChangeSet.add` for
each enrollment, then `ChangeSet.write`."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

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
from app.filters.fields import Fields
from app.work import Work
from db.ids import uuid7
from db.queries import enrollment_batches
from db.queries.batch_session import INSERT_AUDIT_ENTRIES, INSERT_EVENTS, BatchSession

RowValues = dict[str, Any]
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
        self.enrollments: list[RowValues] = []
        self.stayed: list[RowValues] = []
        self.executions: list[RowValues] = []
        self.closed: list[RowValues] = []
        self.effects: list[RowValues] = []
        self.events: list[RowValues] = []
        self.audit: list[RowValues] = []
        self.contacts: dict[UUID, tuple[RowValues, RowValues]] = {}
        self.tagged: dict[tuple[UUID, UUID], bool] = {}
        self.ended_ids: list[UUID] = []
        self.canceled_visits: list[RowValues] = []
        self.ended: list[tuple[Any, Decision]] = []
        self.side_records = SideRecords()

    @property
    def steps(self) -> int:
        return len(self.executions)

    def add(self, row: Any, decision: Decision, program: Program | None) -> None:
        """Adds one claimed enrollment and the decision on it."""
        if not decision.moved:
            self.stayed.append({"id": row.id, "due_at": decision.due_at})
            return
        self.enrollments.append(_enrollment(row, decision))
        self.executions.extend(
            {
                "enrollment_id": row.id,
                "seq": execution.seq,
                "step_key": execution.step_key,
                "kind": execution.kind,
                "outcome": execution.outcome,
                "detail": execution.detail,
                "error": execution.error,
            }
            for execution in decision.executions
        )
        self.closed.extend(
            {
                "enrollment_id": row.id,
                "seq": execution.seq,
                "outcome": execution.outcome,
                "detail": execution.detail,
                "error": execution.error,
            }
            for execution in decision.closed
        )
        if decision.status is not Status.ACTIVE:
            self.end(row, decision)
        if row.wait_reason in EFFECT_WAITS and any(
            execution.outcome is Outcome.SKIPPED for execution in decision.closed
        ):
            self.canceled_visits.append({"enrollment_id": row.id, "seq": row.seq})
        self.side_records.add(row, decision)
        for effect in decision.effects:
            self.effects.append(
                {
                    "id": uuid7(),
                    "enrollment_id": row.id,
                    "seq": effect.seq,
                    "workflow_id": row.workflow_id,
                    "contact_id": row.contact_id,
                    "step_key": effect.step_key,
                    "kind": effect.kind,
                    "idempotency_key": effect.idempotency_key,
                    "payload": effect.payload,
                    "on_doubt": effect.on_doubt,
                }
            )
        if program is not None and decision.changes:
            self._contact(row, decision, program.fields)
        for workflow in decision.enter:
            self._event(row, MANUAL, {"workflow_id": str(workflow)})
        for workflow_id in decision.leave:
            event_data = (
                {"workflow_id": str(workflow_id)}
                if workflow_id
                else {"workflow_id": None, "not": str(row.workflow_id)}
            )
            self._event(row, LEAVE_REQUESTED, event_data)

    def end(self, row: Any, decision: Decision) -> None:
        """Adds the end of an enrollment: an event, and its unsent effects are canceled."""
        self.ended_ids.append(row.id)
        self.ended.append((row, decision))

    def _contact(self, row: Any, decision: Decision, fields: Fields) -> None:
        if decision.fields or decision.tags_added or decision.tags_removed:
            built_in, custom = self.contacts.setdefault(row.contact_id, ({}, {}))
            for key, value in decision.fields.items():
                custom_id = fields[key].custom_id
                if custom_id is None and key not in enrollment_batches.UPDATED_FIELDS:
                    raise ValueError(f"UPDATE_CONTACTS does not write the field {key!r}.")
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

    def _changes(self, row: Any, decision: Decision) -> dict[str, list[object]]:
        """Audits each change and adds notes and tasks; returns [first old, last new] value of each changed
        field."""
        changed: dict[str, list[object]] = {}
        tasks = iter(decision.tasks)
        for change in decision.changes:
            self._audit(row, change)
            if change.kind == "field":
                first = changed.get(change.name, [change.old])[0]
                changed[change.name] = [first, change.new]
            elif change.kind == "note_added":
                note = self.side_records.note(row, change.step_key, change.name)
                self._event(row, NOTE_ADDED, {"note_id": str(note)})
            elif change.kind == "task_added":
                task = self.side_records.task(row, change.step_key, next(tasks))
                self._event(row, TASK_ADDED, {"task_id": str(task)})
        return changed

    def _event(self, row: Any, kind: str, data: RowValues) -> None:
        self.events.append(
            {
                "id": uuid7(),
                "kind": kind,
                "subject_id": row.contact_id,
                "source": "workflow",
                "data": data,
                "root_event_id": row.root_event_id,
                "depth": row.depth + 1,
            }
        )

    def _audit(self, row: Any, change: ContactChange) -> None:
        action, name = _AUDITED[change.kind]
        if change.kind == "field":
            changes = {change.name: [change.old, change.new]}
        elif change.kind == "deleted":
            changes = {name: [False, True]}
        else:
            changes = {name: [change.name, None] if change.kind == "tag_removed" else [None, change.name]}
        self.audit.append(
            {
                "id": uuid7(),
                "actor_id": f"{row.workflow_id}:{change.step_key}",
                "actor_name": row.workflow_name,
                "action": action,
                "subject_id": str(row.contact_id),
                "changes": changes,
            }
        )

    async def _name_tags(self, db: BatchSession) -> None:
        """Replaces tag ids in audit entries by the tags' current names."""
        rows = [row for row in self.audit if "tag" in row["changes"]]
        if rows:
            tags = list({tag for _, tag in self.tagged})
            names = {
                str(row.id): row.name for row in await db.all(enrollment_batches.READ_TAG_NAMES, ids=tags)
            }
            for row in rows:
                row["changes"] = {"tag": [_named(value, names) for value in row["changes"]["tag"]]}

    async def _emit_ends(self, account: AccountContext) -> None:
        """Emits enrollment.ended, where something in the account subscribes to it."""
        index = (await account.live()).index
        subscribed = ENROLLMENT_ENDED in await subscribed_kinds(account.db)
        for row, decision in self.ended:
            reason = decision.exit_reason.value if decision.exit_reason else None
            event_data = {
                "workflow_id": str(row.workflow_id),
                "status": decision.status.value,
                "reason": reason,
            }
            event = EngineEvent(
                row.id, ENROLLMENT_ENDED, Source.WORKFLOW, row.contact_id, event_data, row.depth + 1
            )
            if subscribed or index.candidates(event):
                self._event(row, ENROLLMENT_ENDED, event_data)

    async def write(self, work: Work, db: BatchSession, account: AccountContext | None = None) -> None:
        """Writes everything in the current transaction. `account` is read if it is needed and not passed."""
        now = work.now
        if self.ended:
            await self._emit_ends(account or await AccountContext.of(work))
        contacts = [
            {"id": contact, "built_in": built_in, "custom": custom}
            for contact, (built_in, custom) in sorted(self.contacts.items())
        ]
        tags = sorted(self.tagged.items())
        await db.insert(enrollment_batches.UPDATE_CONTACTS, contacts, now=now)
        await db.insert(enrollment_batches.ADD_CONTACT_TAGS, [_tag(key) for key, on in tags if on])
        await db.insert(enrollment_batches.REMOVE_CONTACT_TAGS, [_tag(key) for key, on in tags if not on])
        await db.insert(enrollment_batches.INSERT_EXECUTIONS, self.executions, now=now)
        await db.insert(enrollment_batches.CLOSE_EXECUTIONS, self.closed, now=now)
        await db.insert(enrollment_batches.INSERT_EFFECTS, self.effects, now=now)
        await self.side_records.write(work, db)
        await db.insert(INSERT_EVENTS, self.events, now=now)
        await self._name_tags(db)
        await db.insert(INSERT_AUDIT_ENTRIES, self.audit, now=now)
        await db.insert(enrollment_batches.UPDATE_ENROLLMENTS, self.enrollments, now=now)
        await db.insert(enrollment_batches.UPDATE_DUE_TIMES, self.stayed)
        await db.insert(
            enrollment_batches.CANCEL_EFFECTS_OF_VISITS,
            self.canceled_visits,
            error="The goal was met before this was sent.",
        )
        if self.ended_ids:
            await db.do(
                enrollment_batches.CANCEL_UNSENT_EFFECTS,
                ids=self.ended_ids,
                error="The enrollment ended before this was sent.",
            )


def _named(value: object, names: Mapping[str, str]) -> object:
    return names.get(str(value), value)


def _tag(pair: tuple[UUID, UUID]) -> RowValues:
    return {"contact_id": pair[0], "tag_id": pair[1]}


def _enrollment(row: Any, decision: Decision) -> RowValues:
    return {
        "id": row.id,
        "status": decision.status,
        "step_key": decision.step_key,
        "seq": decision.seq,
        "due_at": decision.due_at,
        "wait_until": decision.wait_until,
        "wait_reason": decision.wait_reason,
        "exit_reason": decision.exit_reason,
        "goal_key": decision.goal_key,
        "error": decision.error,
    }
