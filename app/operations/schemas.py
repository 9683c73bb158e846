"""The JSON of the Jobs page: queues, failures, workers, jobs."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from app.web.actions import Action


class Tile(msgspec.Struct):
    """One total at the top of the page; `tone` is "" or a color name, `href` the list behind it."""

    key: str
    label: str
    value: int
    note: str
    tone: str
    href: str


class QueueLine(msgspec.Struct):
    """One queue. `oldest_seconds` is how late its oldest due entry is, None when nothing is due; `next_at` is
    when the next entry will be due; `done` counts the last hour."""

    name: str
    label: str
    holds: str
    ready: int
    running: int
    waiting: int
    failed: int
    in_doubt: int
    done: int | None
    oldest_seconds: float | None
    next_at: datetime | None
    href: str


class Failing(msgspec.Struct):
    """A failed job, or a step that fails in one way for `contacts` contacts (1,000 means so many or more): it
    failed, waits for another attempt or is in doubt. `what` is "step" where the step sends nothing. `error`,
    `at` and `id` (of the effect, else of the enrollment) are those of the latest failure; `href` leads to
    that contact, or to the list of them. A failure of a single contact has the buttons `retry:<id>` and
    `cancel:<id>` of the page's actions."""

    id: UUID
    what: Literal["job", "email", "sms", "chat", "webhook", "step"]
    label: str
    state: str
    title: str
    error: str
    note: str
    at: datetime
    next_at: datetime | None
    href: str
    contacts: int


class BreakerLine(msgspec.Struct):
    """A step that is stopped because it failed for too many contacts in one way. `waiting` counts the
    contacts that wait there; `until` is the next trial. Its button is `try:<workflow>:<step>` of the page's
    actions."""

    workflow_id: UUID
    workflow_name: str
    workflow_href: str
    step_key: str
    step: str
    error_class: str
    error_label: str
    error: str
    state: str
    waiting: int
    until: datetime | None
    opened_at: datetime | None


class TurnTotals(msgspec.Struct):
    """The turns of one task, of all accounts. `queued` and `running` are SAQ jobs, None when Redis doesn't
    respond. The others count the turns of all workers so far, by how they came: as SAQ jobs, by the sweep, or
    from the queues of a worker with `EXECUTOR=inline`."""

    queued: int | None
    running: int | None
    by_saq: int
    by_sweep: int
    inline: int


class TurnLine(msgspec.Struct):
    """One task that workers do in turns. `due` says whether PostgreSQL has work of it for this account;
    `all_accounts` is only for members with the permission jobs:run."""

    task: str
    label: str
    due: bool
    all_accounts: TurnTotals | None


class WorkerLine(msgspec.Struct):
    """A worker process. `memory` in bytes, `heartbeat_age_seconds` since its last heartbeat."""

    id: UUID
    host: str
    pid: int
    started_at: datetime
    last_seen_at: datetime
    steps: int
    memory: int
    heartbeat_age_seconds: float


class JobLine(msgspec.Struct):
    """One durable job. `progress` of `total` rows; `duration_seconds` until it ended, or until now."""

    id: UUID
    title: str
    queue: str
    queue_label: str
    task: str
    status: str
    attempts: int
    max_attempts: int
    progress: int
    total: int
    error: str | None
    actor_name: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: float | None
    href: str


class JobList(msgspec.Struct):
    """The Jobs page. `redis` says whether Redis responds, and the jobs in `turns` are in Redis; everything
    else comes from PostgreSQL. `held` says why the engine is held, and is empty when it is not."""

    tiles: list[Tile]
    queues: list[QueueLine]
    failing: list[Failing]
    circuit_breakers: list[BreakerLine]
    turns: list[TurnLine]
    workers: list[WorkerLine]
    items: list[JobLine]
    next: str
    previous: str
    redis: bool
    held: str
    at: datetime
    status: str
    queue: str
    queue_label: str
    actions: list[Action]


class JobPage(JobLine, kw_only=True):
    """One job; `import_href` leads to its import, "" for none. `undoable` is how many contacts the undo of a
    bulk deletion would restore; `undone_href` leads to the job that undid it. `result_labels` are the counts
    of `result` for people."""

    due_at: datetime
    # Any: JSON in a response; each kind of job has its own.
    args: dict[str, Any]
    result: dict[str, Any] | None
    result_labels: list[str]
    import_href: str
    undone_href: str
    undoable: int
    live: bool
    actions: list[Action]
