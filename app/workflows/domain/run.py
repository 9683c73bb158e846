"""One call of `advance` as it grows: waking up, moving, recording, ending. What each step kind does is in
`visits`.

Goals listen from entry. A goal lies ahead when it stands further down in the current list or in a list
around it; those in lanes not yet entered do not listen: nobody knows whether the contact will pass there."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from app.filters.facts import Facts
from app.workflows.domain.outcomes import (
    Around,
    Change,
    Closed,
    Decision,
    Enrollment,
    Execution,
    ExitReason,
    Outcome,
    Status,
    WaitReason,
)
from app.workflows.domain.version import END, Node, Program

MOST_VISITS = 1000
STOPPED = -2
_EFFECTS = (WaitReason.EFFECT, WaitReason.RETRY, WaitReason.HOLD)

# What a step kind does: returns the index of the next node, END, or STOPPED after `park` and `finish`.
Visit = Callable[["Run", Node], int]


class Run:
    """The decision in the making; `seq` is the number of the latest visit, `open` whether it goes on."""

    def __init__(
        self,
        program: Program,
        enrollment: Enrollment,
        facts: Facts,
        now: datetime,
        visits: Mapping[type, Visit],
        around: Around,
    ) -> None:
        self.visits = visits
        self.around = around
        self.program = program
        self.enrollment = enrollment
        self.facts = facts
        self.now = now
        self.seq = enrollment.seq
        self.open = enrollment.wait_reason is not None
        self.check_goals = True
        self.out = Decision(Status.ACTIVE, enrollment.step_key, enrollment.seq, goal_key=enrollment.goal_key)

    def decide(self) -> Decision:
        enrollment = self.enrollment
        if enrollment.step_key is None:
            self.out.step_key = self.program.nodes[self.program.start].key if self.program.nodes else None
            return self.run(self.program.start)
        index = self.program.by_key.get(enrollment.step_key)
        if index is None:
            return self.fail(f"Step {enrollment.step_key} is not in version {self.program.version.number}.")
        if enrollment.wait_reason is None:
            return self.run(index)
        node = self.program.nodes[index]
        if enrollment.wait_reason in _EFFECTS:
            return self.resume_effect(node)
        return self.resume_wait(node)

    # Waking up

    def resume_effect(self, node: Node) -> Decision:
        """Goals are not asked while an effect is under way; they are as soon as it is resolved."""
        found = self.enrollment.effect
        if found is None:
            return self.stay()
        if found.status == "sent":
            self.close(Outcome.SENT, found.detail)
            return self.run(node.after)
        if found.status == "failed_permanent":
            self.close(Outcome.FAILED, found.detail, found.error)
            return self.finish(node.key, Status.FAILED, ExitReason.FAILED_PERMANENT, found.error)
        reason = {"retry": WaitReason.RETRY, "unknown": WaitReason.HOLD}.get(found.status, WaitReason.EFFECT)
        self.park(node, reason, found.next_at)
        self.out.due_at = None
        self.out.error = found.error
        return self.out

    def resume_wait(self, node: Node) -> Decision:
        until = self.enrollment.wait_until
        due = until is not None and self.now >= until
        if self.enrollment.wait_reason is WaitReason.TIMER and due:
            self.close(Outcome.PASSED, {})
            return self.run(node.after)
        goal = self.goal_met(node)
        if goal is not None:
            return self.run(self.reach(node, goal))
        if self.enrollment.wait_reason is WaitReason.CONDITION and due:
            self.close(Outcome.UNMET, {"timeout": True})
            return self.finish(node.key, Status.INCOMPLETE, ExitReason.FINISHED)
        return self.stay()

    def stay(self) -> Decision:
        """Parked exactly as before; nothing is written but the next due time."""
        enrollment = self.enrollment
        self.out.wait_reason, self.out.wait_until = enrollment.wait_reason, enrollment.wait_until
        self.out.due_at = None if enrollment.wait_reason in _EFFECTS else enrollment.wait_until
        self.out.moved = False
        return self.out

    # Moving

    def run(self, index: int) -> Decision:
        for _ in range(MOST_VISITS):
            if index == END:
                return self.end()
            if index == STOPPED:
                return self.out
            node = self.program.nodes[index]
            goal = self.goal_met(node) if self.check_goals else None
            index = self.visit(node) if goal is None else self.reach(node, goal)
        return self.fail(
            f"Stopped after {MOST_VISITS} steps in one go. The workflow seems to run in a circle."
        )

    def goal_met(self, node: Node) -> Node | None:
        """The nearest goal ahead that is met; asked on each wake-up and after each change of the contact."""
        self.check_goals = False
        for index in node.goals:
            goal = self.program.nodes[index]
            if goal.match is not None and goal.match(self.facts, self.now):
                return goal
        return None

    def reach(self, node: Node, goal: Node) -> int:
        """From a node to the goal below it: what lies between is recorded as skipped."""
        while node is not goal:
            self.record(node, Outcome.SKIPPED, {"goal": goal.key})
            node = self.program.nodes[node.after]
        self.record(goal, Outcome.MET, {})
        self.out.goal_key = goal.key
        self.check_goals = True
        return goal.after

    def visit(self, node: Node) -> int:
        return self.visits[type(node.config)](self, node)

    # Recording

    def record(self, node: Node, outcome: Outcome, detail: dict[str, Any], error: str | None = None) -> None:
        """A whole visit; or the end of the open one, which is then this node's."""
        if self.open:
            self.close(outcome, detail, error)
        else:
            self.append(
                Execution(self.seq + 1, node.key, node.kind, self.now, self.now, outcome, detail, error)
            )

    def begin(self, node: Node, detail: dict[str, Any]) -> int:
        """A visit that goes on after this call; returns its seq."""
        self.append(Execution(self.seq + 1, node.key, node.kind, self.now, None, None, detail))
        return self.seq

    def append(self, execution: Execution) -> None:
        self.seq = self.out.seq = execution.seq
        self.out.step_key = execution.step_key
        self.out.executions.append(execution)

    def close(self, outcome: Outcome, detail: dict[str, Any], error: str | None = None) -> None:
        self.open = False
        self.out.closed.append(Closed(self.seq, self.now, outcome, detail, error))

    def park(self, node: Node, reason: WaitReason, until: datetime | None) -> int:
        self.out.step_key = node.key
        self.out.wait_reason, self.out.wait_until, self.out.due_at = reason, until, until
        return STOPPED

    def change(self, change: Change) -> None:
        self.out.changes.append(change)
        self.check_goals = True

    # Ending

    def end(self) -> Decision:
        """Past the last step: with goals, completed when one was met on the way or is met now."""
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
