"""Decides what happens next to one enrollment; `advance` is the entry point. Pure: it takes the program, the
state, the facts and the time, and returns the next state with everything that has to be written. Real runs,
dry runs and replays all call this function."""

from datetime import datetime

from app.engine.core.interpreter import Run
from app.engine.core.steps import EXECUTE, EXECUTE_DELETED
from app.engine.core.types import Closed, Decision, EnrollmentState, ExitReason, Outcome, Status, StepContext
from app.engine.core.version import Program
from app.filters.facts import Facts


def advance(
    program: Program,
    enrollment: EnrollmentState,
    facts: Facts,
    now: datetime,
    around: StepContext | None = None,
    one_step: bool = False,
) -> Decision:
    """Advances the enrollment as far as it can go without waiting. `facts` changes in place as steps change
    the contact, `around` as steps take turns and slots. Called on every wake-up, due or not: an enrollment
    that is not due waits as before (`moved` false). With `one_step` it executes at most one step and
    stops, due, before the next, so that an error then belongs to that step."""
    execute = EXECUTE_DELETED if enrollment.contact_gone else EXECUTE
    return Run(program, enrollment, facts, now, execute, around or StepContext(), one_step).decide()


def leave(
    enrollment: EnrollmentState, now: datetime, status: Status, reason: ExitReason, error: str | None = None
) -> Decision:
    """Ends an enrollment for a reason outside its steps: a member removed it, it was superseded, its contact
    was deleted, or it is a poison item. The open visit is closed as `left`."""
    decision = Decision(
        status,
        enrollment.step_key,
        enrollment.seq,
        exit_reason=reason,
        goal_key=enrollment.goal_key,
        error=error,
    )
    if enrollment.wait_reason is not None:
        decision.closed.append(Closed(enrollment.seq, now, Outcome.LEFT, {"reason": reason.value}, error))
    return decision
