"""The JSON of tasks and their forms."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from app.patch import Patch
from app.web.actions import Action

TITLE = "Enter a task of 1 to 200 characters."
Title = Annotated[str, Meta(min_length=1, max_length=200, extra={"error": TITLE})]
Body = Annotated[str, Meta(max_length=5000)]
Due = Annotated[str, Meta(max_length=40)]


class TaskForm(msgspec.Struct, forbid_unknown_fields=True):
    """`due` is a day or a time in the account's zone ("2026-11-30", "2026-11-30T09:00"), or has an offset; a
    day alone is due at its end. `assignee` is a member's id."""

    title: Title
    body: Body = ""
    due: Due = ""
    assignee: UUID | None = None


class TaskChangeForm(msgspec.Struct, forbid_unknown_fields=True):
    """As `TaskForm`; a field that is missing stays as it is, null empties it."""

    title: Patch[Title] = UNSET
    body: Patch[Body | None] = UNSET
    due: Patch[Due | None] = UNSET
    assignee: Patch[UUID | None] = UNSET


class TaskStepForm(msgspec.Struct, forbid_unknown_fields=True):
    """The page to which a browser returns."""

    back: Literal["contact", "tasks"] = "contact"


class TaskView(msgspec.Struct):
    """`contact` is the contact's name; `overdue` means open and past its due time."""

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


class TaskDeleted(msgspec.Struct):
    """A task that was deleted; its action restores it."""

    task: TaskView
    actions: list[Action]


class TaskPage(msgspec.Struct):
    """One task with a form. `due` is its time in the account's zone, in the format of the input; `members`
    are the members by id."""

    task: TaskView
    due: str
    time_zone: str
    members: dict[str, str]
    actions: list[Action]


class TaskList(msgspec.Struct):
    """`view` is mine, all, overdue or done; `views` are label, address, current, count; `next` and `previous`
    are addresses, "" for none."""

    items: list[TaskView]
    view: str
    views: list[tuple[str, str, bool, int]]
    next: str
    previous: str
    actions: list[Action]
