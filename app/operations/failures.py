"""What fails now, as the Jobs page lists it: jobs one by one, contacts by step and cause."""

from collections.abc import Mapping
from urllib.parse import urlencode
from uuid import UUID

from app.contacts.domain import contact_name
from app.enrollments.pages import MANAGE, titles_of
from app.operations.labels import FAILURES, title_of
from app.operations.schemas import Failing
from app.permissions import Permission
from app.web.actions import Action, action, actions
from app.work import Work
from db.models import Job
from db.queries.failures import MOST_COUNTED, FailureGroup, list_failure_groups

RUN = Permission.RUN_JOBS
MOST_FAILING = 10


async def failing_now(work: Work) -> tuple[list[Failing], list[Action]]:
    """The latest failures of both kinds and their buttons. A failure of several contacts has a link to them
    instead of buttons."""
    jobs, _ = await work.jobs.page("failed", limit=MOST_FAILING)
    rows = await list_failure_groups(work.session, MOST_FAILING)
    names = await titles_of(work, {(row.workflow_id, row.version) for row in rows})
    lines = [(_failed_job(job), _job_buttons(work, job)) for job in jobs]
    lines += [(_group(row, names[row.workflow_id, row.version]), _buttons(work, row)) for row in rows]
    lines = sorted(lines, key=lambda pair: pair[0].at, reverse=True)[:MOST_FAILING]
    return [line for line, _ in lines], [button for _, buttons in lines for button in buttons]


def _failed_job(job: Job) -> Failing:
    note = f"{job.actor_name} · attempt {job.attempts} of {job.max_attempts}"
    at = job.finished_at or job.created_at
    title = title_of(job.task, job.args, job.total)
    return Failing(
        job.id,
        "job",
        FAILURES["job"],
        job.status,
        title,
        job.error or "",
        note,
        at,
        None,
        f"/jobs/{job.id}",
        1,
    )


def _group(row: FailureGroup, names: Mapping[str, str]) -> Failing:
    step = names.get(row.step_key or "", row.step_key or "before the first step")
    tries = f" · attempt {row.attempts}" if row.attempts else ""
    more = "+" if row.contacts >= MOST_COUNTED else ""
    name = contact_name(row.first_name, row.last_name, row.email)
    who = name if row.contacts == 1 else f"{row.contacts:,}{more} contacts, {name} last"
    return Failing(
        _id(row),
        row.what,
        FAILURES.get(row.what, FAILURES["step"]),
        row.state,
        f"{row.workflow_name}: {step}",
        row.error or "",
        f"{who}{tries}",
        row.at,
        row.next_at,
        f"/enrollments/{row.enrollment_id}" if row.contacts == 1 else _list_of(row),
        row.contacts,
    )


def _id(row: FailureGroup) -> UUID:
    return row.effect_id or row.enrollment_id


def _list_of(row: FailureGroup) -> str:
    query = {"status": "failed" if row.state == "failed" else "active", "step": row.step_key or ""}
    filters = {name: value for name, value in query.items() if value}
    return f"/workflows/{row.workflow_id}/enrollments?{urlencode(filters)}"


def _job_buttons(work: Work, job: Job) -> list[Action]:
    return actions(action(work, f"retry:{job.id}", "Retry", f"/jobs/{job.id}/retry", permission=RUN))


def _buttons(work: Work, row: FailureGroup) -> list[Action]:
    alone, sends = row.contacts == 1, row.effect_id is not None
    href = f"/effects/{row.effect_id}" if sends else f"/enrollments/{row.enrollment_id}"
    return actions(
        action(
            work, f"retry:{_id(row)}", "Retry", f"{href}/retry", permission=RUN if sends else MANAGE,
            when=alone and row.state != "unknown",
        ),
        action(
            work, f"cancel:{_id(row)}", "Cancel", f"{href}/cancellation", permission=RUN,
            when=alone and row.state == "retry",
        ),
    )  # fmt: skip
