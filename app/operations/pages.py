"""Builds the Jobs page from PostgreSQL: effects, enrollments and jobs, seen as queues. Redis is only asked
how many SAQ jobs wait and run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from app.engine.recovery.restore_guard import hold_status_of
from app.errors import NotFound
from app.health.worker_health import SILENT_SECONDS
from app.operations.circuit_breakers import breaker_lines, trials
from app.operations.failures import failing_now
from app.operations.labels import TURNS, queue_label, result_labels, title_of
from app.operations.schemas import (
    JobLine,
    JobList,
    JobPage,
    QueueLine,
    Tile,
    TurnLine,
    TurnTotals,
    WorkerLine,
)
from app.permissions import Permission
from app.ports import QueueDepth, TurnName
from app.web.actions import action, actions
from app.web.formatting import duration, plural
from app.web.paging import FIRST_PAGE, Paging, neighbor_links
from app.work import Work
from db.models import Job
from db.queries.contact_conditions import deleted_by
from db.queries.due_accounts import find_due_tasks
from db.queries.engine_state import read_engine_state
from db.queries.job_queues import (
    QueueCounts,
    count_effects,
    count_enrollments,
    count_jobs,
    count_unmatched_events,
)
from db.queries.turn_counts import read_turns
from db.queries.worker_heartbeats import RunningWorker, list_workers

RUN = Permission.RUN_JOBS
EFFECTS = {
    "email": "messages to send",
    "sms": "text messages to send",
    "chat": "chat messages to send",
    "webhook": "webhook calls to make",
}
LATE_SECONDS = 30.0
PAGE_SIZE = 20


async def job_list(work: Work, status: str = "", queue: str = "", paging: Paging = FIRST_PAGE) -> JobList:
    """The Jobs page as it is now; `status` and `queue` narrow the list of jobs."""
    queues = await _queues(work)
    workers = [_worker(worker) for worker in await list_workers(work.session)]
    failing, buttons = await failing_now(work)
    stopped = await breaker_lines(work)
    jobs, more = await work.jobs.page(
        status, queue, after=paging.after, before=paging.before, limit=paging.size(PAGE_SIZE)
    )
    filters = {"status": status, "queue": queue}
    following, previous = neighbor_links("/jobs", filters, jobs, paging, more=more)
    depths = await work.runtime.enqueue.depths()
    return JobList(
        tiles=tiles_of(queues, sum(worker.heartbeat_age_seconds < SILENT_SECONDS for worker in workers)),
        queues=queues,
        failing=failing,
        circuit_breakers=stopped,
        turns=await _turns(work, depths),
        workers=workers,
        items=[_line(work, job) for job in jobs],
        next=following,
        previous=previous,
        redis=depths is not None,
        held=hold_status_of(await read_engine_state(work.session)).sentence,
        at=work.now,
        status=status,
        queue=queue,
        queue_label=queue_label(queue),
        actions=[*trials(work, stopped), *buttons],
    )


def _worker(worker: RunningWorker) -> WorkerLine:
    return WorkerLine(
        worker.id, worker.host, worker.pid, worker.started_at, worker.last_seen_at, worker.steps,
        worker.memory, worker.heartbeat_age,
    )  # fmt: skip


async def _turns(work: Work, depths: Mapping[TurnName, QueueDepth] | None) -> list[TurnLine]:
    """The queues of SAQ beside what PostgreSQL has due."""
    connection = await work.session.connection()
    due = await find_due_tasks(connection, work.runtime.clock.offset, work.account_id)
    if not work.may(RUN):
        return [TurnLine(task, label, task in due, None) for task, label in TURNS.items()]
    done = {(count.task, count.via): count.turns for count in await read_turns(connection)}
    lines = []
    for task, label in TURNS.items():
        depth = depths[task] if depths else None
        queued, running = (depth.queued, depth.running) if depth else (None, None)
        ways = [done.get((task, via), 0) for via in ("saq", "sweep", "inline")]
        lines.append(TurnLine(task, label, task in due, TurnTotals(queued, running, *ways)))
    return lines


async def _queues(work: Work) -> list[QueueLine]:
    people, events = (
        await count_enrollments(work.session, work.now),
        await count_unmatched_events(work.session),
    )
    late = [at for at in (people.oldest, events.oldest) if at is not None]
    lines = [
        QueueLine(
            "workflow", queue_label("workflow"), "enrollments",
            people.ready + events.ready, 0, people.waiting, people.failed, 0, None,
            _late(min(late, default=None), work.now), people.next, "/enrollments?status=active",
        )
    ]  # fmt: skip
    effects = {row.queue: row for row in await count_effects(work.session, work.now)}
    for kind, holds in EFFECTS.items():
        lines.append(_queue(kind, holds, effects.get(kind), work.now, "/enrollments"))
    jobs = {row.queue: row for row in await count_jobs(work.session, work.now)}
    names = dict.fromkeys(["import", "bulk", *sorted(jobs)])
    return [
        *lines,
        *(_queue(name, "jobs", jobs.get(name), work.now, f"/jobs?queue={name}") for name in names),
    ]


def _queue(name: str, holds: str, row: QueueCounts | None, now: datetime, href: str) -> QueueLine:
    if row is None:
        return QueueLine(name, queue_label(name), holds, 0, 0, 0, 0, 0, 0, None, None, href)
    return QueueLine(
        name, queue_label(name), holds, row.ready, row.running, row.waiting, row.failed, row.doubt, row.done,
        _late(row.oldest, now), row.next, href,
    )  # fmt: skip


def _late(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else max((now - since).total_seconds(), 0.0)


def tiles_of(queues: Sequence[QueueLine], workers: int) -> list[Tile]:
    """The totals at the top of the page."""
    ready, running = sum(queue.ready for queue in queues), sum(queue.running for queue in queues)
    waiting = sum(queue.waiting for queue in queues)
    # A contact whose message failed permanently is counted with the failed contacts already.
    failed = sum(queue.failed for queue in queues if queue.name not in EFFECTS)
    doubt = sum(queue.in_doubt for queue in queues)
    oldest = max((queue.oldest_seconds for queue in queues if queue.oldest_seconds is not None), default=None)
    up = "on 1 worker" if workers == 1 else f"on {workers} workers" if workers else "no worker is running"
    upcoming = min((queue.next_at for queue in queues if queue.next_at), default=None)
    note = f"next at {upcoming:%H:%M:%S} UTC" if upcoming else "nothing is scheduled"
    return [
        Tile("ready", "Due now", ready, up, "" if workers else "bad", "/jobs"),
        Tile("running", "Running", running, "jobs and sends in progress", "", "/jobs?status=running"),
        Tile("waiting", "Waiting", waiting, note, "", "/enrollments?status=active"),
        Tile("in_doubt", "In doubt", doubt, "sent or not? You decide", "warn" if doubt else "", "#failing"),
        Tile("failed", "Failed", failed, "enrollments and jobs", "bad" if failed else "", "#failing"),
        Tile(
            "late", "Seconds late", round(oldest or 0),
            f"{duration(oldest)} late" if oldest else "nothing is late",
            "bad" if oldest is not None and oldest > LATE_SECONDS else "", "/jobs",
        ),
    ]  # fmt: skip


def _line(work: Work, job: Job) -> JobLine:
    ended = job.finished_at or (work.now if job.status == "running" else None)
    took = (ended - job.started_at).total_seconds() if ended and job.started_at else None
    return JobLine(
        id=job.id,
        title=title_of(job.task, job.args, job.total),
        queue=job.queue,
        queue_label=queue_label(job.queue),
        task=job.task,
        status=job.status,
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        progress=job.progress,
        total=job.total,
        error=job.error,
        actor_name=job.actor_name,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        duration_seconds=None if took is None else max(took, 0.0),
        href=f"/jobs/{job.id}",
    )


async def job_page(work: Work, job_id: UUID) -> JobPage:
    """One job. Raises `NotFound`."""
    job = await work.jobs.get_one_or_none(Job.id == job_id)
    if job is None:
        raise NotFound("job")
    href, import_id = f"/jobs/{job_id}", job.args.get("import_id")
    undone_by, ended = (job.result or {}).get("undone_by"), job.status in ("failed", "cancelled", "done")
    undoable = 0
    if job.task == "bulk.delete" and ended and not undone_by:
        undoable = await work.contacts.count(deleted_by(job_id))
    return JobPage(
        **msgspec.structs.asdict(_line(work, job)),
        due_at=job.due_at,
        args=job.args,
        result=job.result,
        result_labels=result_labels(job.task, job.result),
        import_href=f"/imports/{import_id}" if import_id else "",
        undone_href=f"/jobs/{undone_by}" if undone_by else "",
        undoable=undoable,
        live=job.status in ("queued", "running"),
        actions=actions(
            action(
                work, "undo", f"Restore {plural(undoable, 'contact')}", f"{href}/undo",
                permission=Permission.EDIT_CONTACTS, when=undoable > 0,
            ),
            action(
                work, "retry", "Try again", f"{href}/retry", permission=RUN,
                when=job.status in ("failed", "cancelled") and not undone_by,
            ),
            action(
                work, "cancel", "Cancel", f"{href}/cancellation", permission=RUN,
                when=job.status in ("queued", "running"),
            ),
        ),
    )  # fmt: skip
