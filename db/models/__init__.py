"""One class per table."""

from db.models.base import Base
from db.models.contacts import Contact, ContactTag, CustomField, Tag
from db.models.enrollments import (
    Approval,
    Breaker,
    Effect,
    Enrollment,
    EnrollmentExecution,
    EnrollmentMove,
    Relocation,
    StepState,
    TriggerDecision,
)
from db.models.events import AuditLog, Event
from db.models.imports import Import, ImportRow
from db.models.jobs import Job
from db.models.mailbox import MailboxMessage
from db.models.members import AccessToken, Account, Invitation, Membership, PasswordReset, Session, User
from db.models.notes_tasks import Note, Notification, Task
from db.models.triggers import Hook, HookDelivery, Segment, SegmentMember, WorkflowClock
from db.models.workers import Batch, Installation, Worker
from db.models.workflows import (
    Workflow,
    WorkflowAction,
    WorkflowCondition,
    WorkflowGoal,
    WorkflowReference,
    WorkflowRevision,
    WorkflowVersion,
)

__all__ = [
    "AccessToken",
    "Account",
    "Approval",
    "AuditLog",
    "Base",
    "Batch",
    "Breaker",
    "Contact",
    "ContactTag",
    "CustomField",
    "Effect",
    "Enrollment",
    "EnrollmentExecution",
    "EnrollmentMove",
    "Event",
    "Hook",
    "HookDelivery",
    "Import",
    "ImportRow",
    "Installation",
    "Invitation",
    "Job",
    "MailboxMessage",
    "Membership",
    "Note",
    "Notification",
    "PasswordReset",
    "Relocation",
    "Segment",
    "SegmentMember",
    "Session",
    "StepState",
    "Tag",
    "Task",
    "TriggerDecision",
    "User",
    "Worker",
    "Workflow",
    "WorkflowAction",
    "WorkflowClock",
    "WorkflowCondition",
    "WorkflowGoal",
    "WorkflowReference",
    "WorkflowRevision",
    "WorkflowVersion",
]
