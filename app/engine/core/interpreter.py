"""One call of `advance` as it grows: waking up, moving, recording, ending. Each step kind executes its own
visits: see `steps`.

Goals listen from entry. A goal lies ahead when it stands further down in the current list or in a list
around it; those in lanes not yet entered do not listen: nobody knows whether the contact will pass there."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from app.engine.core.steps import MET, TIMEOUT, SendEmail, Wait, WaitFor, Webhook
from app.engine.core.steps.base import Execute
from app.engine.core.timing.wait_times import after, deadline_changed
from app.engine.core.types import (
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

MOST_VISITS = 1000
MOST_VISITS_IN_A_LIFE = 10_000
SOONEST, LATEST = timedelta(seconds=5), timedelta(seconds=30)  # looks at whether all was matched
_EFFECTS = (WaitReason.EFFECT, WaitReason.RETRY, WaitReason.HOLD, WaitReason.BREAKER_OPEN)
# Over when their time has come, without a question.
_TIMED = (WaitReason.TIMER, WaitReason.DRIP_SLOT, WaitReason.WINDOW)


class Run:
    """The decision in the making; `seq` is the number of the latest visit, `open` whether it goes on;
    `delivered` whether an email of it has just been taken by the mail server. With `one_step` it ends once
    it has `stepped`: a step was woken up or begun."""

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
            return self.fail(f"Step {enrollment.step_key} isn't in version {self.program.version.number}.")
        if enrollment.wait_reason is None:
            return self.run(index)
        node = self.program.nodes[index]
        if enrollment.wait_reason in _EFFECTS:
            return self.resume_effect(node)
        return self.resume_wait(node)

    def enter(self) -> Decision:
        """The first move. After standing still to settle, whoever no longer fits leaves again."""
        program, settled = self.program, self.enrollment.wait_until
        if settled is not None and settled > self.now:
            return self.stay(None)
        self.out.step_key = program.nodes[program.start].key if program.nodes else None
        if program.version.settings.settle_seconds and not program.entry_match(self.facts, self.now):
            return self.leave_unmatched()
        return self.run(program.start)

    # Waking up

    def resume_effect(self, node: Node) -> Decision:
        """Goals are not asked while the call is under way or in doubt; they are as soon as it is resolved.
        What has not begun yet is called off by them."""
        effect = self.enrollment.effect
        if effect is None or effect.status == "claimed":
            return self.stay(node)
        if effect.status in ("sent", "skipped"):
            sent = effect.status == "sent"
            self.delivered = sent and isinstance(node.config, SendEmail)
            detail = self.answer_detail(node, effect.detail) if sent else {"reason": effect.error}
            self.close(Outcome.SENT if sent else Outcome.SKIPPED, detail)
            return self.run(node.after)
        if effect.status == "failed_permanent":
            self.close(Outcome.FAILED, effect.detail, effect.error)
            return self.after_failure(node, effect.error)
        if effect.status in ("pending", "retry"):
            taken = self.taken_from(node)
            if taken is not None:
                return taken
            if self.enrollment.wait_reason is WaitReason.BREAKER_OPEN:
                return self.stay(node)
        reason = {"retry": WaitReason.RETRY, "unknown": WaitReason.HOLD}.get(effect.status, WaitReason.EFFECT)
        self.park(node, reason, effect.next_at)
        self.out.due_at = None
        self.out.error = effect.error
        return self.out

    def after_failure(self, node: Node, error: str | None) -> Decision:
        """Whoever met a goal during the call goes on behind it; all others fail."""
        goal = self.goal_met(node)
        if goal is not None:
            return self.run(self.reach(self.program.nodes[node.after], goal))
        return self.finish(node.key, Status.FAILED, ExitReason.FAILED_PERMANENT, error)

    def resume_wait(self, node: Node) -> Decision:
        """A wait that is over is over; what still stands is asked for its goals, and whether it may stay."""
        until, reason = self.enrollment.wait_until, self.enrollment.wait_reason
        due = until is not None and self.now >= until
        if reason in _TIMED and (index := self.timed_out(node, due=due)) is not None:
            return self.run(index)
        if due and reason is WaitReason.EVENT and (look := self.until_matched(until)) is not None:
            return self.stay(node, look)
        if node.starts and (lane := self.lane(node, due)) is not None:
            return self.go_on(node, lane)
        taken = self.taken_from(node)
        if taken is not None:
            return taken
        if reason is WaitReason.CONDITION and due:
            self.close(Outcome.UNMET, {"timeout": True})
            self.out.step_key = node.key
            return self.end()
        return self.stay(node)

    def timed_out(self, node: Node, *, due: bool) -> int | None:
        """Where somebody goes on who waited for a moment, which may be the same step once more; None while
        the moment is ahead."""
        enrollment = self.enrollment
        reason, until = enrollment.wait_reason, enrollment.wait_until
        if reason is WaitReason.TIMER and not enrollment.heard:
            wait = node.config
            again = isinstance(wait, Wait) and deadline_changed(wait, until, self.now, self.facts)
        else:
            again = due and (reason is WaitReason.WINDOW or self.missed(node))
        if not (again or due):
            return None
        self.close(Outcome.PASSED, {"again": True} if again else {})
        return node.index if again else node.after

    def taken_from(self, node: Node) -> Decision | None:
        """What ends a stand before its time: a goal ahead that is met, an entry condition that must hold and
        does not. None when it goes on."""
        goal = self.goal_met(node)
        if goal is not None:
            return self.run(self.reach(node, goal))
        stay = self.program.stay_match
        if stay is not None and not stay(self.facts, self.now):
            return self.leave_unmatched()
        return None

    def until_matched(self, until: datetime | None) -> datetime | None:
        """When to look again whether what happened before `until` was matched; None when all of it was. The
        further matching is behind, the later: very many people may stand so."""
        oldest = self.around.unmatched_since
        if self.enrollment.heard or oldest is None or until is None or oldest > until:
            return None
        return self.now + min(max((self.now - oldest) / 4, SOONEST), LATEST)

    def missed(self, node: Node) -> bool:
        """Whether the stretch of a drip slot is over: after a pause or a downtime all who missed theirs take
        new ones, rather than coming through at once."""
        slot, drip = self.enrollment.wait_until, node.config
        if self.enrollment.wait_reason is not WaitReason.DRIP_SLOT or slot is None:
            return False
        return after(drip.amount, drip.unit, slot, self.facts.zone) <= self.now

    def go_on(self, node: Node, lane: str) -> Decision:
        if lane not in node.starts:
            return self.fail(f"The answer “{lane[:40]}” isn't an option of this step.")
        return self.run(self.take(node, lane))

    def lane(self, node: Node, due: bool) -> str | None:
        """The way out of a wait for something; None while it goes on."""
        enrollment = self.enrollment
        if enrollment.wait_reason is WaitReason.APPROVAL and enrollment.answer is not None:
            return enrollment.answer
        if enrollment.wait_reason is WaitReason.EVENT and enrollment.heard:
            return MET
        if enrollment.wait_reason is WaitReason.CONDITION and node.match and node.match(self.facts, self.now):
            return MET
        return TIMEOUT if due else None

    def answer_detail(self, node: Node, detail: dict[str, Any]) -> dict[str, Any]:
        """What the visit records of an answer. A body that the step saves goes to the enrollment."""
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

    def stay(self, node: Node | None, look: datetime | None = None) -> Decision:
        """Parked exactly as before; nothing is written but when it is looked at next."""
        enrollment = self.enrollment
        until = enrollment.wait_until
        self.out.wait_reason, self.out.wait_until = enrollment.wait_reason, until
        self.out.due_at = None if enrollment.wait_reason in _EFFECTS else look or self.next_look(node, until)
        self.out.moved = False
        return self.out

    def next_look(self, node: Node | None, until: datetime | None) -> datetime | None:
        """At the end of the stand; sooner where time alone may change what is asked of it. Whoever came
        together is looked at over a quarter of that time, rather than all at once."""
        if until is None or node is None or node.look is None:
            return until
        share = self.enrollment.id.int % 256 / 1024
        return min(until, self.now + node.look * (1 - share))

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
                return self.stand_before(node)
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

    def stand_before(self, node: Node) -> Decision:
        """Nothing of the step is begun yet; it is due at once."""
        self.out.step_key, self.out.due_at = node.key, self.now
        self.out.wait_reason = self.out.wait_until = None
        return self.out

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

    def take(self, node: Node, lane: str) -> int:
        """Goes on in a lane of the node."""
        self.record(node, Outcome.TAKEN, {"branch": lane})
        self.check_goals = True  # those of the lane begin to listen
        return node.starts[lane]

    # Recording

    def record(self, node: Node, outcome: Outcome, detail: dict[str, Any], error: str | None = None) -> None:
        """A whole visit; or the end of the open one, which is then this node's."""
        if self.open:
            self.close(outcome, detail, error)
        else:
            now = self.now
            self.append(Execution(self.seq + 1, node.key, node.kind, now, now, outcome, detail, error))

    def begin(self, node: Node, detail: dict[str, Any]) -> int:
        """A visit that goes on after this call; returns its seq."""
        self.append(Execution(self.seq + 1, node.key, node.kind, self.now, None, None, detail))
        return self.seq

    def append(self, execution: Execution) -> None:
        out = self.out
        self.seq = out.seq = execution.seq
        out.step_key = execution.step_key
        out.executions.append(execution)

    def close(self, outcome: Outcome, detail: dict[str, Any], error: str | None = None) -> None:
        self.open = False
        self.out.closed.append(Closed(self.seq, self.now, outcome, detail, error))

    def park(self, node: Node, reason: WaitReason, until: datetime | None) -> int:
        self.out.step_key = node.key
        self.out.wait_reason, self.out.wait_until = reason, until
        self.out.due_at = self.next_look(node, until)
        return STOPPED

    def change(self, change: ContactChange) -> None:
        self.out.changes.append(change)
        self.check_goals = True

    # Ending

    def end(self) -> Decision:
        """Past the last step or at an unmet goal: with goals, completed when one was met on the way or is
        met now."""
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
        """The entry condition holds no longer."""
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
