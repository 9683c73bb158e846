"""One class per table."""

from db.models.base import Base
from db.models.contacts import Contact, ContactTag, CustomField, Tag
from db.models.enrollments import Effect, Enrollment, EnrollmentExecution, TriggerDecision
from db.models.imports import Import, ImportRow
from db.models.people import AccessToken, Account, Membership, PasswordReset, Session, User
from db.models.records import AuditLog, Event, Job, MailboxMessage, Worker
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
    "AuditLog",
    "Base",
    "Contact",
    "ContactTag",
    "CustomField",
    "Effect",
    "Enrollment",
    "EnrollmentExecution",
    "Event",
    "Import",
    "ImportRow",
    "Job",
    "MailboxMessage",
    "Membership",
    "PasswordReset",
    "Session",
    "Tag",
    "TriggerDecision",
    "User",
    "Worker",
    "Workflow",
    "WorkflowAction",
    "WorkflowCondition",
    "WorkflowGoal",
    "WorkflowReference",
    "WorkflowRevision",
    "WorkflowVersion",
]
