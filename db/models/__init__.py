"""One class per table."""

from db.models.base import Base
from db.models.catalogs import CatalogVersion
from db.models.contacts import Contact, ContactEmail, ContactTag, CustomField, Tag
from db.models.counters import Counter, CounterDelta, CounterState
from db.models.enrollments import (
    Approval,
    CircuitBreaker,
    Effect,
    Enrollment,
    EnrollmentExecution,
    EnrollmentMigration,
    EnrollmentMove,
    StepState,
    TriggerDecision,
)
from db.models.events import AuditLog, Event
from db.models.imports import Import, ImportRow
from db.models.jobs import Job
from db.models.mailbox import MailboxMessage
from db.models.members import AccessToken, Account, Invitation, Membership, PasswordReset, Session, User
from db.models.notes_tasks import Note, Notification, Task
from db.models.triggers import InboundDelivery, Segment, SegmentMember, TriggerSchedule, WebhookEndpoint
from db.models.workers import EngineState, InflightBatch, TurnCount, Worker
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
    "CatalogVersion",
    "CircuitBreaker",
    "Contact",
    "ContactEmail",
    "ContactTag",
    "Counter",
    "CounterDelta",
    "CounterState",
    "CustomField",
    "Effect",
    "EngineState",
    "Enrollment",
    "EnrollmentExecution",
    "EnrollmentMigration",
    "EnrollmentMove",
    "Event",
    "Import",
    "ImportRow",
    "InboundDelivery",
    "InflightBatch",
    "Invitation",
    "Job",
    "MailboxMessage",
    "Membership",
    "Note",
    "Notification",
    "PasswordReset",
    "Segment",
    "SegmentMember",
    "Session",
    "StepState",
    "Tag",
    "Task",
    "TriggerDecision",
    "TriggerSchedule",
    "TurnCount",
    "User",
    "WebhookEndpoint",
    "Worker",
    "Workflow",
    "WorkflowAction",
    "WorkflowCondition",
    "WorkflowGoal",
    "WorkflowReference",
    "WorkflowRevision",
    "WorkflowVersion",
]
