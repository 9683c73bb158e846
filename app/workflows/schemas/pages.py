"""The JSON of the workflow screens."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from app.filters.row_inputs import FilterBox
from app.web.actions import Action


class WorkflowRow(msgspec.Struct):
    """`live` counts the active enrollments, in all versions."""

    id: UUID
    name: str
    status: str
    live_version: int | None
    live: int
    updated_at: datetime


class WorkflowList(msgspec.Struct):
    items: list[WorkflowRow]
    next: str
    previous: str
    actions: list[Action]


class NewWorkflow(msgspec.Struct):
    actions: list[Action]


class WorkflowView(msgspec.Struct):
    """`changed` says whether the draft differs from the live version; `held` that no enrollment in it
    moves."""

    id: UUID
    name: str
    description: str
    status: str
    rev: int
    live_version: int | None
    next_version: int
    changed: bool
    updated_at: datetime
    held: bool = False


class Count(msgspec.Struct):
    """Contacts at a step now, visits that ended well, visits that failed; `lanes` has contacts by lane taken;
    `stopped` means that a circuit breaker stops the step because it failed for too many contacts. With
    `counted` false counting took too long, and the numbers are 0."""

    current: int = 0
    completed: int = 0
    failed: int = 0
    stopped: bool = False
    lanes: dict[str, int] = {}
    counted: bool = True


class Totals(msgspec.Struct):
    """Enrollments by status. With `counted` false counting took too long, and the numbers are 0."""

    active: int = 0
    completed: int = 0
    incomplete: int = 0
    exited: int = 0
    failed: int = 0
    counted: bool = True

    @property
    def entered(self) -> int:
        return self.active + self.completed + self.incomplete + self.exited + self.failed


class CanvasLane(msgspec.Struct):
    """`ends` when the lane's last step leaves the workflow."""

    key: str
    list_id: str
    label: str
    condition: str
    entered: int
    ends: bool
    steps: "list[CanvasStep]"


class CanvasStep(msgspec.Struct):
    key: str
    kind: str
    title: str
    summary: str
    name: str
    note: str
    config: dict[str, Any]  # Any: JSON in a response; each kind of step has its own config
    count: Count
    invalid: bool
    changed: bool
    lanes: list[CanvasLane]
    icon: str
    tone: str


class CanvasTrigger(msgspec.Struct):
    key: str
    kind: str
    title: str
    summary: str
    config: dict[str, Any]  # Any: JSON in a response; each kind of trigger has its own
    invalid: bool
    icon: str


class ProblemView(msgspec.Struct):
    """One problem that keeps the draft from being published, and the page where to fix it."""

    message: str
    label: str
    href: str
    step: str | None
    field: str


class Choice(msgspec.Struct):
    value: str
    label: str
    hint: str = ""
    icon: str = ""
    tone: str = ""


class ChoiceGroup(msgspec.Struct):
    label: str
    choices: list[Choice]


class FieldChoice(msgspec.Struct):
    """A field as forms offer it; `operators` are (value, label)."""

    key: str
    label: str
    type: str
    operators: list[tuple[str, str]]
    options: list[str]
    writable: bool


class Sheet(msgspec.Struct):
    """The open panel. `kind` is picker, step, triggers, trigger, entry or settings; `values` are the inputs
    of its form. `plain_fields` (those with one value), `segments`, `workflows`, `members`, `steps` and
    `events` are the choices, (value, label); `places` is where the step can move to. `reentry`
    (value, label, explanation) and `audiences` are the choices of the settings. `stored` is a sentence
    about what is saved now, while `values` are what was typed. `filters` are the filters in the form by their
    input name: the conditions and what each may be changed to."""

    kind: str
    title: str
    key: str = ""
    step_kind: str = ""
    icon: str = "gear"
    tone: str = ""
    list_id: str = ""
    position: int = 0
    values: dict[str, Any] = {}  # Any: JSON in a response; the inputs of its form
    count: Count | None = None
    groups: list[ChoiceGroup] = []
    fields: list[FieldChoice] = []
    plain_fields: list[tuple[str, str]] = []
    operators: list[tuple[str, list[tuple[str, str]]]] = []
    tags: list[str] = []
    segments: list[tuple[str, str]] = []
    workflows: list[tuple[str, str]] = []
    members: list[tuple[str, str]] = []
    steps: list[tuple[str, str]] = []
    events: list[tuple[str, str]] = []
    merge_tags: list[str] = []
    places: list[tuple[str, str]] = []
    problems: list[str] = []
    stored: str = ""
    reentry: list[tuple[str, str, str]] = []
    audiences: list[tuple[str, str]] = []
    filters: dict[str, FilterBox] = {}


class Builder(msgspec.Struct):
    """The whole builder: `entry` is the entry condition as a sentence, `sheet` the open panel."""

    workflow: WorkflowView
    triggers: list[CanvasTrigger]
    entry: str
    steps: list[CanvasStep]
    totals: Totals
    undo: str
    redo: str
    problems: list[ProblemView]
    sheet: Sheet | None
    editable: bool
    publishable: bool
    actions: list[Action]


class CountsPage(msgspec.Struct):
    counts: dict[str, Count]
    kinds: dict[str, str]
    totals: Totals
    actions: list[Action]


class VersionRow(msgspec.Struct):
    number: int
    hash: str
    published_by: str
    published_at: datetime
    live: int
    current: bool


class VersionList(msgspec.Struct):
    workflow: WorkflowView
    items: list[VersionRow]
    next: str
    previous: str
    totals: Totals
    actions: list[Action]


class VersionPage(msgspec.Struct):
    """One published version: its steps as the canvas shows them, and the document itself."""

    workflow: WorkflowView
    number: int
    published_by: str
    published_at: datetime
    hash: str
    triggers: list[CanvasTrigger]
    entry: str
    steps: list[CanvasStep]
    document: dict[str, Any]  # Any: JSON in a response, as it is stored
    totals: Totals
    actions: list[Action]
