"""Tasks as they come in and as they are shown."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.web.actions import Action

TITLE = "Write what is to be done, in 1 to 200 letters."


class TaskForm(msgspec.Struct, forbid_unknown_fields=True):
    """`due` is a day or a time in the account's zone ("2026-11-30", "2026-11-30T09:00"), or has an offset; a
    day alone is due at its end. `assignee` is a member's id."""

    title: Annotated[str, Meta(min_length=1, max_length=200, extra={"error": TITLE})]
    body: Annotated[str, Meta(max_length=5000)] = ""
    due: Annotated[str, Meta(max_length=40)] = ""
    assignee: UUID | None = None


class TaskStepForm(msgspec.Struct, forbid_unknown_fields=True):
    """Which page a browser is sent back to."""

    back: Literal["contact", "tasks"] = "contact"


class TaskView(msgspec.Struct):
    """`contact` is the name of whom it is about; `overdue` says that it is open and past its time."""

    id: UUID
    contact_id: UUID
    contact: str
    title: str
    body: str
    assignee_id: UUID | None
    assignee: str
    due_at: datetime | None
    overdue: bool
    completed_at: datetime | None
    completed_by: str | None
    author_name: str
    created_at: datetime


class TaskList(msgspec.Struct):
    """`view` is mine, all, overdue or done; `views` are label, address, current, count; `next` is an address,
    "" for none."""

    items: list[TaskView]
    view: str
    views: list[tuple[str, str, bool, int]]
    next: str
    actions: list[Action]
