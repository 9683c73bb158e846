"""Enrollments as they are shown, and the forms that steer them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from app.approvals.schemas import ApprovalLine
from app.engine.core.steps import KINDS
from app.web.actions import Action

MOST_IDS = 1000
STATUSES = ("active", "completed", "incomplete", "exited", "failed")


class EnrollForm(msgspec.Struct, forbid_unknown_fields=True):
    """Who is added: `contact` is one email address or contact id (a form), `contact_ids` up to 1,000 ids."""

    contact: Annotated[str, Meta(max_length=320)] = ""
    contact_ids: Annotated[list[UUID], Meta(max_length=MOST_IDS)] = []


class SettlementForm(msgspec.Struct, forbid_unknown_fields=True):
    """`went_out` true: it was sent; false: it was not, send it again."""

    went_out: bool


class JumpForm(msgspec.Struct, forbid_unknown_fields=True):
    """`step` is the key of a step of the enrollment's version."""

    step: Annotated[str, Meta(min_length=1, max_length=20)]


class Requested(msgspec.Struct):
    """How many contacts were asked for; whether each enters is decided right after."""

    workflow_id: UUID
    contacts: int


class EnrollmentLine(msgspec.Struct):
    """One enrollment of a list. `waits_for` is what it waits for, or how it ended, in one sentence."""

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
    """One value of a filter, in words."""

    value: str
    label: str


class EnrollmentList(msgspec.Struct):
    """One page, newest first; `next` and `previous` are addresses, "" for none. `workflow` is "" in the list
    of all; `counts` is by status. Nothing is counted further than `counted_to`: there it means so many or
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
    """One execution: `outcome` is None while the enrollment stands there; `note` is its detail in words."""

    seq: int
    step_key: str
    title: str
    kind: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    detail: dict[str, Any]
    note: str
    error: str | None
    effect: "EffectView | None" = None

    @property
    def icon(self) -> str:
        """The icon of its kind of step, for the page."""
        return KINDS[self.kind].icon if self.kind in KINDS else "check"


class EffectView(msgspec.Struct):
    """Something that went, goes or may have gone out. `what` is its subject or address."""

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
    result: dict[str, Any] | None


class DecisionView(msgspec.Struct):
    """Why it entered."""

    sentence: str
    verdict: str
    event_kind: str | None
    source: str | None
    decided_at: datetime
    detail: dict[str, Any]


class SeenValue(msgspec.Struct):
    """What a decision saw in one field: `value` as it was kept, with ids; `words` with names; `names` those
    of the ids in `value`."""

    field: str
    label: str
    value: Any
    words: str
    names: dict[str, str] = {}


class WhyLine(msgspec.Struct):
    """One event of the contact and what a workflow made of it. `verdict` is "" when it is not looked at
    yet, was passed over, or nothing asks for it: `sentence` says which; `worked_out` when no decision is
    kept and this is today's answer. `seen` are the values that its filter saw, for people; `detail` has them
    as they were kept."""

    event_id: UUID
    kind: str
    source: str
    at: datetime
    what: str
    verdict: str
    sentence: str
    detail: dict[str, Any]
    worked_out: bool
    seen: list[SeenValue] = []


class WhyPage(msgspec.Struct):
    """One page of events, newest first; `next` and `previous` are addresses, "" for none. Without a workflow
    there is nothing but the choice of one."""

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
    """An enrollment that publishing took to another version."""

    from_version: int
    to_version: int
    from_step: str | None
    to_step: str | None
    moved_by: str
    moved_at: datetime


class EnrollmentPage(EnrollmentLine, kw_only=True):
    """One enrollment with its path so far; `approval` is the question that it waits with."""

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
