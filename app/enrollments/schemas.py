"""The JSON of enrollments, and the forms of the commands on them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.approvals.schemas import ApprovalLine
from app.contacts.domain import ContactChoice
from app.engine.core.steps import KINDS
from app.web.actions import Action

MOST_IDS = 1000
STATUSES = ("active", "completed", "incomplete", "exited", "failed")


class EnrollForm(msgspec.Struct, forbid_unknown_fields=True):
    """The contacts to add: `contact` is one email address or contact id (a form), `contact_ids` up to 1,000
    ids. A browser then sees the contact's page with `back`, else the workflow's enrollments."""

    contact: Annotated[str, Meta(max_length=320)] = ""
    contact_ids: Annotated[list[UUID], Meta(max_length=MOST_IDS)] = []
    back: Literal["workflow", "contact"] = "workflow"


class EnrollPage(msgspec.Struct):
    """Contacts to add to a workflow: those that the search `q` finds, while it accepts contacts."""

    workflow_id: UUID
    workflow_name: str
    accepts: bool
    q: str
    choices: list[ContactChoice]
    actions: list[Action]


class WorkflowChoice(msgspec.Struct):
    id: UUID
    name: str


class EnterPage(msgspec.Struct):
    """Workflows that a contact can be added to by hand; each has an action `enroll:<id>`."""

    contact_id: UUID
    contact_name: str
    workflows: list[WorkflowChoice]
    actions: list[Action]


class SettlementForm(msgspec.Struct, forbid_unknown_fields=True):
    """`sent` true: it was sent; false: it was not sent, so send it again."""

    sent: bool


class JumpForm(msgspec.Struct, forbid_unknown_fields=True):
    """`step` is the key of a step of the enrollment's version."""

    step: Annotated[str, Meta(min_length=1, max_length=20)]


class Requested(msgspec.Struct):
    """How many contacts were requested; the matcher decides on each right after."""

    workflow_id: UUID
    contacts: int


class EnrollmentLine(msgspec.Struct):
    """One enrollment of a list. `waits_for` says in one sentence what it waits for or how it ended."""

    id: UUID
    workflow_id: UUID
    workflow_name: str
    version: int
    contact_id: UUID
    contact_name: str
    status: str
    step_key: str | None
    step: str
    wait_reason: str | None
    waits_for: str
    wait_until: datetime | None
    entered_at: datetime
    ended_at: datetime | None
    href: str


class FilterOption(msgspec.Struct):
    """One option of a filter."""

    value: str
    label: str


class EnrollmentList(msgspec.Struct):
    """One page, newest first; `next` and `previous` are addresses, "" for none. `workflow_name` is "" in the
    list of all workflows; `counts` is by status. Counting stops at `counted_to`: that number means so many or
    more."""

    items: list[EnrollmentLine]
    next: str
    previous: str
    counts: dict[str, int]
    total: int
    counted_to: int
    workflow_id: UUID | None
    workflow_name: str
    status: str
    step: str
    q: str
    workflows: list[FilterOption]
    steps: list[FilterOption]
    actions: list[Action]


class Visit(msgspec.Struct):
    """One execution: `outcome` is None while the enrollment is at this step; `note` is its detail as a
    sentence."""

    seq: int
    step_key: str
    title: str
    kind: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    detail: dict[str, Any]  # Any: JSON in a response; each kind of step has its own
    note: str
    error: str | None
    effect: "EffectView | None" = None

    @property
    def icon(self) -> str:
        """The icon of its kind of step, for the page."""
        return KINDS[self.kind].icon if self.kind in KINDS else "check"


class EffectView(msgspec.Struct):
    """One effect: email, SMS, chat message or webhook. `what` is its subject or address."""

    id: UUID
    seq: int
    kind: str
    status: str
    what: str
    to: str
    attempts: int
    due_at: datetime
    sent_at: datetime | None
    error: str | None
    result: dict[str, Any] | None  # Any: JSON in a response, as the provider or member gave it


class DecisionView(msgspec.Struct):
    """The decision that let the contact enter."""

    sentence: str
    verdict: str
    event_kind: str | None
    source: str | None
    decided_at: datetime
    detail: dict[str, Any]  # Any: JSON in a response; each verdict has its own


class DecisionValue(msgspec.Struct):
    """What a decision saw in one field: `value` as stored, with ids; `words` with names instead; `names` has
    the names of the ids in `value`."""

    field: str
    label: str
    value: Any  # Any: JSON in a response; each type of field has its own
    words: str
    names: dict[str, str] = {}


class WhyLine(msgspec.Struct):
    """One event of the contact and the workflow's decision on it. `verdict` is "" when there is none: the
    event is not matched yet, was skipped, or no trigger listens to it; `sentence` says which. `evaluated_now`
    means that no decision is stored and this is today's answer. `values` are those that the filter saw,
    with names; `detail` has them as stored."""

    event_id: UUID
    kind: str
    source: str
    at: datetime
    what: str
    verdict: str
    sentence: str
    detail: dict[str, Any]  # Any: JSON in a response; each verdict has its own
    evaluated_now: bool
    values: list[DecisionValue] = []


class WhyPage(msgspec.Struct):
    """One page of events, newest first; `next` and `previous` are addresses, "" for none. Without a workflow
    only `workflows` is filled, to choose one."""

    contact_id: UUID
    contact_name: str
    workflow_id: UUID | None
    workflow_name: str
    status: str | None
    items: list[WhyLine]
    next: str
    previous: str
    workflows: list[FilterOption]
    actions: list[Action]


class MoveView(msgspec.Struct):
    """One move of the enrollment to another version by a publication."""

    from_version: int
    to_version: int
    from_step: str | None
    to_step: str | None
    moved_by: str
    moved_at: datetime


class EnrollmentPage(EnrollmentLine, kw_only=True):
    """One enrollment with its path so far; `approval` is the question that it waits with, if any."""

    contact_email: str | None
    contact_href: str
    due_at: datetime | None
    exit_reason: str | None
    goal_key: str | None
    error: str | None
    held: bool
    paused_at: datetime | None
    live_version: int | None
    steps: list[FilterOption]
    path: list[Visit]
    effects: list[EffectView]
    approval: ApprovalLine | None
    decision: DecisionView | None
    moves: list[MoveView]
    actions: list[Action]
