"""The input and output of `advance`: plain structs that the worker reads from rows and writes to rows, and
the enumerations of their states."""

from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec

from app.engine.core.scalars import OnDoubt
from app.filters.facts import FactValue
from app.json_types import Json, JsonObject

# What executing a step returns instead of the index of the next node.
END = -1  # past the last step
STOPPED = -2  # the enrollment waits or is finished


class Status(StrEnum):
    ACTIVE = "active"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    EXITED = "exited"
    FAILED = "failed"


class WaitReason(StrEnum):
    """What an active enrollment waits for; None instead of a reason before its step has begun. `in_doubt`
    (stored as `hold`) waits until a member says whether the effect was sent."""

    TIMER = "timer"
    WINDOW = "window"
    EVENT = "event"
    CONDITION = "condition"
    APPROVAL = "approval"
    DRIP_SLOT = "drip_slot"
    EFFECT = "effect"
    RETRY = "retry"
    PAUSED_WORKFLOW = "paused_workflow"
    PAUSED_ENROLLMENT = "paused_enrollment"
    BREAKER_OPEN = "breaker_open"
    IN_DOUBT = "hold"


# Waits for the outcome of an effect.
EFFECT_WAITS = (WaitReason.EFFECT, WaitReason.RETRY, WaitReason.IN_DOUBT, WaitReason.BREAKER_OPEN)


class ExitReason(StrEnum):
    FINISHED = "finished"
    GOAL_MET = "goal_met"
    REPLIED = "replied"
    REMOVED_BY_USER = "removed_by_user"
    REMOVED_BY_WORKFLOW = "removed_by_workflow"
    NO_LONGER_MATCHES = "no_longer_matches"
    SUPERSEDED = "superseded"
    PAST_WINDOW = "past_window"
    SUBJECT_DELETED = "subject_deleted"
    SUBJECT_MERGED = "subject_merged"
    WORKFLOW_ARCHIVED = "workflow_archived"
    FAILED_PERMANENT = "failed_permanent"


class Outcome(StrEnum):
    """How a visit to a step ended. The detail of `skipped` names the goal, or the reason; `left` is a visit
    that ended because the enrollment did, for a reason other than the step."""

    DONE = "done"
    SENT = "sent"
    PASSED = "passed"
    TAKEN = "taken"
    MET = "met"
    UNMET = "unmet"
    EXITED = "exited"
    SKIPPED = "skipped"
    LEFT = "left"
    FAILED = "failed"


class StepContext(msgspec.Struct):
    """What steps read besides the contact, the same for a whole batch. `states` by step key is what a step of
    this version stores across enrollments (whose turn it is, which slots are taken); steps change it in
    place, and the changes are written with the batch. `owned` counts each member's contacts, for the least
    busy. `unmatched_since` is when the oldest event happened that the matcher has not processed; None if
    there is none, or if no wait for an event in this batch is over."""

    members: list[UUID] = []
    owned: dict[UUID, int] = {}
    states: dict[str, JsonObject] = {}
    unmatched_since: datetime | None = None


EffectStatus = Literal["pending", "claimed", "sent", "skipped", "failed_permanent", "unknown", "retry"]


class EffectState(msgspec.Struct, frozen=True):
    """The state of the effect for which an enrollment waits. `pending`: its call has not begun; `claimed`:
    its call is in flight; `skipped`: the contact no longer wants it; `next_at` belongs to `retry`."""

    status: EffectStatus
    next_at: datetime | None = None
    error: str | None = None
    detail: JsonObject = {}


class EnrollmentState(msgspec.Struct, frozen=True):
    """An active enrollment as it was stored. No `step_key` means the start; no `wait_reason`, that its step
    has not begun; otherwise the execution `seq` is open and belongs to `step_key`.

    `answer` is the option chosen for the approval it waits for. `woken` means that the event it waits for has
    happened, or that a member skipped the window or the wait. `contact_gone` means that its contact was
    deleted."""

    id: UUID
    contact_id: UUID
    step_key: str | None = None
    seq: int = 0
    wait_reason: WaitReason | None = None
    wait_until: datetime | None = None
    goal_key: str | None = None
    effect: EffectState | None = None
    answer: str | None = None
    woken: bool = False
    entered_at: datetime | None = None
    contact_gone: bool = False


class Execution(msgspec.Struct):
    """A new row of `enrollment_executions`. `finished` is None for the visit that lasts."""

    seq: int
    step_key: str
    kind: str
    started: datetime
    finished: datetime | None
    outcome: Outcome | None
    detail: JsonObject
    error: str | None = None


class Closed(msgspec.Struct):
    """The open row of an earlier advance, now finished: an update of (enrollment, seq). `detail` is merged
    into the stored detail."""

    seq: int
    finished: datetime
    outcome: Outcome
    detail: JsonObject
    error: str | None = None


class ContactChange(msgspec.Struct):
    """One change that a step made to the contact, in order, for audit and events. For `field`, `name` is the
    field key; for tags, the tag's id as text, with old and new None; for notes and tasks, their text or
    title."""

    kind: Literal["field", "tag_added", "tag_removed", "note_added", "task_added", "deleted"]
    step_key: str
    seq: int
    name: str
    old: Json = None
    new: Json = None


class EffectRequest(msgspec.Struct):
    """An outbound call, for the effects ledger. `payload` is the JSON of an email {to, to_name, subject,
    body, from_name, reply_to}, an SMS {to, body}, a chat message {channel, text} or a webhook {url, method,
    headers, body, save_as}. The key `transactional` means that consent is not required; `window` is when it
    may be sent: a `Window` whose zone is a name. A payload with `internal` goes to the members `users` (ids
    as text; `to` is empty), not to the contact."""

    kind: Literal["email", "sms", "chat", "webhook"]
    step_key: str
    seq: int
    idempotency_key: str
    payload: JsonObject
    on_doubt: OnDoubt


class NewTask(msgspec.Struct, frozen=True):
    """`assignee` is None for an unassigned task."""

    title: str
    body: str
    assignee: UUID | None
    due_at: datetime | None


class NewNotification(msgspec.Struct, frozen=True):
    user: UUID
    title: str
    body: str


class NewApproval(msgspec.Struct, frozen=True):
    """A question that the visit `seq` waits with; `options` are (key, name)."""

    seq: int
    step_key: str
    question: str
    options: list[tuple[str, str]]
    users: list[UUID]
    due_at: datetime


class Decision(msgspec.Struct):
    """The next state and what has to be written with it, in one transaction.

    `due_at` is when the engine looks next; None while something else will wake the enrollment (an effect, a
    member). `fields` (by field key), `tags_added` and `tags_removed` are the net change of the contact;
    `changes` are the single ones. `moved` is false for a wake-up that changed nothing: the state is as it
    was.

    `notes`, `tasks`, `notifications`, `approvals` are rows to insert; `enter` are the workflows that the
    contact is requested to enter, `leave` those to leave (None: every other one); `delete` deletes the
    contact (it can be restored for 30 days); `data` is merged into the enrollment's data."""

    status: Status
    step_key: str | None
    seq: int
    wait_reason: WaitReason | None = None
    wait_until: datetime | None = None
    due_at: datetime | None = None
    exit_reason: ExitReason | None = None
    goal_key: str | None = None
    error: str | None = None
    moved: bool = True
    executions: list[Execution] = []
    closed: list[Closed] = []
    changes: list[ContactChange] = []
    fields: dict[str, FactValue] = {}
    tags_added: set[UUID] = set()
    tags_removed: set[UUID] = set()
    effects: list[EffectRequest] = []
    notes: list[str] = []
    tasks: list[NewTask] = []
    notifications: list[NewNotification] = []
    approvals: list[NewApproval] = []
    enter: list[UUID] = []
    leave: list[UUID | None] = []
    delete: bool = False
    data: dict[str, JsonObject] = {}
