"""The JSON of the publication page."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from app.web.actions import Action
from app.workflows.schemas.pages import ProblemView, Totals, WorkflowView

FINISH, START, EXIT = "finish", "start", "exit"


class MoveChoice(msgspec.Struct, forbid_unknown_fields=True):
    """What happens to the enrollments at `step` ("" is before the first one) of `version`: `to` is
    "finish" (on their version), "exit", the key of a step of the new version, or for those before the
    first step "start". `enrollments` is how many the plan showed; if it is another number by now, the
    publication is refused."""

    version: Annotated[int, Meta(ge=0, le=1_000_000)]
    to: Annotated[str, Meta(max_length=20)]
    enrollments: Annotated[int, Meta(ge=0, le=1_000_000_000)]
    step: Annotated[str, Meta(max_length=20)] = ""


class PublishForm(msgspec.Struct, forbid_unknown_fields=True):
    """`rev` is the revision of the draft that the plan showed."""

    rev: int
    choices: Annotated[list[MoveChoice], Meta(max_length=2000)] = []


class PlanLine(msgspec.Struct):
    """One difference to the live version: `change` is added, changed, moved or removed; `before` and `after`
    describe it, as far as possible."""

    change: str
    key: str
    title: str
    before: str = ""
    after: str = ""


class MoveOption(msgspec.Struct):
    """`value` is what `MoveChoice.to` takes."""

    value: str
    label: str


class EnrollmentGroup(msgspec.Struct):
    """Enrollments at one step of a version in use. `due_first` to `due_last` is when their wait ends; after a
    move to the same step of the new version it ends between `new_first` and `new_last`, or as before
    (`wait_unchanged`), or the step starts again (neither). `under_way` is how many cannot be moved, because
    an effect of theirs may be in flight now. Of those that are moved to the same step, `renewed` have not
    tried to send their effect yet, and it is rendered from the new version; `unchanged` have tried, and try
    the same effect again."""

    version: int
    step: str
    title: str
    enrollments: int
    under_way: int
    renewed: int
    unchanged: int
    reason: str | None
    due_first: datetime | None
    due_last: datetime | None
    wait_unchanged: bool
    new_first: datetime | None
    new_last: datetime | None
    default: str
    options: list[MoveOption]


class TriggerView(msgspec.Struct):
    """A trigger. `sources` are labels of the sources it listens to; `imports` and `bulk_edits` are whether
    these start it, and `sentence` states both."""

    key: str
    title: str
    summary: str
    sources: list[str]
    imports: bool
    bulk_edits: bool
    sentence: str


class AudienceView(msgspec.Struct):
    """The contacts that publishing enrolls at once: `contacts` match now; None when publishing enrolls none
    (future only)."""

    audience: str
    contacts: int | None


class PublicationPage(msgspec.Struct):
    """What publishing would do: with `problems` it would be refused; `warnings` are sentences about steps
    that would go live and could not work."""

    workflow: WorkflowView
    problems: list[ProblemView]
    warnings: list[str]
    audience: AudienceView
    triggers: list[TriggerView]
    plan: list[PlanLine]
    standing: list[EnrollmentGroup]
    totals: Totals
    actions: list[Action]


class Published(msgspec.Struct):
    """Numbers of enrollments: `moved`, `exited` and `under_way` (not moved); with `job` a job is still moving
    them. `renewed` is how many of the moved ones have an unsent effect that is rendered from this version.
    `paused` means that the workflow is still paused, so no contact enters until it is resumed."""

    id: UUID
    version: int
    moved: int = 0
    exited: int = 0
    under_way: int = 0
    renewed: int = 0
    job: UUID | None = None
    paused: bool = False
