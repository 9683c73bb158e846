"""The interpreter: what happens next to one enrollment. Pure: it is given the program, the state, the facts
and the time, and returns the next state with everything that has to be written. Real run, dry run and replay
are this one function."""

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
    """As far as the enrollment can go without waiting. `facts` is changed in place as steps change the
    contact, `around` as they take turns and slots. Called on every wake-up, due or not: what is not due stays
    parked as it was (`moved` false). With `one_step` it goes no further than one step, and stands due before
    the next: whatever goes wrong then is that step's."""
    execute = EXECUTE_DELETED if enrollment.contact_gone else EXECUTE
    return Run(program, enrollment, facts, now, execute, around or StepContext(), one_step).decide()


def leave(
    enrollment: EnrollmentState, now: datetime, status: Status, reason: ExitReason, error: str | None = None
) -> Decision:
    """The end of an enrollment that something outside its steps decided: removed by a person, superseded, its
    contact deleted, its row a poison. The open visit is closed as `left`."""
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
