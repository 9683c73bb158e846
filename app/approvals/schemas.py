"""The JSON of approvals: questions of enrollments that wait for a member, and the answer form."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from app.web.actions import Action


class AnswerForm(msgspec.Struct, forbid_unknown_fields=True):
    """`option` is the key of one of the question's options."""

    option: Annotated[str, Meta(min_length=1, max_length=20, extra={"error": "Choose one of the options."})]


class Option(msgspec.Struct):
    key: str
    name: str


class ApprovalLine(msgspec.Struct):
    """One question. `users` are the names of the members who may answer; empty means every member who may
    manage enrollments. Its form is the action `answer:<id>` of the page. `answer` is the name of the chosen
    option."""

    id: UUID
    question: str
    options: list[Option]
    users: list[str]
    status: str
    contact_name: str
    contact_href: str
    workflow_name: str
    workflow_href: str
    enrollment_href: str
    due_at: datetime
    created_at: datetime
    answer: str
    answered_by: str
    answered_at: datetime | None


class ApprovalList(msgspec.Struct):
    """`items` are the open questions that the caller may answer, the most urgent first; `closed` the latest
    closed ones of the account."""

    items: list[ApprovalLine]
    next: str
    previous: str
    closed: list[ApprovalLine]
    actions: list[Action]
