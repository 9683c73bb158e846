"""What the page of a publication shows and takes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from app.web.actions import Action
from app.workflows.schemas.pages import ProblemView, Totals, WorkflowView

FINISH, START, EXIT = "finish", "start", "exit"


class StandChoice(msgspec.Struct, forbid_unknown_fields=True):
    """What happens to the people who stand at `step` ("" is before the first one) of `version`: `to` is
    "finish" (on their version), "exit", the key of a step of the new version, or for those before the first
    step "start". `people` is how many the
    plan showed; when it is another number by now, the publication is refused."""

    version: Annotated[int, Meta(ge=0, le=1_000_000)]
    to: Annotated[str, Meta(max_length=20)]
    people: Annotated[int, Meta(ge=0, le=1_000_000_000)]
    step: Annotated[str, Meta(max_length=20)] = ""


class PublishForm(msgspec.Struct, forbid_unknown_fields=True):
    """`rev` is the revision of the draft that was looked at."""

    rev: int
    choices: Annotated[list[StandChoice], Meta(max_length=2000)] = []


class PlanLine(msgspec.Struct):
    """One difference to the live version: `change` is added, changed, moved or removed; `before` and `after`
    say what it was and what it becomes, where that can be said."""

    change: str
    key: str
    title: str
    before: str = ""
    after: str = ""


class StandOption(msgspec.Struct):
    """`value` is what `StandChoice.to` takes."""

    value: str
    label: str


class StandGroup(msgspec.Struct):
    """People at one step of a version in use. `due_first` to `due_last` is when their wait ends; after a move
    to the same step of the new version it ends between `new_first` and `new_last`, or as before (`kept`), or
    the step begins anew (neither). `under_way` are those who cannot be moved, because something may be going
    out for them at this moment. Of those who are moved to the same step, `renewed` have not tried yet to send
    what they send, and it is rendered from the new version; `unchanged` have, and try the same again."""

    version: int
    step: str
    title: str
    people: int
    under_way: int
    renewed: int
    unchanged: int
    reason: str | None
    due_first: datetime | None
    due_last: datetime | None
    kept: bool
    new_first: datetime | None
    new_last: datetime | None
    default: str
    options: list[StandOption]


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
    """Whom publishing lets in at once: `people` contacts who match now; None when nobody is (future only)."""

    audience: str
    people: int | None


class PublicationPage(msgspec.Struct):
    """What publishing would do: with `problems` it would be refused; `warnings` are sentences about what
    would go live and could not do its work."""

    workflow: WorkflowView
    problems: list[ProblemView]
    warnings: list[str]
    audience: AudienceView
    triggers: list[TriggerView]
    plan: list[PlanLine]
    standing: list[StandGroup]
    totals: Totals
    actions: list[Action]


class Published(msgspec.Struct):
    """`moved`, `exited` and `under_way` (not moved) people; with `job` they are being moved still. For
    `renewed` of those who were moved, what was not sent yet is rendered from this version. `paused` says that
    the workflow is, as it was before: nobody enters until it is resumed."""

    id: UUID
    version: int
    moved: int = 0
    exited: int = 0
    under_way: int = 0
    renewed: int = 0
    job: UUID | None = None
    paused: bool = False
