"""Rows that steps create besides advancing enrollments: notes, tasks, notifications, approvals, deleted
contacts and the enrollments' own data. Collected row by row, written table by table."""

from collections.abc import Mapping
from uuid import UUID

from app.engine.advancing.enrollment_rows import ActingEnrollment, EnrollmentRow
from app.engine.core.types import Decision, NewTask, Outcome
from app.json_types import Json, JsonObject
from app.work import Work
from db.ids import uuid7
from db.queries.contact_batches import delete_contacts
from db.queries.enrollment_changes import EnrollmentData, update_enrollment_data
from db.queries.step_side_effects import (
    ClosedApproval,
    StepApproval,
    StepNote,
    StepNotification,
    StepTask,
    close_approvals,
    insert_approvals,
    insert_notes,
    insert_notifications,
    insert_tasks,
)

_WITHDRAWN = (Outcome.LEFT, Outcome.SKIPPED)


class SideRecords:
    """The rows of one batch."""

    def __init__(self) -> None:
        self.notes: list[StepNote] = []
        self.tasks: list[StepTask] = []
        self.notifications: list[StepNotification] = []
        self.approvals: list[StepApproval] = []
        self.closed_approvals: list[ClosedApproval] = []
        self.data_updates: list[EnrollmentData] = []
        self.deleted_contacts: list[UUID] = []

    def add(self, row: EnrollmentRow, decision: Decision) -> None:
        """Adds one claimed enrollment and the decision on it."""
        if decision.data:
            self.data_updates.append(EnrollmentData(row.id, merge_data(row.data, decision.data)))
        if decision.delete:
            self.deleted_contacts.append(row.contact_id)
        for notification in decision.notifications:
            self.notifications.append(
                StepNotification(
                    id=uuid7(),
                    user_id=notification.user,
                    title=notification.title,
                    body=notification.body,
                    href=f"/enrollments/{row.id}",
                    contact_id=row.contact_id,
                )
            )
        for approval in decision.approvals:
            self.approvals.append(
                StepApproval(
                    id=uuid7(),
                    enrollment_id=row.id,
                    seq=approval.seq,
                    workflow_id=row.workflow_id,
                    contact_id=row.contact_id,
                    step_key=approval.step_key,
                    question=approval.question,
                    options=[{"key": key, "name": name} for key, name in approval.options],
                    users=[str(user) for user in approval.users],
                    due_at=approval.due_at,
                )
            )
        if row.wait_reason == "approval":
            self._close_approval(row, decision)

    def _close_approval(self, row: EnrollmentRow, decision: Decision) -> None:
        """Closes the approval of a visit that ended: it can no longer be answered."""
        for closed in decision.closed:
            if closed.seq == row.seq:
                status = "withdrawn" if closed.outcome in _WITHDRAWN else "expired"
                self.closed_approvals.append(ClosedApproval(row.id, row.seq, status))

    def note(self, row: ActingEnrollment, step_key: str, text: str) -> UUID:
        note = StepNote(uuid7(), row.contact_id, text, f"{row.workflow_id}:{step_key}", row.workflow_name)
        self.notes.append(note)
        return note.id

    def task(self, row: ActingEnrollment, step_key: str, task: NewTask) -> UUID:
        task_row = StepTask(
            id=uuid7(),
            contact_id=row.contact_id,
            title=task.title,
            body=task.body,
            assignee_id=task.assignee,
            due_at=task.due_at,
            author_id=f"{row.workflow_id}:{step_key}",
            author_name=row.workflow_name,
        )
        self.tasks.append(task_row)
        return task_row.id

    async def write(self, work: Work) -> None:
        """Writes everything in the current transaction."""
        session, now = work.session, work.now
        await insert_notes(session, self.notes, now)
        await insert_tasks(session, self.tasks, now)
        await insert_notifications(session, self.notifications, now)
        await close_approvals(session, self.closed_approvals)
        await insert_approvals(session, self.approvals, now)
        await update_enrollment_data(session, self.data_updates)
        await delete_contacts(session, self.deleted_contacts, now)


def merge_data(old: Mapping[str, Json], new: Mapping[str, Json]) -> JsonObject:
    """The enrollment's data with new values; dicts, such as saved responses, are merged one level deep."""
    combined = dict(old)
    for name, value in new.items():
        before = combined.get(name)
        combined[name] = (
            {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
        )
    return combined
