"""The JSON of tasks and their forms."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from app.contacts.domain import ContactChoice
from app.patch import Patch
from app.tasks.domain import Repeat, Snooze
from app.web.actions import Action

TITLE = "Enter a task of 1 to 200 characters."
Title = Annotated[str, Meta(min_length=1, max_length=200, extra={"error": TITLE})]
Body = Annotated[str, Meta(max_length=5000)]
Due = Annotated[str, Meta(max_length=40)]
MOST_IDS = 200


class TaskForm(msgspec.Struct, forbid_unknown_fields=True):
    """`due` is a day or a time in the member's zone ("2026-11-30", "2026-11-30T09:00"), or has an offset; a
    day alone is due at its end. `assignee` is a member's id. A task that `repeats` starts over when it is
    completed, from its due time. A browser then sees the page `back`."""

    title: Title
    body: Body = ""
    due: Due = ""
    assignee: UUID | None = None
    repeats: Repeat | Literal[""] = ""
    back: Literal["contact", "tasks"] = "contact"


class TaskChangeForm(msgspec.Struct, forbid_unknown_fields=True):
    """As `TaskForm`; a field that is missing stays as it is, null empties it."""

    title: Patch[Title] = UNSET
    body: Patch[Body | None] = UNSET
    due: Patch[Due | None] = UNSET
    assignee: Patch[UUID | None] = UNSET
    repeats: Patch[Repeat | Literal[""] | None] = UNSET


class TaskStepForm(msgspec.Struct, forbid_unknown_fields=True):
    """The page to which a browser returns."""

    back: Literal["contact", "tasks"] = "contact"


class SnoozeForm(TaskStepForm, forbid_unknown_fields=True):
    """`until` is later (in three hours), tomorrow or next_week (Monday), at nine in the member's zone; or
    `due` is another time, as in `TaskForm`."""

    until: Snooze | Literal[""] = ""
    due: Due = ""


class BulkTaskForm(msgspec.Struct, forbid_unknown_fields=True):
    """The tasks: `ids`, or `id` as check boxes send it. `view` is the view to which a browser returns."""

    ids: Annotated[list[UUID], Meta(max_length=MOST_IDS)] = []
    id: Annotated[list[UUID], Meta(max_length=MOST_IDS)] = []
    view: Literal["mine", "all", "overdue", "done"] = "mine"


class CompletionUndoForm(msgspec.Struct, forbid_unknown_fields=True):
    view: Literal["mine", "all", "overdue", "done"] = "mine"


class TasksCompleted(msgspec.Struct):
    """How many tasks were completed; the action opens them again."""

    completion_id: UUID
    total: int
    actions: list[Action]


class TasksReopened(msgspec.Struct):
    total: int


class TaskView(msgspec.Struct):
    """`contact` is the contact's name; `overdue` means open and past its due time; `repeats` is daily, weekly
    or monthly, "" for a task that doesn't."""

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
    repeats: str = ""


class TaskDeleted(msgspec.Struct):
    """A task that was deleted; its action restores it."""

    task: TaskView
    actions: list[Action]


class TaskPage(msgspec.Struct):
    """One task with a form. `due` is its time in the member's zone, in the format of the input; `members`
    are the members by id."""

    task: TaskView
    due: str
    time_zone: str
    members: dict[str, str]
    actions: list[Action]


class TaskColumn(msgspec.Struct):
    """A column of the list; `href` sorts by it, "" if that is not possible; `sorted` is ascending, descending
    or ""."""

    label: str
    href: str = ""
    sorted: str = ""


class TaskList(msgspec.Struct):
    """`view` is mine, all, overdue or done; `views` are label, address, current, count; `next` and `previous`
    are addresses, "" for none. `q` is a text in the title, the details or the contact; `sort` is a column,
    with “-” for descending order; `members` are those to filter by, by id."""

    items: list[TaskView]
    view: str
    views: list[tuple[str, str, bool, int]]
    next: str
    previous: str
    actions: list[Action]
    q: str = ""
    sort: str = ""
    assignee: UUID | None = None
    columns: list[TaskColumn] = []
    members: dict[str, str] = {}


class NewTaskPage(msgspec.Struct):
    """The form for a new task: first a contact is chosen among those that the search `q` finds. `contact` is
    the chosen one."""

    q: str
    choices: list[ContactChoice]
    contact: ContactChoice | None
    time_zone: str
    members: dict[str, str]
    actions: list[Action]
