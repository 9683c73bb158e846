"""Advances due enrollments as far as they can go. Entry point: `advance_enrollments`, one batch per call.

 1. Rows that a dead worker left behind run first, one by one.
 2. Claim due enrollments, up to 500, and mark the batch.
 3. `loader.load` reads what their steps need.
 4. `core.advance` decides on each enrollment; `changeset` collects the rows to write.
 5. Write everything, delete the mark and commit, in one transaction.

An enrollment that makes its batch fail is parked as failed, with its error.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from app.engine.advancing.changeset import ChangeSet
from app.engine.advancing.loader import load, state_of
from app.engine.core.advance import leave
from app.engine.core.step_titles import step_titles
from app.engine.core.types import ExitReason, Status
from app.engine.core.version import Program
from app.engine.program_cache import AccountContext
from app.engine.recovery.batch_runner import run_marked, run_suspects_alone
from app.engine.recovery.poison_isolation import PoisonError, has_suspects, remove_left_marks
from app.fault_hook import Boundary, Moment, commit, hit
from app.redaction import redact
from app.work import Work
from db.queries.enrollment_batches import (
    ClaimedEnrollment,
    claim_due_enrollments,
    claim_enrollments_by_id,
    fail_open_executions,
    insert_failed_execution,
    park_enrollment,
)
from db.queries.inflight_batches import BatchKind, delete_marks
from db.queries.name_lookup import read_names
from db.queries.step_side_effects import ClosedApproval, close_approvals

log = structlog.get_logger(__name__)
BATCH = 500


async def advance_enrollments(work: Work, most: int = BATCH) -> int:
    """Advances one batch of due enrollments, after some of those that a dead worker left behind. Returns how
    many enrollments it processed."""
    await remove_left_marks(work)
    task = AdvanceTask(work)
    looked_at = await run_suspects_alone(task) if await has_suspects(work, BatchKind.ADVANCE) else 0
    async with work.runtime.batch_lock.shared():
        rows = await claim_due_enrollments(work.session, work.now, most)
        if rows:
            await run_marked(task, rows)
    return looked_at + len(rows)


class AdvanceTask:
    """Advancing as `recovery.batch_runner` runs it."""

    kind = BatchKind.ADVANCE
    # Formatted twice: first with `crashes` (by the batch runner), then with `step`.
    poison = (
        "The step “{{step}}” stopped the worker {crashes} times. It won't be retried automatically. "
        "Check what the step does with this contact, then retry."
    )

    def __init__(self, work: Work) -> None:
        self.work = work

    async def turn(self) -> bool:
        return True

    async def claim(self, ids: Sequence[UUID]) -> Sequence[ClaimedEnrollment]:
        return await claim_enrollments_by_id(self.work.session, ids, self.work.now)

    async def park(self, row: ClaimedEnrollment, error: Exception) -> None:
        """Fails the enrollment at its step, unless it did advance (the commit succeeded and only its answer
        was lost)."""
        work, session, now = self.work, self.work.session, self.work.now
        step, kind, title = await self._step_of(row)
        reason = error.orig if isinstance(error, DBAPIError) else error
        message = f"{type(reason).__name__}: {reason}"
        if isinstance(reason, PoisonError):
            message = str(reason).format(step=title)
        message = redact(message)[:2000]
        log.error("enrollment.poison", enrollment=str(row.id), step=step, error=message)
        visit = row.wait_reason is None and kind != ""  # not begun, but the path shows it
        if await park_enrollment(session, row, step, int(visit), message, now):
            await fail_open_executions(session, row.id, message, now)
            if visit:
                await insert_failed_execution(session, row.id, step, kind, message, now)
            await close_approvals(session, [ClosedApproval(row.id, row.seq, "withdrawn")])
            changes = ChangeSet()
            changes.end(row, leave(state_of(row), now, Status.FAILED, ExitReason.FAILED_PERMANENT, message))
            await changes.write(work)
        await commit(session, Boundary.ADVANCE_PARKED)

    async def _step_of(self, row: ClaimedEnrollment) -> tuple[str | None, str, str]:
        """Key, kind and title of the enrollment's step; of the first step if it has not begun."""
        account = await AccountContext.of(self.work)
        version = (row.workflow_id, row.version)
        program = (await account.programs([version])).get(version)
        if not isinstance(program, Program) or not program.nodes:
            return row.step_key, "", row.step_key or ""
        node = program.nodes[program.by_key.get(row.step_key or "", program.start)]
        names = await read_names(self.work.session)
        titles = step_titles(program.version, account.cached.fields, names)
        return node.key, node.kind, titles.get(node.key, node.key)

    async def run_alone(self, row: ClaimedEnrollment) -> None:
        while True:
            goes_on = await self._run([row], None, one_step=True)
            rows = await self.claim([row.id]) if goes_on else ()
            if not rows:
                return
            row = rows[0]

    async def run(self, rows: Sequence[ClaimedEnrollment], mark: UUID | None) -> None:
        await self._run(rows, mark)

    async def _run(
        self, rows: Sequence[ClaimedEnrollment], mark: UUID | None, *, one_step: bool = False
    ) -> bool:
        """Processes the rows in one transaction; returns whether one of them has a next step to take."""
        work = self.work
        account = await AccountContext.of(work)
        batch = await load(account, rows)
        changes, goes_on = ChangeSet(), False
        for row in rows:
            hit(Moment.ADVANCE_CONTACT, batch.facts.get(row.contact_id))
            decision = batch.decide(row, work.now, one_step)
            goes_on = goes_on or (decision.status is Status.ACTIVE and decision.wait_reason is None)
            program = batch.programs.get((row.workflow_id, row.version))
            changes.advance(row, decision, program if isinstance(program, Program) else None)
        await batch.write_step_states(work)
        await changes.write(work, account)
        if mark is not None:
            await delete_marks(work.session, [mark])
        await commit(work.session, Boundary.ADVANCE)
        return goes_on
