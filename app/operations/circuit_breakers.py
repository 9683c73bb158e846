"""The circuit breakers on the Jobs page, and the button that starts the next trial at once."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from app.enrollments.pages import titles_of
from app.errors import Conflict, NotFound
from app.operations.labels import error_label
from app.operations.schemas import BreakerLine
from app.permissions import Permission
from app.web.actions import Action, action, actions
from app.work import Work
from app.workflows.use_cases.edit import header_of
from db.queries.circuit_breakers import (
    OpenBreaker,
    StepPlace,
    list_open_breakers,
    lock_step_breakers,
    probe_now,
)

RUN = Permission.RUN_JOBS


async def breaker_lines(work: Work) -> list[BreakerLine]:
    """The steps that a circuit breaker stopped, the longest stopped first."""
    rows = await list_open_breakers(work.session)
    live = {(row.workflow_id, row.live_version) for row in rows if row.live_version is not None}
    names = await titles_of(work, live)
    return [_line(row, names.get((row.workflow_id, row.live_version or 0), {})) for row in rows]


def _line(row: OpenBreaker, names: Mapping[str, str]) -> BreakerLine:
    return BreakerLine(
        row.workflow_id,
        row.workflow_name,
        f"/workflows/{row.workflow_id}",
        row.step_key,
        names.get(row.step_key, row.step_key),
        row.error_class,
        error_label(row.error_class),
        row.error or "",
        row.state,
        row.waiting,
        row.until,
        row.opened_at,
    )


async def _title(work: Work, workflow_id: UUID, step_key: str) -> str:
    """The title of a step of the live version, for the audit log."""
    live = (await header_of(work, workflow_id)).live_version
    titles = (await titles_of(work, {(workflow_id, live)}))[workflow_id, live] if live else {}
    return titles.get(step_key, "a removed step")


def trials(work: Work, lines: Sequence[BreakerLine]) -> list[Action]:
    """One action for each step that waits for its next try."""
    steps = {(line.workflow_id, line.step_key) for line in lines if line.state == "open"}
    return actions(
        *(
            action(
                work,
                f"try:{workflow}:{step}",
                "Try now",
                f"/breakers/{workflow}/{step}/trial",
                permission=RUN,
            )
            for workflow, step in sorted(steps)
        )
    )


async def try_now(work: Work, workflow_id: UUID, step_key: str) -> None:
    """Makes the next trial of a stopped step due at once. Raises `NotFound`, `Conflict`."""
    step = StepPlace(workflow_id, step_key)
    breakers = await lock_step_breakers(work.session, step)
    if not breakers:
        raise NotFound("breaker")
    if not await probe_now(work.session, step, work.now):
        raise Conflict(
            "This step isn't stopped, or it is being tried right now.", {"state": breakers[0].state}
        )
    work.audit(
        "circuit_breaker.probed",
        "workflow",
        workflow_id,
        {"step": (None, await _title(work, workflow_id, step_key))},
    )
    work.notify_worker("send")
    await work.commit()
