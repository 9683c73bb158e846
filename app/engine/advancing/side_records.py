"""Rows that steps create besides advancing enrollments: notes, tasks, notifications, approvals, deleted
contacts and the enrollments' own data. Collected row by row, written table by table."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from app.engine.core.types import Decision, Outcome
from app.work import Work
from db.ids import uuid7
from db.queries import step_side_effects
from db.queries.batch_session import BatchSession

RowValues = dict[str, Any]
_WITHDRAWN = (Outcome.LEFT, Outcome.SKIPPED)


class SideRecords:
    """The rows of one batch."""

    def __init__(self) -> None:
        self.notes: list[RowValues] = []
        self.tasks: list[RowValues] = []
        self.notifications: list[RowValues] = []
        self.approvals: list[RowValues] = []
        self.closed_approvals: list[RowValues] = []
        self.data_updates: list[RowValues] = []
        self.deleted_contacts: list[UUID] = []

    def add(self, row: Any, decision: Decision) -> None:
        """Adds one claimed enrollment and the decision on it."""
        if decision.data:
            self.data_updates.append({"id": row.id, "data": merge_data(row.data, decision.data)})
        if decision.delete:
            self.deleted_contacts.append(row.contact_id)
        for notification in decision.notifications:
            self.notifications.append(
                {
                    "id": uuid7(),
                    "user_id": notification.user,
                    "title": notification.title,
                    "body": notification.body,
                    "href": f"/enrollments/{row.id}",
                    "contact_id": row.contact_id,
                }
            )
        for approval in decision.approvals:
            self.approvals.append(
                {
                    "id": uuid7(),
                    "enrollment_id": row.id,
                    "seq": approval.seq,
                    "workflow_id": row.workflow_id,
                    "contact_id": row.contact_id,
                    "step_key": approval.step_key,
                    "question": approval.question,
                    "options": _json([{"key": key, "name": name} for key, name in approval.options]),
                    "users": _json([str(user) for user in approval.users]),
                    "due_at": approval.due_at,
                }
            )
        if row.wait_reason == "approval":
            self._close_approval(row, decision)

    def _close_approval(self, row: Any, decision: Decision) -> None:
        """Closes the approval of a visit that ended: it can no longer be answered."""
        for closed in decision.closed:
            if closed.seq == row.seq:
                status = "withdrawn" if closed.outcome in _WITHDRAWN else "expired"
                self.closed_approvals.append({"enrollment_id": row.id, "seq": row.seq, "status": status})

    def note(self, row: Any, step_key: str, text: str) -> UUID:
        note = self._authored(row, step_key) | {"body": text}
        self.notes.append(note)
        return UUID(str(note["id"]))

    def task(self, row: Any, step_key: str, task: Any) -> UUID:
        """`task` is a NewTask."""
        task_row = self._authored(row, step_key) | {
            "title": task.title,
            "body": task.body,
            "assignee_id": task.assignee,
            "due_at": task.due_at,
        }
        self.tasks.append(task_row)
        return UUID(str(task_row["id"]))

    def _authored(self, row: Any, step_key: str) -> RowValues:
        return {
            "id": uuid7(),
            "contact_id": row.contact_id,
            "author_id": f"{row.workflow_id}:{step_key}",
            "author_name": row.workflow_name,
        }

    async def write(self, work: Work, db: BatchSession) -> None:
        """Writes everything in the current transaction."""
        now = work.now
        await db.insert(step_side_effects.INSERT_NOTES, self.notes, now=now)
        await db.insert(step_side_effects.INSERT_TASKS, self.tasks, now=now)
        await db.insert(step_side_effects.INSERT_NOTIFICATIONS, self.notifications, now=now)
        await db.insert(step_side_effects.CLOSE_APPROVALS, self.closed_approvals)
        await db.insert(step_side_effects.INSERT_APPROVALS, self.approvals, now=now)
        await db.insert(step_side_effects.UPDATE_ENROLLMENT_DATA, self.data_updates)
        if self.deleted_contacts:
            await db.do(step_side_effects.DELETE_CONTACTS, ids=sorted(self.deleted_contacts), now=now)


def merge_data(old: Mapping[str, Any], new: Mapping[str, Any]) -> RowValues:
    """The enrollment's data with new values; dicts, such as saved responses, are merged one level deep."""
    combined = dict(old)
    for name, value in new.items():
        before = combined.get(name)
        combined[name] = (
            {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
        )
    return combined


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
