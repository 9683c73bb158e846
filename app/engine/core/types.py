"""What `advance` is given and what it gives back: plain structs that the worker reads from rows and writes
to rows. The words of every closed set are here."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

import msgspec

from app.engine.core.scalars import OnDoubt

# What executing a step returns instead of the index of the next node.
END = -1  # past the last step
STOPPED = -2  # the enrollment is parked or finished


class Status(StrEnum):
    ACTIVE = "active"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    EXITED = "exited"
    FAILED = "failed"


class WaitReason(StrEnum):
    """What an active enrollment waits for: exactly one. Which of them occur grows with the step kinds."""

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
    HOLD = "hold"


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
    """How a visit to a step ended. `skipped` says in its detail by which goal, or why; `left` is a visit that
    ended because the enrollment did, by something other than the step."""

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
    """What steps know besides the contact, the same for a whole batch. `states` by step key is what a step of
    this version remembers across people (whose turn it is, which slots are taken); steps change it in place
    and what changed is written with the batch. `owned` counts each member's contacts, for the least busy.
    `unmatched_since` is when the oldest event happened that no wait was asked about yet; None when all were,
    or nobody's wait for an event is over."""

    members: list[UUID] = []
    owned: dict[UUID, int] = {}
    states: dict[str, dict[str, Any]] = {}
    unmatched_since: datetime | None = None


class EffectOutcome(msgspec.Struct, frozen=True):
    """What the ledger says about the effect that an enrollment is parked on. `pending` is an effect whose
    call has not begun; `claimed` one whose call is under way; `skipped` one that the contact does not want
    any more; `next_at` belongs to `retry`."""

    status: Literal["pending", "claimed", "sent", "skipped", "failed_permanent", "unknown", "retry"]
    next_at: datetime | None = None
    error: str | None = None
    detail: dict[str, Any] = {}


class EnrollmentState(msgspec.Struct, frozen=True):
    """An active enrollment as it was parked. No `step_key` means the start; no `wait_reason`, that its step
    was not begun; otherwise the execution `seq` is open and belongs to `step_key`.

    `answer` is the option chosen for the approval it waits for, `heard` that the event it waits for has
    happened (or that a person opened the window or ended the wait), `contact_gone` that it runs for a
    contact who was deleted."""

    id: UUID
    contact_id: UUID
    step_key: str | None = None
    seq: int = 0
    wait_reason: WaitReason | None = None
    wait_until: datetime | None = None
    goal_key: str | None = None
    effect: EffectOutcome | None = None
    answer: str | None = None
    heard: bool = False
    entered_at: datetime | None = None
    contact_gone: bool = False


class Execution(msgspec.Struct):
    """A new row of `enrollment_executions`. `finished` is None for the visit where the enrollment parks."""

    seq: int
    step_key: str
    kind: str
    started: datetime
    finished: datetime | None
    outcome: Outcome | None
    detail: dict[str, Any]
    error: str | None = None


class Closed(msgspec.Struct):
    """The open row of an earlier advance, now finished: an update of (enrollment, seq). `detail` is to be
    merged into what the row holds."""

    seq: int
    finished: datetime
    outcome: Outcome
    detail: dict[str, Any]
    error: str | None = None


class ContactChange(msgspec.Struct):
    """One change a step made to the contact, in order, for audit and events. For `field`, `name` is the field
    key; for tags, the tag's id as text, with old and new None; for notes and tasks, their text or title."""

    kind: Literal["field", "tag_added", "tag_removed", "note_added", "task_added", "deleted"]
    step_key: str
    seq: int
    name: str
    old: object = None
    new: object = None


class EffectRequest(msgspec.Struct):
    """Something to be done outside, for the ledger. `payload` is the JSON of an email {to, to_name, subject,
    body, from_name, reply_to}, an SMS {to, body}, a chat message {channel, text} or a webhook {url, method,
    headers, body, save_as}; the key `transactional` says that consent is not asked, and `window` when it may
    be sent: a `Window` whose zone is a name. A payload with `internal` goes to the members `users` (ids as
    text; `to` is empty), not to the contact."""

    kind: Literal["email", "sms", "chat", "webhook"]
    step_key: str
    seq: int
    idempotency_key: str
    payload: dict[str, Any]
    on_doubt: OnDoubt


class NewTask(msgspec.Struct, frozen=True):
    """`assignee` None is nobody."""

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

    `due_at` is when the engine looks next; None while something else will wake it (an effect, a person).
    `fields` (by field key), `tags_added` and `tags_removed` are the net change of the contact; `changes` the
    single ones. `moved` is false for a wake-up that found nothing to do: the state is as it was.

    `notes`, `tasks`, `notifications`, `approvals` are rows to be made; `enter` the workflows that the contact
    is to be asked into, `leave` those to be taken out of (None: every other one); `delete` puts the contact
    into the bin; `data` is to be merged into what the enrollment carries."""

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
    fields: dict[str, object] = {}
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
    data: dict[str, Any] = {}
