"""One call of `advance`: waking up, moving, recording, ending. `Run.decide` is the entry point. Each step
kind executes its own visits: see `steps`.

Goals listen from entry. A goal lies ahead when it is further down in the current list or in a list around it.
Goals in lanes that the enrollment has not entered do not listen, because it may never pass there."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from app.engine.core.steps import MET, TIMEOUT, SendEmail, Wait, WaitFor, Webhook
from app.engine.core.steps.base import Execute
from app.engine.core.timing.wait_times import period_end, wait_end_changed
from app.engine.core.types import (
    EFFECT_WAITS,
    END,
    STOPPED,
    Closed,
    ContactChange,
    Decision,
    EnrollmentState,
    Execution,
    ExitReason,
    Outcome,
    Status,
    StepContext,
    WaitReason,
)
from app.engine.core.version import Node, Program
from app.filters.facts import Facts
from app.json_types import JsonObject

MOST_VISITS = 1000
MOST_VISITS_IN_A_LIFE = 10_000
SOONEST, LATEST = (
    timedelta(seconds=5),
    timedelta(seconds=30),
)  # between rechecks whether the matcher has caught up
# Waits for a time only. When it comes, the enrollment passes or waits anew: see `timed_out`.
_TIMED = (WaitReason.TIMER, WaitReason.DRIP_SLOT, WaitReason.WINDOW)


class Run:
    """The decision while it is computed. `seq` is the number of the latest visit, `open` whether that visit
    is unfinished; `delivered` whether the mail server has just accepted its email. With `one_step` the run
    ends once it has `stepped`: a step was resumed or started."""

    __slots__ = (
        *("around", "check_goals", "delivered", "enrollment", "facts", "now", "one_step"),
        *("open", "out", "program", "seq", "stepped", "execute"),
    )

    def __init__(
        self,
        program: Program,
        enrollment: EnrollmentState,
        facts: Facts,
        now: datetime,
        execute: Mapping[type, Execute],
        around: StepContext,
        one_step: bool = False,
    ) -> None:
        self.execute = execute
        self.one_step = one_step
        self.stepped = enrollment.step_key is None or enrollment.wait_reason is not None
        self.around = around
        self.program = program
        self.enrollment = enrollment
        self.facts = facts
        self.now = now
        self.seq = enrollment.seq
        self.open = enrollment.wait_reason is not None
        self.check_goals = True
        self.delivered = False
        self.out = Decision(Status.ACTIVE, enrollment.step_key, enrollment.seq, goal_key=enrollment.goal_key)

    def decide(self) -> Decision:
        enrollment = self.enrollment
        if enrollment.step_key is None:
            return self.enter()
        index = self.program.by_key.get(enrollment.step_key)
        if index is None:
            return self.fail(f"This step no longer exists in version {self.program.version.number}.")
        if enrollment.wait_reason is None:
            return self.run(index)
        node = self.program.nodes[index]
        if enrollment.wait_reason in EFFECT_WAITS:
            return self.resume_effect(node)
        return self.resume_wait(node)

    def enter(self) -> Decision:
        """Starts the workflow. After the settle time, a contact that no longer matches leaves again."""
        program, settled = self.program, self.enrollment.wait_until
        if settled is not None and settled > self.now:
            return self.keep_waiting(None)
        self.out.step_key = program.nodes[program.start].key if program.nodes else None
        if program.version.settings.settle_seconds and not program.entry_match(self.facts, self.now):
            return self.leave_unmatched()
        return self.run(program.start)

    # Waking up

    def resume_effect(self, node: Node) -> Decision:
        """Continues after a call. Goals are not checked while the call is in flight or in doubt, but as soon
        as it is resolved. A goal that is met cancels a call that has not started."""
        effect = self.enrollment.effect
        if effect is None or effect.status == "claimed":
            return self.keep_waiting(node)
        if effect.status in ("sent", "skipped"):
            sent = effect.status == "sent"
            self.delivered = sent and isinstance(node.config, SendEmail)
            if sent:
                self.close(Outcome.SENT, self.answer_detail(node, effect.detail))
            else:
                self.close(Outcome.SKIPPED, {"reason": effect.error})
            return self.run(node.after)
        if effect.status == "failed_permanent":
            self.close(Outcome.FAILED, effect.detail, effect.error)
            return self.after_failure(node, effect.error)
        if effect.status in ("pending", "retry"):
            interruption = self.interruption(node)
            if interruption is not None:
                return interruption
            if self.enrollment.wait_reason is WaitReason.BREAKER_OPEN:
                return self.keep_waiting(node)
        reason = {"retry": WaitReason.RETRY, "unknown": WaitReason.IN_DOUBT}.get(
            effect.status, WaitReason.EFFECT
        )
        self.wait_at(node, reason, effect.next_at)
        self.out.due_at = None
        self.out.error = effect.error
        return self.out

    def after_failure(self, node: Node, error: str | None) -> Decision:
        """An enrollment that met a goal during the failed call continues behind the goal; all others fail."""
        goal = self.goal_met(node)
        if goal is not None:
            return self.run(self.reach(self.program.nodes[node.after], goal))
        return self.finish(node.key, Status.FAILED, ExitReason.FAILED_PERMANENT, error)

    def resume_wait(self, node: Node) -> Decision:
        """Continues a wait: takes its lane if it is over; else checks the goals ahead, and whether the
        contact may stay in the workflow."""
        until, reason = self.enrollment.wait_until, self.enrollment.wait_reason
        due = until is not None and self.now >= until
        if reason in _TIMED and (index := self.timed_out(node, due=due)) is not None:
            return self.run(index)
        if due and reason is WaitReason.EVENT and (recheck := self.matcher_recheck(until)) is not None:
            return self.keep_waiting(node, recheck)
        if node.starts and (lane := self.lane_taken(node, due)) is not None:
            return self.continue_in_lane(node, lane)
        interruption = self.interruption(node)
        if interruption is not None:
            return interruption
        if reason is WaitReason.CONDITION and due:
            self.close(Outcome.UNMET, {"timeout": True})
            self.out.step_key = node.key
            return self.end()
        return self.keep_waiting(node)

    def timed_out(self, node: Node, *, due: bool) -> int | None:
        """Where an enrollment continues that waits for a time: behind the node if the wait is over; at the
        node itself if it has to wait anew, because the end of its wait changed (also before the time came), a
        sending window opened, or its drip slot was missed. None if it keeps waiting."""
        enrollment = self.enrollment
        reason, until = enrollment.wait_reason, enrollment.wait_until
        if reason is WaitReason.TIMER and not enrollment.woken:
            wait = node.config
            again = isinstance(wait, Wait) and wait_end_changed(wait, until, self.now, self.facts)
        else:
            again = due and (reason is WaitReason.WINDOW or self.slot_missed(node))
        if not (again or due):
            return None
        self.close(Outcome.PASSED, {"again": True} if again else {})
        return node.index if again else node.after

    def interruption(self, node: Node) -> Decision | None:
        """What ends a wait early: a goal ahead that is met, or an entry condition that must hold and does
        not. None if neither does."""
        goal = self.goal_met(node)
        if goal is not None:
            return self.run(self.reach(node, goal))
        stay = self.program.stay_match
        if stay is not None and not stay(self.facts, self.now):
            return self.leave_unmatched()
        return None

    def matcher_recheck(self, until: datetime | None) -> datetime | None:
        """When to check again whether the matcher has processed all events before `until`; None when it has.
        The further matching is behind, the longer this is: very many enrollments may wait for it."""
        oldest = self.around.unmatched_since
        if self.enrollment.woken or oldest is None or until is None or oldest > until:
            return None
        return self.now + min(max((self.now - oldest) / 4, SOONEST), LATEST)

    def slot_missed(self, node: Node) -> bool:
        """Whether the period of a drip slot is over. After a pause or a downtime all enrollments that missed
        theirs take new slots instead of passing at once."""
        slot, drip = self.enrollment.wait_until, node.config
        if self.enrollment.wait_reason is not WaitReason.DRIP_SLOT or slot is None:
            return False
        return period_end(drip.amount, drip.unit, slot, self.facts.zone) <= self.now

    def continue_in_lane(self, node: Node, lane: str) -> Decision:
        if lane not in node.starts:
            return self.fail(f"The answer “{lane[:40]}” isn't an option of this step.")
        return self.run(self.enter_lane(node, lane))

    def lane_taken(self, node: Node, due: bool) -> str | None:
        """The lane out of a wait for an event, a condition or an answer; None while it lasts."""
        enrollment = self.enrollment
        if enrollment.wait_reason is WaitReason.APPROVAL and enrollment.answer is not None:
            return enrollment.answer
        if enrollment.wait_reason is WaitReason.EVENT and enrollment.woken:
            return MET
        if enrollment.wait_reason is WaitReason.CONDITION and node.match and node.match(self.facts, self.now):
            return MET
        return TIMEOUT if due else None

    def answer_detail(self, node: Node, detail: JsonObject) -> JsonObject:
        """The detail that the visit records of a response. A body that the step saves goes to the
        enrollment."""
        name = node.config.save_as if isinstance(node.config, Webhook) else ""
        if not name:
            return detail
        noted = {key: value for key, value in detail.items() if key != "body"}
        body = detail.get("body")
        try:
            answer = msgspec.json.decode(body) if isinstance(body, str) else body
        except (msgspec.DecodeError, RecursionError):
            answer = None
        if answer is None:
            return noted | {"saved": False}
        answers = {**self.facts.data.get("response", {}), name: answer}
        self.out.data["response"] = answers
        self.facts.data = {**self.facts.data, "response": answers}
        return noted | {"saved": True}

    def keep_waiting(self, node: Node | None, recheck: datetime | None = None) -> Decision:
        """Waits exactly as before; only the time of the next recheck is written."""
        enrollment = self.enrollment
        until = enrollment.wait_until
        self.out.wait_reason, self.out.wait_until = enrollment.wait_reason, until
        self.out.due_at = (
            None if enrollment.wait_reason in EFFECT_WAITS else recheck or self.next_recheck(node, until)
        )
        self.out.moved = False
        return self.out

    def next_recheck(self, node: Node | None, until: datetime | None) -> datetime | None:
        """The end of the wait; sooner where time alone may change a filter that this wait depends on. The
        rechecks of enrollments that arrived together are spread over a quarter of that time."""
        if until is None or node is None or node.recheck_interval is None:
            return until
        share = self.enrollment.id.int % 256 / 1024
        return min(until, self.now + node.recheck_interval * (1 - share))

    # Moving

    def run(self, index: int) -> Decision:
        if self.seq >= MOST_VISITS_IN_A_LIFE:
            return self.fail(f"Stopped after {self.seq} steps. The workflow seems to loop.")
        nodes, execute = self.program.nodes, self.execute
        for _ in range(MOST_VISITS):
            if index < 0:
                return self.end() if index == END else self.out
            node = nodes[index]
            if self.one_step and self.stepped and not (self.delivered and isinstance(node.config, WaitFor)):
                return self.stop_before(node)
            if self.check_goals:
                goal = self.goal_met(node)
                if goal is not None:
                    index = self.reach(node, goal)
                    continue
                stay = self.program.stay_match
                if stay is not None and not stay(self.facts, self.now):
                    return self.leave_unmatched()
            index = execute[type(node.config)](self, node)
            self.stepped = True
        return self.fail(f"Stopped after {MOST_VISITS} steps without a wait. The workflow seems to loop.")

    def stop_before(self, node: Node) -> Decision:
        """Stops before the step, due at once; the step has not started."""
        self.out.step_key, self.out.due_at = node.key, self.now
        self.out.wait_reason = self.out.wait_until = None
        return self.out

    def goal_met(self, node: Node) -> Node | None:
        """The nearest goal ahead that is met. Checked on each wake-up and after each change of the
        contact."""
        self.check_goals = False
        for index in node.goals:
            goal = self.program.nodes[index]
            if goal.match is not None and goal.match(self.facts, self.now):
                return goal
        return None

    def reach(self, node: Node, goal: Node) -> int:
        """Moves from a node to the goal below it; the steps between are recorded as skipped."""
        while node is not goal:
            self.record(node, Outcome.SKIPPED, {"goal": goal.key})
            node = self.program.nodes[node.after]
        self.record(goal, Outcome.MET, {})
        self.out.goal_key = goal.key
        self.check_goals = True
        return goal.after

    def enter_lane(self, node: Node, lane: str) -> int:
        """Enters a lane of the node."""
        self.record(node, Outcome.TAKEN, {"branch": lane})
        self.check_goals = True  # the goals of the lane listen from now on
        return node.starts[lane]

    # Recording

    def record(self, node: Node, outcome: Outcome, detail: JsonObject, error: str | None = None) -> None:
        """Records a whole visit; or the end of the open visit, which is then one of this node."""
        if self.open:
            self.close(outcome, detail, error)
        else:
            now = self.now
            self.append(Execution(self.seq + 1, node.key, node.kind, now, now, outcome, detail, error))

    def begin(self, node: Node, detail: JsonObject) -> int:
        """Begins a visit that stays open after this call; returns its seq."""
        self.append(Execution(self.seq + 1, node.key, node.kind, self.now, None, None, detail))
        return self.seq

    def append(self, execution: Execution) -> None:
        out = self.out
        self.seq = out.seq = execution.seq
        out.step_key = execution.step_key
        out.executions.append(execution)

    def close(self, outcome: Outcome, detail: JsonObject, error: str | None = None) -> None:
        self.open = False
        self.out.closed.append(Closed(self.seq, self.now, outcome, detail, error))

    def wait_at(self, node: Node, reason: WaitReason, until: datetime | None) -> int:
        self.out.step_key = node.key
        self.out.wait_reason, self.out.wait_until = reason, until
        self.out.due_at = self.next_recheck(node, until)
        return STOPPED

    def change(self, change: ContactChange) -> None:
        self.out.changes.append(change)
        self.check_goals = True

    # Ending

    def end(self) -> Decision:
        """Ends the enrollment past the last step or at an unmet goal. With goals it is completed when one was
        met on the way or is met now, else incomplete."""
        if not self.program.has_goals:
            return self.finish(self.out.step_key, Status.COMPLETED, ExitReason.FINISHED)
        if self.out.goal_key is None:
            self.out.goal_key = self.any_goal()
        if self.out.goal_key is None:
            return self.finish(self.out.step_key, Status.INCOMPLETE, ExitReason.FINISHED)
        return self.finish(self.out.step_key, Status.COMPLETED, ExitReason.GOAL_MET)

    def any_goal(self) -> str | None:
        for index in self.program.goals:
            goal = self.program.nodes[index]
            if goal.match is not None and goal.match(self.facts, self.now):
                return goal.key
        return None

    def leave_unmatched(self) -> Decision:
        """Ends the enrollment because the entry condition no longer holds."""
        if self.open:
            self.close(Outcome.LEFT, {"reason": ExitReason.NO_LONGER_MATCHES.value})
        return self.finish(self.out.step_key, Status.EXITED, ExitReason.NO_LONGER_MATCHES)

    def finish(
        self, step_key: str | None, status: Status, reason: ExitReason, error: str | None = None
    ) -> Decision:
        self.out.step_key = step_key
        self.out.status, self.out.exit_reason, self.out.error = status, reason, error
        return self.out

    def fail(self, error: str) -> Decision:
        if self.open:
            self.close(Outcome.FAILED, {}, error)
        return self.finish(self.out.step_key, Status.FAILED, ExitReason.FAILED_PERMANENT, error)
